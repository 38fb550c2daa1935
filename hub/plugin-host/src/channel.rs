//! What alerting needs of channels, whatever runs them.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{Notice, RuleProblem};

/// Delivers notices through channel plugins.
#[async_trait]
pub trait ChannelSender: Send + Sync {
    /// Whether the plugin exists, runs, and takes this configuration.
    async fn check(&self, plugin: &str, config: &Map<String, Value>) -> Result<(), ChannelError>;

    /// Sends one notice and answers the receiver's reference. `attempt` counts from 1; delivery is at least once.
    async fn deliver(
        &self,
        plugin: &str,
        channel: &str,
        config: &Map<String, Value>,
        notice: &Notice,
        attempt: u32,
    ) -> Result<String, DeliverError>;

    /// Keys of the plugin's configuration that answers mask; empty for an unknown plugin.
    fn secret_keys(&self, plugin: &str) -> Vec<String>;

    /// Channel plugins that ask to be told when somebody acknowledges.
    fn acknowledging(&self) -> Vec<String> {
        Vec::new()
    }

    /// Everything that is wrong with a rule that uses this plugin with this configuration. A sender that runs no rules knows none.
    async fn check_rule(&self, plugin: &str, _config: &Map<String, Value>) -> Vec<RuleProblem> {
        vec![RuleProblem {
            field: "plugin".to_owned(),
            reason: format!("no rule plugin is called `{plugin}`"),
        }]
    }
}

/// Why a channel cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// No plugin of this name is installed.
    #[error("no {kind} plugin is called `{plugin}`; there are: {known}")]
    UnknownPlugin {
        /// `channel` or `rule`.
        kind: &'static str,
        /// The name asked for.
        plugin: String,
        /// Names of the plugins of this kind.
        known: String,
    },
    /// The plugin is installed and does not run.
    #[error("plugin `{plugin}` does not run: {reason}")]
    Unavailable {
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The configuration does not fit the plugin's schema, or the plugin refused it.
    #[error("the configuration does not fit plugin `{plugin}`: {}", problems.join("; "))]
    Config {
        /// Its name.
        plugin: String,
        /// Every problem found, each naming its key.
        problems: Vec<String>,
    },
}

/// Why a notice was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// Worth another attempt.
    #[error("{reason}")]
    Transient {
        /// In words.
        reason: String,
        /// Not before this many milliseconds, when the receiver said so.
        retry_after_ms: Option<u64>,
    },
    /// The same again would fail the same way.
    #[error("{0}")]
    Permanent(String),
}

impl DeliverError {
    pub(crate) fn transient(reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            retry_after_ms: None,
        }
    }
}
