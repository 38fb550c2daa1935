//! A line written to a file until its webhook has been received.

use std::time::{Duration, Instant};

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, Receiver, eventually};

use crate::report::{Row, percentile};

/// One alert after the other, each of its own group.
pub async fn line_to_webhook(alerts: usize) -> Vec<Row> {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    let rule = json!({"name": "latency", "match": "type == 'latency'", "aggregate": "count()", "window": "1h", "group_by": ["data.n"],
                      "condition": "value >= threshold", "threshold": 1, "channels": ["ops"]});
    assert_eq!(api.post("/api/v1/rules", &rule).await.0, 201);
    let agent = Agent::start(&AgentConfig::tail("event"), &hub);
    let mut latencies = Vec::new();
    for n in 0..=alerts {
        let written = Instant::now();
        agent.write_log(
            "a.log",
            &format!("{}\n", json!({"type": "latency", "source": "s", "data": {"n": n}})),
        );
        eventually("the webhook", async || receiver.received().len() > n).await;
        let at = receiver.received()[n].at;
        if n > 0 {
            latencies.push(at.duration_since(written).as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(20 + (n as u64 * 7) % 30)).await;
    }
    latencies.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&latencies, 0.5), percentile(&latencies, 0.99));
    vec![Row {
        what: "log line written → webhook received, `for: 0`: p50 / p99",
        ours: format!("{p50:.1} / {p99:.1} ms"),
        baseline: "Prometheus at 1 s with Alertmanager at `group_wait: 0`, condition true → webhook: p50 1,430 ms"
            .into(),
        ratio: Some(p50 / 1430.0),
        target: "p99 < 100 ms",
    }]
}
