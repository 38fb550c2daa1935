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

#[tokio::test]
async fn what_a_full_spool_drops_is_counted_to_the_last_event() {
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let config = AgentConfig {
        spool: "max_bytes = \"8MiB\"\nsegment_bytes = \"2MiB\"\nwhen_full = \"drop_oldest\"\n".into(),
        ..AgentConfig::tail("event")
    };
    let agent = Agent::start(&config, &hub);
    hub.kill();
    let half = 40_000_u64;
    let flood = |from: u64| -> String {
        // Random text, so that compression does not save the spool.
        let noise = || -> Vec<String> { (0..16).map(|_| uuid::Uuid::new_v4().to_string()).collect() };
        (from..from + half)
            .map(|n| {
                format!(
                    "{}\n",
                    json!({"type": "flood", "source": "s", "data": {"n": n, "noise": noise()}})
                )
            })
            .collect()
    };
    agent.write_log("a.log", &flood(0));
    eventually("the spool overflows", async || {
        let status = agent.command(&["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        status["dropped"]
            .as_array()
            .is_some_and(|reasons| reasons.iter().any(|reason| reason["events"].as_u64() > Some(0)))
    })
    .await;
    // What comes now is dropped while older frames are on their way.
    agent.write_log("b.log", &flood(half));
    hub.restart();
    let api = hub.admin().await;
    let lines = 2 * half;
    let (mut stored, mut dropped) = (0, 0);
    eventually("stored and dropped make up what was written", async || {
        let (_, stats) = api.get("/api/v1/stats").await;
        let (_, agents) = api.get("/api/v1/agents").await;
        stored = stats["data"]["events"].as_u64().unwrap_or(0);
        dropped = agents["data"][0]["dropped_total"].as_u64().unwrap_or(0);
        stored + dropped >= lines
    })
    .await;
    assert_eq!(stored + dropped, lines, "{stored} stored, {dropped} dropped");
    assert!(stored > 0 && dropped > 0);
}
