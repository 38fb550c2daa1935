//! The program as people and systemd run it: exit statuses, messages, signals, kill -9.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::delivery::{Bench, until, write};
use crate::fake_hub::{Store, messages};
use crate::transforms::{blocking, component};

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamflow-agent"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = agent(args).output().unwrap();
    (
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn config(bench: &Bench, endpoints: &str) -> PathBuf {
    let path = bench.dir.path().join("agent.toml");
    std::fs::write(&path, bench.config_text(endpoints, "")).unwrap();
    path
}

/// Starts `run` and waits for its ready line.
fn start(config: &PathBuf) -> Child {
    let mut child = agent(&["run", "--ready-json", "--config"])
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"event\":\"ready\""), "{line}");
    child
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn help_version_completions_and_wrong_usage() {
    for command in ["run", "validate", "enroll", "status", "tap", "test", "completions"] {
        let (code, long, _) = run(&[command, "--help"]);
        assert_eq!(code, 0);
        let (_, short, _) = run(&[command, "-h"]);
        assert!(!short.is_empty() && long.len() >= short.len());
    }
    let (code, version, _) = run(&["--version"]);
    assert_eq!(
        (code, version.trim()),
        (0, concat!("streamflow-agent ", env!("CARGO_PKG_VERSION")))
    );
    assert!(run(&["completions", "bash"]).1.contains("streamflow-agent"));
    assert_eq!(run(&["fly"]).0, 2);
    assert_eq!(run(&["run", "--config", "/nowhere/agent.toml"]).0, 2);
}

#[test]
fn validate_names_every_mistake() {
    let bench = Bench::new();
    let path = bench.dir.path().join("agent.toml");
    let path_text = path.to_str().unwrap();
    std::fs::write(&path, "[hub]\nendpoints = [\"x\"]\n[spool]\nwhen_full = \"maybe\"\n").unwrap();
    let (code, _, stderr) = run(&["validate", "--config", path_text]);
    assert_eq!(code, 2);
    for expected in [
        ":2: hub.endpoints",
        ":4: spool.when_full",
        "sources: none is configured",
    ] {
        assert!(stderr.contains(expected), "{stderr}");
    }
    let (code, _, stderr) = run(&["validate", "--output", "json", "--config", path_text]);
    let report: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((code, report["problems"].as_array().unwrap().len()), (2, 3));
    config(&bench, "\"hub:4433\"");
    let (code, stdout, _) = run(&["validate", "--config", path_text]);
    assert_eq!(code, 0, "{stdout}");
}

