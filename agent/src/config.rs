//! What the operator decides: the agent's settings, each with a default that suits a single host.

pub mod check;
pub mod load;
pub mod units;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::batch::BatchOptions;
use crate::edge::EdgeOptions;
use crate::process::FilterOptions;
use crate::source::file::FileOptions;
use crate::source::host::HostOptions;
use crate::spool::SpoolOptions;
use crate::transform::{PluginOptions, PluginsOptions};
use crate::uplink::HubOptions;

/// Everything in `agent.toml`.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Where the spool, the identity and the status socket live.
    pub data_dir: PathBuf,
    /// How this host calls itself in `source`; its host name unless set.
    pub name: String,
    /// The hub.
    pub hub: HubOptions,
    /// The disk buffer.
    pub spool: SpoolOptions,
    /// How events become batches.
    pub batch: BatchOptions,
    /// Metrics that the hub may have computed here.
    pub edge: EdgeOptions,
    /// What plugins among the processors may take, and whose word they need.
    pub plugins: PluginsOptions,
    /// The optional Prometheus endpoint.
    pub metrics: MetricsOptions,
    /// What the agent says about itself on stderr.
    pub log: LogOptions,
    /// Where events come from.
    pub sources: Vec<SourceOptions>,
    /// What happens to them on the way.
    pub processors: Vec<ProcessorOptions>,
}

/// One `[[sources]]` table; `kind` chooses the variant.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceOptions {
    /// Lines of files.
    File(FileOptions),
    /// This machine's own figures.
    Host(HostOptions),
}

/// One `[[processors]]` table; `kind` chooses the variant.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProcessorOptions {
    /// Keeps the events that match.
    Filter(FilterOptions),
    /// A transform.
    Plugin(PluginOptions),
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsOptions {
    /// Address of the Prometheus endpoint; empty means none.
    pub listen: String,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,quinn=warn`.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/streamflow-agent"),
            name: host_name(),
            hub: HubOptions::default(),
            spool: SpoolOptions::default(),
            batch: BatchOptions::default(),
            edge: EdgeOptions::default(),
            plugins: PluginsOptions::default(),
            metrics: MetricsOptions::default(),
            log: LogOptions::default(),
            sources: Vec::new(),
            processors: Vec::new(),
        }
    }
}

/// The kernel's name for this host.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".into()
    } else {
        name.into()
    }
}
