//! An agent under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

use tempfile::TempDir;

use crate::{Hub, binaries, process::Process};

/// How an agent is configured.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// TOML of `[[sources]]` and `[[processors]]`; `{dir}` is the agent's folder.
    pub pipeline: String,
    /// TOML lines of `[spool]`.
    pub spool: String,
    /// Folder of spool and identity, when not in the agent's own folder.
    pub data: Option<PathBuf>,
}

impl AgentConfig {
    /// Tails `logs/*.log` in the agent's folder from the beginning.
    #[must_use]
    pub fn tail(format: &str) -> Self {
        Self {
            pipeline: format!(
                "[[sources]]\nkind = \"file\"\npaths = [\"{{dir}}/logs/*.log\"]\nformat = \"{format}\"\nread_from = \"beginning\"\n"
            ),
            spool: "max_bytes = \"64MiB\"\n".to_owned(),
            data: None,
        }
    }
}

impl AgentConfig {
    /// Host metrics every second.
    #[must_use]
    pub fn host_metrics() -> Self {
        Self {
            pipeline: "[[sources]]\nkind = \"host\"\ninterval = \"1s\"\n".to_owned(),
            ..Self::tail("event")
        }
    }
}

/// An agent with a folder of its own.
#[derive(Debug)]
pub struct Agent {
    dir: TempDir,
    process: Option<Process>,
}

impl Agent {
    /// Writes its configuration, without starting it.
    ///
    /// # Panics
    /// When files cannot be written.
    #[must_use]
    pub fn prepare(config: &AgentConfig, quic: &str) -> Self {
        let dir = TempDir::new().expect("folder");
        std::fs::create_dir(dir.path().join("logs")).expect("logs");
        let here = dir.path().display().to_string();
        let data = config.data.clone().unwrap_or_else(|| dir.path().join("data"));
        let text = format!(
            "data_dir = {data:?}\n[hub]\nendpoints = [\"{quic}\"]\n[spool]\n{}\n{}",
            config.spool,
            config.pipeline.replace("{dir}", &here)
        );
        std::fs::write(dir.path().join("agent.toml"), text).expect("agent.toml");
        Self { dir, process: None }
    }

    /// Enrols at a hub and starts.
    ///
    /// # Panics
    /// When enrolment fails.
    #[must_use]
    pub fn start(config: &AgentConfig, hub: &Hub) -> Self {
        let mut agent = Self::prepare(config, &hub.quic);
        let output = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        agent.restart();
        agent
    }

    /// Runs `enroll`.
    #[must_use]
    pub fn enroll(&self, quic: &str, token: &str) -> Output {
        self.command(&["enroll", "--hub", quic, "--token", token])
    }

    /// Runs a subcommand with this agent's configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(binaries::binary("streamflow-agent"))
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .output()
            .expect("agent command")
    }

    /// Starts it (again) on the same data.
    pub fn restart(&mut self) {
        let mut process = Process::start(
            Command::new(binaries::binary("streamflow-agent"))
                .args(["run", "--ready-json", "--config"])
                .arg(self.config()),
            &self.dir.path().join("agent.log"),
        );
        process.wait_for_event("ready");
        self.process = Some(process);
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    /// Its folder: `agent.toml`, `agent.log`, `logs`, `data`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was never started.
    pub const fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a started agent")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// SIGTERM and the exit status.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process().terminate()
    }

    /// Appends to a log file in its `logs` folder.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_log(&self, name: &str, text: &str) {
        use std::io::Write;
        let path = self.dir.path().join("logs").join(name);
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("log file");
        file.write_all(text.as_bytes()).expect("write");
    }
}
