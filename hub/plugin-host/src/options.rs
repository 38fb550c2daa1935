//! `[plugins]`: where plugins are found, what they get, and how much of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// `[plugins]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Folder of installed plugins, in the data folder unless absolute.
    pub dir: PathBuf,
    /// Folder of the plugins that came with the hub, trusted as the hub's own binary is. Found beside the binary when not set.
    pub shipped_dir: Option<PathBuf>,
    /// Public keys of minisign whose signatures are trusted.
    pub trusted_keys: Vec<String>,
    /// Runs installed plugins although nobody has signed them.
    pub allow_unsigned: bool,
    /// Values for `${secret:NAME}`; plugins never see them.
    pub secrets: BTreeMap<String, SecretOptions>,
    /// Limits of every plugin.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("plugins"),
            shipped_dir: None,
            trusted_keys: Vec::new(),
            allow_unsigned: false,
            secrets: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

/// One entry of `[plugins.secrets]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SecretOptions {
    /// `env:NAME` or `file:/path`; may be sent to every host that a plugin may reach.
    Anywhere(String),
    /// Bound to hosts.
    Bound {
        /// `env:NAME` or `file:/path`.
        from: String,
        /// Hosts that it may be sent to.
        hosts: Vec<String>,
    },
}

/// Limits of every plugin; a manifest can only ask for less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one instance.
    pub memory_mib: u32,
    /// Computing time of one call of a channel plugin; waiting for HTTP answers does not count.
    pub deadline_ms: u32,
    /// Computing time of one call of a rule plugin.
    pub rule_deadline_ms: u32,
    /// Computing time of one call of a transform. The hub runs none, so that this is no key of its configuration.
    #[serde(skip)]
    pub transform_deadline_ms: u32,
    /// Time of one call with all its waiting.
    pub call_ms: u32,
    /// Time to compile a plugin.
    pub compile_ms: u32,
    /// Calls of one plugin that run at the same time.
    pub concurrent_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 64,
            deadline_ms: 5_000,
            rule_deadline_ms: 100,
            // The clock goes on while a busy host gives the agent no processor, and what a transform fails on may be lost.
            transform_deadline_ms: 1_000,
            call_ms: 30_000,
            compile_ms: 120_000,
            concurrent_calls: 8,
        }
    }
}

impl Limits {
    pub(crate) const fn call(&self) -> Duration {
        Duration::from_millis(self.call_ms as u64)
    }

    pub(crate) const fn compile(&self) -> Duration {
        Duration::from_millis(self.compile_ms as u64)
    }
}

impl Options {
    pub(crate) fn installed(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(&self.dir)
    }

    /// Beside the binary, where packages put it, and where a build from source leaves it. Never relative to the working
    /// directory, which somebody else may have filled.
    pub(crate) fn shipped(&self) -> Option<PathBuf> {
        if self.shipped_dir.is_some() {
            return self.shipped_dir.clone();
        }
        let binary = std::env::current_exe().ok()?;
        let beside = binary.parent()?;
        let places = ["plugins", "../lib/streamflow/plugins", "../../plugins/dist"];
        places
            .iter()
            .map(|place| beside.join(place))
            .find(|folder| folder.is_dir())
    }
}
