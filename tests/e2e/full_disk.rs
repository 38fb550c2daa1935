//! Disks that are really full: nothing acknowledged is lost, the reason is said, and work goes on when there is room again.

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, SmallDisk, eventually};

#[tokio::test]
async fn the_store_refuses_says_so_and_recovers() {
    let Some(disk) = SmallDisk::mount(96) else { return };
    let hub = Hub::start(&HubConfig {
        data: Some(disk.path().join("data")),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let anonymous = Api::anonymous(&api.base);
    let mut acknowledged = Vec::new();
    let mut number = 0;
    let mut post = async |api: &Api| {
        number += 1;
        // Random text, so that compression does not save the disk.
        let noise: Vec<String> = (0..64).map(|_| uuid::Uuid::new_v4().to_string()).collect();
        let (status, answer) = api
            .post(
                "/events",
                &json!({"type": "full", "source": "s", "data": {"n": number, "noise": noise}}),
            )
            .await;
        (number, status, answer)
    };
    for _ in 0..20 {
        let (n, status, answer) = post(&api).await;
        assert_eq!(status, 202, "{answer}");
        acknowledged.push(n);
    }
    disk.fill();
    eventually("events are refused", async || {
        let (n, status, answer) = post(&api).await;
        if status == 202 {
            acknowledged.push(n);
            return false;
        }
        assert_eq!(status, 503, "{answer}");
        assert_eq!(answer["error"], "Unavailable", "{answer}");
        true
    })
    .await;
    eventually("readiness is red", async || anonymous.get("/ready").await.0 == 503).await;
    assert_eq!(anonymous.get("/health").await.0, 200, "but the hub lives");
    disk.free();
    eventually("events are taken again without a restart", async || {
        let (n, status, _) = post(&api).await;
        if status == 202 {
            acknowledged.push(n);
        }
        status == 202
    })
    .await;
    eventually("readiness is green", async || anonymous.get("/ready").await.0 == 200).await;
    let stored: Vec<i64> = api
        .all_events(&json!({"types": ["full"]}))
        .await
        .iter()
        .filter_map(|e| e["data"]["n"].as_i64())
        .collect();
    for n in acknowledged {
        assert_eq!(stored.iter().filter(|s| **s == n).count(), 1, "{n} was acknowledged");
    }
}

#[tokio::test]
async fn a_full_disk_under_the_spool_blocks_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let config = AgentConfig {
        data: Some(disk.path().join("data")),
        spool: "max_bytes = \"1GiB\"\nsegment_bytes = \"2MiB\"\n".into(),
        ..AgentConfig::tail("event")
    };
    let mut agent = Agent::start(&config, &hub);
    agent.write_log(
        "a.log",
        &format!("{}\n", json!({"type": "spooled", "source": "s", "data": {"n": 0}})),
    );
    let api = hub.admin().await;
    eventually("the first event", async || {
        api.all_events(&json!({"types": ["spooled"]})).await.len() == 1
    })
    .await;
    hub.kill();
    disk.fill();
    let lines = 20_000_u64;
    let text: String = (1..lines)
        .map(|n| {
            // Random text, so that compression does not save the disk.
            let noise: Vec<String> = (0..16).map(|_| uuid::Uuid::new_v4().to_string()).collect();
            format!(
                "{}\n",
                json!({"type": "spooled", "source": "s", "data": {"n": n, "noise": noise}})
            )
        })
        .collect();
    agent.write_log("a.log", &text);
    eventually("the agent says that its disk is full", async || {
        let log = agent.process().log().to_lowercase();
        log.contains("no space") || log.contains("full")
    })
    .await;
    assert!(agent.process().running());
    disk.free();
    hub.restart();
    let api = hub.admin().await;
    eventually("everything arrives", async || {
        let (_, stats) = api.get("/api/v1/stats").await;
        stats["data"]["events"].as_u64().is_some_and(|n| n >= lines)
    })
    .await;
    let mut seen: Vec<u64> = api
        .all_events(&json!({"types": ["spooled"]}))
        .await
        .iter()
        .filter_map(|e| e["data"]["n"].as_u64())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..lines).collect::<Vec<_>>(), "nothing lost, nothing twice");
}
