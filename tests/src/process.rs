//! A child process that is never left behind.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::wait::DEADLINE;

/// A running program whose stderr goes to a file and whose stdout speaks lines of JSON.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts it; its log is appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let stderr = File::options().create(true).append(true).open(log).expect("log file");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let stdout = child.stdout.take().expect("piped stdout");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            log: log.to_owned(),
        }
    }

    /// Waits for a line of JSON with this `event`; answers the other events before it, too.
    ///
    /// # Panics
    /// When the program ends or stays silent first.
    pub fn wait_for_event(&mut self, event: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => {
                    let Ok(value) = serde_json::from_str::<Value>(&line) else {
                        continue;
                    };
                    let found = value["event"] == event;
                    seen.push(value);
                    if found {
                        return seen;
                    }
                }
                Err(_) => panic!("no `{event}` line; the program's log:\n{}", self.log()),
            }
        }
    }

    /// Waits for a line of stdout that holds `part`; answers the lines up to it.
    ///
    /// # Panics
    /// When the program ends or stays silent first.
    pub fn wait_for_line(&mut self, part: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(DEADLINE) else {
                panic!("no line with `{part}` after:\n{}\n{}", seen.join("\n"), self.log());
            };
            let found = line.contains(part);
            seen.push(line);
            if found {
                return seen;
            }
        }
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("process status");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kb| kb.parse::<u64>().ok())
            .expect("kB")
            * 1024
    }

    /// CPU time used so far, user and system.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("process stat");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        // The kernel's USER_HZ is 100 on every Linux platform that Rust supports.
        Duration::from_millis(ticks * 10)
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal by name, as `kill -TERM` does.
    ///
    /// # Panics
    /// When `kill` cannot be run.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(status.expect("kill").success());
    }

    /// What Ctrl-C in a terminal does: SIGINT to the program and to all that it started. It must have been started in a process group of its own.
    ///
    /// # Panics
    /// When `kill` cannot be run.
    pub fn interrupt_group(&self) {
        let status = Command::new("kill")
            .args(["-INT", "--", &format!("-{}", self.pid())])
            .status();
        assert!(status.expect("kill").success());
    }

    /// SIGTERM, then waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_end()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_end(&mut self) -> ExitStatus {
        // The line reader ends with the process: no polling needed.
        let started = std::time::Instant::now();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(_) if started.elapsed() < DEADLINE => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().expect("exit status"),
                _ => panic!("did not end; its log:\n{}", self.log()),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("---- end of {} ----", self.log.display());
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
