//! Structured logs on stderr.

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A level, or directives such as `info,streamflow_ingest=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// What is logged.
///
/// # Errors
/// When the level is not a filter.
pub fn filter(options: &Options) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&options.level).map_err(|e| format!("`{}` is not a log filter: {e}", options.level))
}

/// Starts logging.
///
/// # Errors
/// When the level is not a filter.
pub fn start(options: &Options) -> anyhow::Result<()> {
    let filter = filter(options).map_err(|reason| anyhow::anyhow!("log.level: {reason}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match options.format {
        Format::Text => registry.with(lines.with_ansi(false)).try_init()?,
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}
