//! The page in a real browser.

use std::process::Command;

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, Receiver, binaries::root, hub::PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_live_data_in_chromium() {
    let receiver = Receiver::start().await;
    let mut hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        plugins: "allow_unsigned = true".to_owned(),
        fixed_ports: true,
        ..HubConfig::default()
    });
    let mut config = AgentConfig::host_metrics();
    config.pipeline += &AgentConfig::tail("auto").pipeline;
    let agent = Agent::start(&config, &hub);
    agent.write_log("app.log", "the application has started\n");
    let api = hub.admin().await;
    let (status, body) = api
        .post("/events", &json!({"type": "browser.test", "source": "e2e"}))
        .await;
    assert_eq!(status, 202, "{body}");
    let output = Command::new(root().join("scripts/browser-tests.sh"))
        .env("BASE_URL", format!("http://{}", hub.http))
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("RECEIVER_URL", receiver.url())
        .env("TESTBED", root().join("plugins/dist/testbed"))
        .env("HUB_PID", hub.process().pid().to_string())
        .output()
        .unwrap();
    println!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
}