#[test]
fn status_says_when_nobody_runs() {
    let bench = Bench::new();
    let path = config(&bench, "\"hub:4433\"");
    let (code, _, stderr) = run(&["status", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no agent runs with data_dir"), "{stderr}");
}

#[test]
fn test_shows_what_lines_become() {
    let bench = Bench::new();
    let path = bench.dir.path().join("agent.toml");
    let filter = "[[processors]]\nkind = \"filter\"\nmatch = \"severity != 'low'\"\n";
    std::fs::write(
        &path,
        bench
            .config_text("\"hub:4433\"", filter)
            .replace("\"text\"", "\"json\""),
    )
    .unwrap();
    let mut child = agent(&["test", "--config", path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let input = b"{\"level\":\"error\",\"msg\":\"x\"}\n{\"level\":\"debug\"}\nnot json\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[0]["severity"].as_str(), lines[0]["data"]["msg"].as_str()),
        (Some("high"), Some("x"))
    );
    assert_eq!(lines[1]["data"]["message"], "not json");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("line 2: turned away by a filter") && stderr.contains("line 3: is not json"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn tap_prints_events_without_a_hub() {
    let bench = Bench::new();
    let path = config(&bench, "\"hub:4433\"");
    write(&bench.log(), &["one".to_owned(), "two".to_owned(), "three".to_owned()]);
    let (code, stdout, stderr) = run(&["tap", "--from-beginning", "-n", "2", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(stdout.contains("\"message\":\"one\""), "{stdout}");
}

/// A program that does not survive a test that fails.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Guarded {
    async fn code(&mut self) -> Option<i32> {
        until("it ends", || self.0.try_wait().unwrap().is_some()).await;
        self.0.wait().unwrap().code()
    }
}

/// The path of a configuration whose transform blocks.
fn blocked(bench: &Bench) -> Option<PathBuf> {
    let path = bench.dir.path().join("agent.toml");
    let text = bench.config_text("\"hub:4433\"", &blocking(&component()?));
    std::fs::write(&path, text).unwrap();
    Some(path)
}

#[tokio::test]
async fn test_says_where_a_transform_would_block() {
    let bench = Bench::new();
    let Some(path) = blocked(&bench) else { return };
    let mut command = agent(&["test", "--config", path.to_str().unwrap()]);
    let mut child = Guarded(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    input.write_all(b"one\npoison\ntwo\n").unwrap();
    drop(input);
    assert_eq!(child.code().await, Some(1));
    let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    let stderr = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(
        stderr.contains("line 2: transform transform-loop:") && stderr.contains("1 events wait for it; on_error is"),
        "{stderr}"
    );
}

#[tokio::test]
async fn tap_ends_although_a_transform_blocks() {
    let bench = Bench::new();
    let Some(path) = blocked(&bench) else { return };
    write(&bench.log(), &["poison".to_owned()]);
    let mut child = Guarded(
        agent(&["tap", "--from-beginning", "--config", path.to_str().unwrap()])
            .spawn()
            .unwrap(),
    );
    // Kept until the end: it is written to further on.
    let mut said = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let failed = |line: std::io::Result<String>| line.unwrap().contains("a transform failed");
    assert!(said.any(failed), "it is said");
    signal(&child.0, "-INT");
    assert_eq!(child.code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_delivers_and_exits_with_0() {
    let bench = Bench::new();
    let hub = bench.hub();
    let path = config(&bench, &format!("\"{}\"", hub.addr));
    write(&bench.log(), &["one".to_owned(), "two".to_owned()]);
    let mut child = start(&path);
    until("the lines", || messages(&bench.store) == ["one", "two"]).await;
    let (code, stdout, _) = run(&["status", "--output", "json", "--config", path.to_str().unwrap()]);
    let status: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (
            code,
            status["hub"]["connected"].as_bool(),
            status["sources"][0]["events"].as_u64()
        ),
        (0, Some(true), Some(2))
    );
    let (_, text, _) = run(&["status", "--config", path.to_str().unwrap()]);
    assert!(
        text.contains("connected to") && text.contains("source   app: 2 events"),
        "{text}"
    );
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Kills the agent again and again while a ledger grows and is rotated: each line arrives exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_and_repeats_nothing() {
    const KILLS: usize = 24;
    let bench = Bench::new();
    let hub = bench.hub();
    // The rotated names belong to the pattern, as a file may come and go while the agent is dead.
    let path = bench.dir.path().join("agent.toml");
    let text = bench
        .config_text(&format!("\"{}\"", hub.addr), "")
        .replace("app.log", "app.log*");
    std::fs::write(&path, text).unwrap();
    let (log, store, stop) = (bench.log(), bench.store.clone(), Arc::new(AtomicBool::new(false)));
    let stopping = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut written = 0;
        while !stopping.load(Ordering::Relaxed) {
            if written > stored(&store) + 3_000 {
                std::thread::yield_now();
                continue;
            }
            let lines: Vec<String> = (written..written + 70)
                .map(|number| format!("line {number} {}", "x".repeat(number % 97)))
                .collect();
            write(&log, &lines);
            written += lines.len();
            if written.is_multiple_of(7_000) {
                std::fs::rename(&log, log.with_extension(format!("log.{written}"))).unwrap();
            }
        }
        written
    });
    let mut mid_work = 0;
    for round in 0..KILLS {
        let before = stored(&bench.store);
        let mut child = start(&path);
        // Some die before anything has arrived, others in the middle of their work.
        until("progress", || stored(&bench.store) >= before + round % 4 * 500).await;
        signal(&child, "-KILL");
        child.wait().unwrap();
        mid_work += usize::from(stored(&bench.store) > before);
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    assert!(mid_work >= KILLS / 2, "only {mid_work} kills hit an agent at work");
    let mut child = start(&path);
    until("all lines", || stored(&bench.store) >= written).await;
    signal(&child, "-TERM");
    child.wait().unwrap();
    let mut numbers: Vec<usize> = messages(&bench.store)
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..written).collect::<Vec<_>>());
}

fn stored(store: &Mutex<Store>) -> usize {
    store
        .lock()
        .unwrap()
        .frames
        .values()
        .map(|frame| frame.header().count as usize)
        .sum()
}
