//! What a person sees on the command line.

use std::process::{Command, Output};

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
