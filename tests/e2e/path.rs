//! The whole path: a line in a file on a host becomes an event, an alert and a webhook.

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, Receiver, eventually, eventually_some, hub};

#[tokio::test]
async fn a_log_line_becomes_an_alert_in_a_webhook() {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let (status, body) = api
        .post(
            "/api/v1/channels",
            &json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}}),
        )
        .await;
    assert_eq!(status, 201, "{body}");
    let (status, rule) = api
        .post(
            "/api/v1/rules",
            &json!({"name": "api errors", "match": "type == 'api.response' && data.status >= 500", "aggregate": "count()",
                    "window": "1m", "group_by": ["source"], "condition": "value > threshold", "threshold": 2,
                    "level": "critical", "channels": ["ops"]}),
        )
        .await;
    assert_eq!(status, 201, "{rule}");

    let agent = Agent::start(&AgentConfig::tail("event"), &hub);
    for (status, n) in [(200, 4), (503, 3)] {
        for i in 0..n {
            let line = json!({"type": "api.response", "source": "web-1", "data": {"status": status, "i": i}});
            agent.write_log("access.log", &format!("{line}\n"));
        }
    }

    let first = eventually_some("the webhook is posted", async || receiver.received().first().cloned()).await;
    assert_eq!(first.body["version"], "4");
    assert_eq!(first.body["status"], "firing");
    assert_eq!(first.body["receiver"], "ops");
    assert_eq!(first.body["alerts"][0]["labels"]["source"], "web-1");
    assert!(first.headers.contains_key("idempotency-key"));

    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    let alerts = hub::data(&alerts);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["value"], 3.0);
    assert_eq!(alerts[0]["rule_name"], "api errors");
    let (_, log) = api.get("/api/v1/deliveries").await;
    assert_eq!(hub::data(&log)[0]["state"], "delivered", "{log}");

    let events = api.all_events(&json!({"types": ["api.response"]})).await;
    assert_eq!(events.len(), 7, "every line is one event");
}

#[tokio::test]
async fn host_metrics_reach_the_realtime_view() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let _agent = Agent::start(&AgentConfig::host_metrics(), &hub);
    let mut names = Vec::new();
    eventually("CPU, memory, load, disk and network arrive", async || {
        let (status, view) = api.get("/api/v1/metrics/realtime").await;
        assert_eq!(status, 200, "{view}");
        let hosts = view["data"]["hosts"].as_array().cloned().unwrap_or_default();
        names = hosts
            .iter()
            .flat_map(|h| h["metrics"].as_array().cloned().unwrap_or_default())
            .filter_map(|m| m["name"].as_str().map(str::to_owned))
            .collect();
        [
            "host.cpu.utilization",
            "host.memory.used_percent",
            "host.load.1",
            "host.disk.used_percent",
            "host.network.receive_bytes_per_second",
        ]
        .iter()
        .all(|wanted| names.iter().any(|n| n == wanted))
    })
    .await;
    let (_, agents) = api.get("/api/v1/agents").await;
    let agents = hub::data(&agents);
    assert_eq!(agents.len(), 1);
    assert_eq!(agents[0]["connected"], true, "{agents:?}");
}

#[tokio::test]
async fn rotation_by_rename_and_by_truncation_loses_nothing() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    let logs = agent.dir().join("logs");
    let line = |n: usize| format!("{}\n", json!({"type": "step", "source": "t", "data": {"n": n}}));
    let seen = async |expected: usize| {
        eventually(&format!("{expected} events are stored"), async || {
            api.all_events(&json!({"types": ["step"]})).await.len() >= expected
        })
        .await;
    };
    for n in 0..10 {
        agent.write_log("a.log", &line(n));
    }
    seen(10).await;
    agent.write_log("a.log", &line(10));
    std::fs::rename(logs.join("a.log"), logs.join("a.log.1")).unwrap();
    agent.write_log("a.log", &line(11));
    seen(12).await;
    std::fs::copy(logs.join("a.log"), logs.join("a.log.2")).unwrap();
    std::fs::write(logs.join("a.log"), "").unwrap();
    eventually("the truncation is noticed", async || {
        let status = agent.command(&["status", "--output", "json"]);
        status.status.success()
    })
    .await;
    agent.write_log("a.log", &line(12));
    seen(13).await;
    assert!(agent.terminate().success());
    agent.write_log("a.log", &line(13));
    agent.restart();
    seen(14).await;
    let mut numbers: Vec<u64> = api
        .all_events(&json!({"types": ["step"]}))
        .await
        .iter()
        .map(|e| e["data"]["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..14).collect::<Vec<_>>(), "nothing lost, nothing twice");
}

#[tokio::test]
async fn formats_become_events() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let agent = Agent::start(&AgentConfig::tail("auto"), &hub);
    agent.write_log("mixed.log", "plain words of a program\n");
    agent.write_log("mixed.log", "level=error msg=\"it broke\" code=17\n");
    agent.write_log(
        "mixed.log",
        "{\"level\":\"warn\",\"msg\":\"json here\",\"big\":123456789012345678901234567890}\n",
    );
    eventually("three events are stored", async || {
        api.all_events(&json!({"types": ["log"]})).await.len() == 3
    })
    .await;
    let (_, found) = api
        .post("/api/v1/events/query", &json!({"filter": "data.code == 17"}))
        .await;
    assert_eq!(hub::data(&found)[0]["data"]["msg"], "it broke", "{found}");
    let (_, found) = api.post("/api/v1/events/query", &json!({"text": "plain words"})).await;
    assert_eq!(hub::data(&found).len(), 1, "{found}");
}
