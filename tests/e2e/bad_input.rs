//! What goes wrong on hosts: the thing is named, the rest keeps working.

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, eventually};

#[tokio::test]
async fn malformed_lines_and_unreadable_files_do_not_stop_the_rest() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    std::fs::create_dir(agent.dir().join("logs/folder.log")).unwrap();
    agent.write_log("a.log", "{\"type\":\"fine\",\"source\":\"s\"}\n{\"type\": broken\n\u{0}\u{1}binary\n{\"type\":\"fine\",\"source\":\"s\"}\n");
    eventually("both good lines arrive", async || {
        api.all_events(&json!({"types": ["fine"]})).await.len() == 2
    })
    .await;
    eventually("the bad line is kept as a log line", async || {
        api.all_events(&json!({"text": "broken"})).await.len() == 1
    })
    .await;
    assert!(agent.process().running());
}

#[tokio::test]
async fn a_hub_that_is_away_is_waited_for() {
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    hub.kill();
    for n in 0..1000 {
        agent.write_log(
            "a.log",
            &format!("{}\n", json!({"type": "kept", "source": "s", "data": {"n": n}})),
        );
    }
    agent.kill();
    agent.restart();
    hub.restart();
    let api = hub.admin().await;
    eventually("the spool drains", async || {
        api.all_events(&json!({"types": ["kept"]})).await.len() == 1000
    })
    .await;
}
