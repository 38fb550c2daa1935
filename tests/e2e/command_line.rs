//! What a person sees on the command line.

use std::{
    io::Read as _,
    process::{Command, Output},
};

use streamflow_tests::{
    Agent, AgentConfig, Hub, HubConfig,
    binaries::{binary, root},
};

fn run(program: &str, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(binary(program)).args(arguments).output().unwrap();
    (
        status.code().unwrap_or(-1),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn help_version_and_completions_exist() {
    for program in ["streamflow-hub", "streamflow-agent"] {
        let (code, help, _) = run(program, &["--help"]);
        assert!(code == 0 && help.contains("Usage:"), "{help}");
        let (code, version, _) = run(program, &["--version"]);
        assert!(code == 0 && version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        for shell in ["bash", "zsh", "fish", "powershell"] {
            let (code, script, _) = run(program, &["completions", shell]);
            assert!(code == 0 && script.contains(program), "{shell}");
        }
        let (code, _, error) = run(program, &["nonsense"]);
        assert!(code == 2 && !error.is_empty(), "{error}");
    }
}

#[test]
fn output_that_nobody_reads_ends_in_silence() {
    for program in ["streamflow-hub", "streamflow-agent"] {
        for arguments in [&["completions", "bash"][..], &["--help"], &["nonsense"]] {
            let mut child = Command::new(binary(program))
                .args(arguments)
                .stdout(closed())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            let status = child.wait().unwrap();
            let expected = if arguments[0] == "nonsense" { 2 } else { 0 };
            assert_eq!(status.code(), Some(expected), "{program} {arguments:?}: {error}");
            assert!(!error.contains("pipe"), "{program} {arguments:?}: {error}");
        }
    }
    let agent = root().join("deploy/config/agent.toml");
    let output = Command::new(binary("streamflow-agent"))
        .args(["validate", "--output", "json", "--config"])
        .arg(&agent)
        .stdout(closed())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let hub = root().join("deploy/config/hub.toml");
    let output = Command::new(binary("streamflow-hub"))
        .args(["config", "show", "--config"])
        .arg(&hub)
        .stdout(closed())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// The end of a pipe whose reader has gone.
fn closed() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn every_mistake_of_a_configuration_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let hub = dir.path().join("hub.toml");
    std::fs::write(
        &hub,
        "data_dir = \"/tmp/x\"\n[http]\nlisten = 80\nlitsen = \"x\"\n[nonsense]\na = 1\n",
    )
    .unwrap();
    let (code, _, error) = run(
        "streamflow-hub",
        &["config", "check", "--config", hub.to_str().unwrap()],
    );
    assert_eq!(code, 2, "{error}");
    for part in ["hub.toml:3", "hub.toml:4", "litsen", "hub.toml:5", "nonsense"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    std::fs::write(
        &hub,
        "[egress]\nallow = [\"127.0.0.1:9093\", \"http://hook\", \"10.0.0.0/99\"]\n[log]\nlevel = \"=loud\"\n",
    )
    .unwrap();
    let check = ["config", "check", "--config", hub.to_str().unwrap()];
    let (code, _, error) = run("streamflow-hub", &check);
    assert_eq!(code, 2, "{error}");
    for part in [
        "hub.toml:2: egress.allow: `http://hook`",
        "hub.toml:2: egress.allow: `10.0.0.0/99`",
        "hub.toml:4: log.level: `=loud`",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(!error.contains("9093"), "{error}");
    let output = Command::new(binary("streamflow-hub"))
        .args(check)
        .env("STREAMFLOW_HUB__STORAGE__URL", "postgres://db")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let variable = "environment variable STREAMFLOW_HUB__STORAGE__URL: storage.url: `postgres://db`";
    assert!(error.contains(variable), "{error}");
    let agent = dir.path().join("agent.toml");
    std::fs::write(
        &agent,
        "[spool]\nmax_bytes = \"many\"\nwhen_full = \"panic\"\n[[sources]]\nkind = \"telepathy\"\n",
    )
    .unwrap();
    let (code, _, error) = run("streamflow-agent", &["validate", "--config", agent.to_str().unwrap()]);
    assert_eq!(code, 2, "{error}");
    for part in ["agent.toml:2", "when_full", "telepathy"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let (code, _, error) = run("streamflow-hub", &["serve", "--config", "/nowhere/hub.toml"]);
    assert!(
        code == 2 && error.contains("/nowhere/hub.toml") && error.contains("--config"),
        "{error}"
    );
}

#[test]
fn the_documented_configurations_are_right() {
    for (program, arguments, file) in [
        ("streamflow-hub", vec!["config", "check"], "hub.toml"),
        ("streamflow-agent", vec!["validate"], "agent.toml"),
    ] {
        let path = root().join("deploy/config").join(file);
        let mut arguments = arguments;
        arguments.extend(["--config", path.to_str().unwrap()]);
        let (code, _, error) = run(program, &arguments);
        assert_eq!(code, 0, "{file}: {error}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("hub.toml");
    std::fs::write(
        &config,
        format!(
            "data_dir = {:?}\n[http]\nlisten = {address:?}\n[quic]\nlisten = \"127.0.0.1:0\"\n",
            dir.path().join("data")
        ),
    )
    .unwrap();
    let (code, _, error) = run("streamflow-hub", &["serve", "--config", config.to_str().unwrap()]);
    assert!(
        code == 1 && error.contains(&address) && error.contains("http.listen"),
        "{error}"
    );
}

#[test]
fn a_second_hub_on_the_same_folder_is_refused() {
    let hub = Hub::start(&HubConfig::default());
    let (code, _, error) = run("streamflow-hub", &["serve", "--config", hub.config().to_str().unwrap()]);
    assert!(code == 1 && error.contains("data"), "{error}");
}

#[tokio::test]
async fn users_are_managed_and_stops_are_clean() {
    let mut hub = Hub::start(&HubConfig::default());
    let output = hub.command(&["user", "add", "eve", "--role", "viewer", "--output", "json"]);
    assert!(output.status.success(), "{output:?}");
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let password = made["password"].as_str().unwrap();
    let eve = streamflow_tests::Api::sign_in(&format!("http://{}", hub.http), "eve", password).await;
    assert_eq!(eve.get("/api/v1/rules").await.0, 200);
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    streamflow_tests::eventually("the list of agents tells of the connection", async || {
        let output = hub.command(&["agent", "list"]);
        let list = String::from_utf8_lossy(&output.stdout).into_owned();
        list.contains(" connected") && !list.contains("not connected") && !list.contains("never")
    })
    .await;
    let status = agent.command(&["status", "--output", "json"]);
    assert!(status.status.success(), "{status:?}");
    assert!(agent.terminate().success());
    let status = agent.command(&["status"]);
    assert!(
        !status.status.success() && String::from_utf8_lossy(&status.stderr).contains("no agent runs"),
        "{status:?}"
    );
    assert!(hub.terminate().success());
}
