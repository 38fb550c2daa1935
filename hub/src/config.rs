//! `hub.toml`: defaults, then the file, then the environment.

mod check;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{drill, heartbeat, logging, provisioning, self_watch, standby};

/// Prefix of environment variables that override the file: `STREAMFLOW_HUB__HTTP__LISTEN`.
const ENV_PREFIX: &str = "STREAMFLOW_HUB";

/// Keys whose value is a list, comma separated in the environment.
const LISTS: [&str; 4] = [
    "egress.allow",
    "plugins.trusted_keys",
    "http.cors_origins",
    "drills.channels",
];

/// `[http]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of the API and the page.
    pub listen: SocketAddr,
    /// Address that people and links in notifications use; `http://` + `listen` when empty.
    pub public_url: String,
    /// Origins that browsers may call the API from, besides the hub's own.
    pub cors_origins: Vec<String>,
    /// Bounds on what callers may take up.
    pub limits: streamflow_web::Limits,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: String::new(),
            cors_origins: Vec::new(),
            limits: streamflow_web::Limits::default(),
        }
    }
}

/// `[bus]` and `[live]`: how roles talk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// `local:` inside one process.
    pub url: String,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            url: "local:".to_owned(),
        }
    }
}

/// The whole configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// Folder of everything durable.
    pub data_dir: PathBuf,
    /// API and page.
    pub http: Http,
    /// Sign-in.
    pub auth: streamflow_web::AuthOptions,
    /// Agents.
    pub quic: streamflow_ingest::QuicOptions,
    /// Admission of events over HTTP.
    pub ingest: streamflow_ingest::Options,
    /// Work between roles.
    pub bus: Link,
    /// Live updates and shared limits.
    pub live: Link,
    /// The log and its retention.
    pub storage: streamflow_storage::Options,
    /// Windows and rules.
    pub analytics: streamflow_analytics::Options,
    /// Delivery of notifications.
    pub alerting: streamflow_alerting::Options,
    /// Live page.
    pub dashboard: streamflow_dashboard::Options,
    /// Sandboxed plugins.
    pub plugins: streamflow_plugin_host::Options,
    /// Where plugins may connect to.
    pub egress: streamflow_plugin_host::EgressOptions,
    /// The relay for outgoing mail.
    pub mail: streamflow_plugin_host::MailOptions,
    /// Active and standby.
    pub ha: standby::Options,
    /// Fire drills.
    pub drills: drill::Options,
    /// The hub's watch over itself.
    #[serde(rename = "self")]
    pub own: self_watch::Options,
    /// Calls to the outside while the hub is healthy.
    pub heartbeat: heartbeat::Options,
    /// Rules that are kept in files.
    pub provisioning: provisioning::Options,
    /// Logs.
    pub log: logging::Options,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/streamflow"),
            http: Http::default(),
            auth: streamflow_web::AuthOptions::default(),
            quic: streamflow_ingest::QuicOptions::default(),
            ingest: streamflow_ingest::Options::default(),
            bus: Link::default(),
            live: Link::default(),
            storage: streamflow_storage::Options::default(),
            analytics: streamflow_analytics::Options::default(),
            alerting: streamflow_alerting::Options::default(),
            dashboard: streamflow_dashboard::Options::default(),
            plugins: streamflow_plugin_host::Options::default(),
            egress: streamflow_plugin_host::EgressOptions::default(),
            mail: streamflow_plugin_host::MailOptions::default(),
            ha: standby::Options::default(),
            drills: drill::Options::default(),
            own: self_watch::Options::default(),
            heartbeat: heartbeat::Options::default(),
            provisioning: provisioning::Options::default(),
            log: logging::Options::default(),
        }
    }
}

/// The configuration is wrong; each line names file, line and key.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct ConfigError {
    /// All mistakes.
    pub mistakes: Vec<String>,
}

/// Reads the file and the environment.
///
/// # Errors
/// Every mistake at once.
pub fn load(path: &Path) -> Result<HubConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
        mistakes: vec![format!(
            "{}: {e}; give the file with --config, deploy/config/hub.toml is an example with every key",
            path.display()
        )],
    })?;
    let mut mistakes = check::mistakes::<HubConfig>(&text, &path.display().to_string());
    let config = if mistakes.is_empty() {
        layered(&text).map_err(|e| mistakes.push(e)).ok()
    } else {
        None
    };
    if let Some(config) = &config {
        let told = |(key, reason): (&str, String)| format!("{}: {key}: {reason}", place(key, &text, path));
        mistakes.extend(config.contradictions().into_iter().map(told));
    }
    match config {
        Some(mut config) if mistakes.is_empty() => {
            config.provisioning.beside(path);
            Ok(config)
        }
        _ => Err(ConfigError { mistakes }),
    }
}

fn layered(text: &str) -> Result<HubConfig, String> {
    let mut environment = config::Environment::with_prefix(ENV_PREFIX)
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",");
    for key in LISTS {
        environment = environment.with_list_parse_key(key);
    }
    config::Config::builder()
        .add_source(config::File::from_str(text, config::FileFormat::Toml))
        .add_source(environment)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|e| format!("environment ({ENV_PREFIX}__…): {e}"))
}

impl HubConfig {
    /// Values that are well formed, but cannot work: key and reason.
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if !self.storage.url.starts_with("sqlite:") {
            let url = &self.storage.url;
            let reason = format!("`{url}` is not supported; this version stores in `sqlite:` (in data_dir)");
            wrong.push(("storage.url", reason));
        }
        for (key, url) in [("bus.url", &self.bus.url), ("live.url", &self.live.url)] {
            if url != "local:" {
                let reason = format!("`{url}` is not supported; this version runs all roles in one process, `local:`");
                wrong.push((key, reason));
            }
        }
        let unusable = self.egress.unusable().map(|entry| {
            let reason = format!("`{entry}` is not a host, an address or a network, with or without a port");
            ("egress.allow", reason)
        });
        wrong.extend(unusable);
        wrong.extend(self.mail.mistakes());
        wrong.extend(self.own.mistakes());
        wrong.extend(self.heartbeat.mistakes());
        wrong.extend(self.provisioning.mistakes());
        wrong.extend(self.drills.contradictions());
        wrong.extend(self.ha.contradictions());
        if let Err(reason) = logging::filter(&self.log) {
            wrong.push(("log.level", reason));
        }
        wrong
    }
}

/// Where a key was set: the variable that overrides it, or else its line in the file.
fn place(key: &str, text: &str, file: &Path) -> String {
    let variable = format!("{ENV_PREFIX}__{}", key.to_uppercase().replace('.', "__"));
    if std::env::var_os(&variable).is_some() {
        return format!("environment variable {variable}");
    }
    let file = file.display();
    check::line_of(text, key).map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
}
