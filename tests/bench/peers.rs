//! A real Prometheus with a real Alertmanager, from the operating system's packages.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use streamflow_tests::{eventually, process::Process};
use tempfile::TempDir;

/// Serves one gauge in Prometheus' text format.
#[derive(Debug, Clone)]
pub struct Exporter {
    state: Arc<Mutex<(u64, usize)>>,
    /// `127.0.0.1:port`.
    pub address: String,
}

impl Exporter {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new((0, 0)));
        let ours = state.clone();
        let scrape = move || {
            let ours = ours.clone();
            async move {
                let mut state = ours.lock().unwrap();
                state.1 += 1;
                format!("# TYPE flip gauge\nflip{{n=\"{}\"}} 1\n", state.0)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new().route("/metrics", get(scrape));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { state, address }
    }

    /// From now on it serves `flip{n="…"} 1`, and 0 is no condition.
    pub fn flip(&self, n: u64) {
        self.state.lock().unwrap().0 = n;
    }

    fn scrapes(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

/// An Alertmanager that tells one webhook at once.
pub struct Alertmanager {
    pub process: Process,
    /// `127.0.0.1:port`.
    pub address: String,
    _dir: TempDir,
}

/// Whether the packages are there.
pub fn installed() -> bool {
    let runs = |name: &str| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    let both = runs("prometheus") && runs("prometheus-alertmanager");
    if !both {
        eprintln!("prometheus and prometheus-alertmanager are not installed; scripts/setup.sh test installs them");
    }
    both
}

impl Alertmanager {
    /// Each alert by itself, at once.
    pub async fn start(webhook: &str) -> Self {
        Self::grouping(webhook, "['...']", "0s", "1s").await
    }

    /// With these groups.
    pub async fn grouping(webhook: &str, by: &str, wait: &str, interval: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let address = free_address();
        let config = format!(
            "route: {{receiver: hook, group_by: {by}, group_wait: {wait}, group_interval: {interval}, repeat_interval: 4h}}\nreceivers: [{{name: hook, webhook_configs: [{{url: '{webhook}', send_resolved: false}}]}}]\n"
        );
        std::fs::write(dir.path().join("alertmanager.yml"), config).unwrap();
        let process = Process::start(
            Command::new("prometheus-alertmanager")
                .arg(format!(
                    "--config.file={}",
                    dir.path().join("alertmanager.yml").display()
                ))
                .arg(format!("--storage.path={}", dir.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--cluster.listen-address="),
            &dir.path().join("alertmanager.log"),
        );
        let ready = format!("http://{address}/-/ready");
        eventually("Alertmanager is ready", async || {
            reqwest::get(&ready)
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Self {
            process,
            address,
            _dir: dir,
        }
    }
}

/// A Prometheus that scrapes the exporter and evaluates `flip{n!="0"} == 1` every second.
pub struct Prometheus {
    _process: Process,
    _dir: TempDir,
}

impl Prometheus {
    pub async fn start(exporter: &Exporter, alertmanager: &Alertmanager) -> Self {
        let dir = TempDir::new().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "rules.yml",
            "groups: [{name: g, rules: [{alert: Flip, expr: 'flip{n!=\"0\"} == 1'}]}]\n".to_owned(),
        );
        write(
            "prometheus.yml",
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs: [{{job_name: bench, static_configs: [{{targets: ['{}']}}]}}]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
                exporter.address, alertmanager.address
            ),
        );
        let process = start(dir.path());
        eventually("Prometheus scrapes", async || exporter.scrapes() > 2).await;
        Self {
            _process: process,
            _dir: dir,
        }
    }
}

fn start(dir: &Path) -> Process {
    Process::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0"),
        &dir.join("prometheus.log"),
    )
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
