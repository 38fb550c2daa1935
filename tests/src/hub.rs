//! A hub under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Api, binaries, compiled, process::Process};

/// Password of the first administrator in tests.
pub const PASSWORD: &str = "correct horse battery";

/// How a hub is configured beyond the defaults of a test.
#[derive(Debug, Clone, Default)]
pub struct HubConfig {
    /// Targets that plugins may connect to.
    pub egress: Vec<String>,
    /// More TOML, appended.
    pub more: String,
    /// More lines of `[quic]`.
    pub quic: String,
    /// More lines of `[plugins]`.
    pub plugins: String,
    /// Folder of everything durable, when not in the hub's own folder.
    pub data: Option<PathBuf>,
    /// Keep the ports over restarts.
    pub fixed_ports: bool,
}

/// A hub with a data folder of its own.
#[derive(Debug)]
pub struct Hub {
    dir: TempDir,
    process: Process,
    /// Address of the API.
    pub http: String,
    /// Address for agents.
    pub quic: String,
}

impl Hub {
    /// Starts one on free ports.
    #[must_use]
    pub fn start(config: &HubConfig) -> Self {
        let dir = TempDir::new().expect("folder");
        let (http, quic) = if config.fixed_ports {
            (free_tcp(), free_udp())
        } else {
            ("127.0.0.1:0".into(), "127.0.0.1:0".into())
        };
        let text = format!(
            "data_dir = {data:?}\n[http]\nlisten = {http:?}\n[quic]\nlisten = {quic:?}\n{quic_more}\n[egress]\nallow = {egress:?}\n\
             [plugins]\nshipped_dir = {plugins:?}\n{plugins_more}\n[log]\nlevel = \"info,streamflow=debug\"\n{more}\n",
            data = config.data.clone().unwrap_or_else(|| dir.path().join("data")),
            egress = config.egress,
            plugins = binaries::root().join("plugins/dist"),
            quic_more = config.quic,
            plugins_more = config.plugins,
            more = config.more,
        );
        std::fs::write(dir.path().join("hub.toml"), text).expect("hub.toml");
        // A folder that a test has chosen holds what the hub puts there, and nothing else.
        let own = config.data.is_none().then(|| dir.path().join("data"));
        own.iter().for_each(|data| compiled::lend(data));
        let (process, http, quic) = Self::spawn(dir.path());
        own.iter().for_each(|data| compiled::keep(data));
        Self {
            dir,
            process,
            http,
            quic,
        }
    }

    fn spawn(dir: &Path) -> (Process, String, String) {
        let mut process = Process::start(
            Command::new(binaries::binary("streamflow-hub"))
                .args(["serve", "--ready-json", "--config"])
                .arg(dir.join("hub.toml"))
                .env("STREAMFLOW_ADMIN_PASSWORD", PASSWORD),
            &dir.join("hub.log"),
        );
        let ready = process.wait_for_event("ready").pop().expect("ready line");
        let address = |key: &str| ready[key].as_str().expect("address").to_owned();
        (process, address("http"), address("quic"))
    }

    /// The running process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its folder: `hub.toml`, `hub.log`, `data`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("hub.toml")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self) {
        (self.process, self.http, self.quic) = Self::spawn(self.dir.path());
    }

    /// SIGTERM and the exit status.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// A signed-in client.
    pub async fn admin(&self) -> Api {
        Api::sign_in(&format!("http://{}", self.http), "admin", PASSWORD).await
    }

    /// Runs a subcommand with this hub's configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(binaries::binary("streamflow-hub"))
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .output()
            .expect("hub command")
    }

    /// A one-time enrolment token.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn enrolment_token(&self, ttl: &str) -> String {
        let output = self.command(&["agent", "token", "--ttl", ttl]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Its `/metrics`.
    ///
    /// # Panics
    /// When the hub does not answer.
    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.http))
            .await
            .expect("metrics")
            .text()
            .await
            .expect("text")
    }

    /// Sum of all samples of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        sum(&self.metrics().await, name)
    }
}

/// Sum of all samples of a metric in a Prometheus text.
#[must_use]
pub fn sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn free_tcp() -> String {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("free port")
        .to_string()
}

fn free_udp() -> String {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("free port")
        .to_string()
}

/// Events of a query's answer.
#[must_use]
pub fn data(answer: &Value) -> Vec<Value> {
    answer["data"].as_array().cloned().unwrap_or_default()
}
