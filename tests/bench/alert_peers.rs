//! From an event, or a metric that flips, to the webhook: the hub beside Prometheus with Alertmanager, into the same receiver.

use std::time::{Duration, Instant};

use serde_json::json;
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually_some};

use crate::{
    peers::{Alertmanager, Exporter, Prometheus, installed},
    report::{Row, percentile},
};

/// `alerts` through the hub, and some of them beside it through Prometheus.
pub async fn event_to_webhook(alerts: u64, beside: u64) -> Vec<Row> {
    if !installed() {
        return Vec::new();
    }
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    prepare(&api, &receiver).await;
    let exporter = Exporter::start().await;
    let alertmanager = Alertmanager::start(&receiver.url()).await;
    let _prometheus = Prometheus::start(&exporter, &alertmanager).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 1..=alerts {
        let event = json!({"type": "flip", "source": "bench", "data": {"n": n}});
        let begun = Instant::now();
        if n <= beside {
            exporter.flip(n);
        }
        assert_eq!(api.post("/events", &event).await.0, 202);
        ours.push(arrived(&receiver, "flip event", "data.n", n, begun).await);
        if n <= beside {
            theirs.push(arrived(&receiver, "Flip", "n", n, begun).await);
        }
        // Not in step with the scrapes.
        tokio::time::sleep(Duration::from_millis(20 + (n * 137) % 400)).await;
    }
    // The first of each opens connections and compiles the plugin.
    for latencies in [&mut ours, &mut theirs] {
        latencies.remove(0);
        latencies.sort_by(f64::total_cmp);
    }
    let of = |all: &[f64]| (percentile(all, 0.5), percentile(all, 0.99));
    let ((p50, p99), (peer50, peer99)) = (of(&ours), of(&theirs));
    vec![Row {
        what: "event posted → webhook received, `for: 0`, `group_wait: 0`: p50 / p99",
        ours: format!("{p50:.1} / {p99:.1} ms"),
        baseline: format!(
            "Prometheus (scrape and evaluation every 1 s) with Alertmanager (`group_wait: 0s`), metric flips → webhook: {peer50:.0} / {peer99:.0} ms"
        ),
        ratio: Some(p50 / peer50),
        target: "p99 < 50 ms",
    }]
}

async fn prepare(api: &Api, receiver: &Receiver) {
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    let routing =
        json!({"route": {"channels": ["ops"], "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let rule = json!({"name": "flip event", "match": "type == 'flip'", "aggregate": "count()", "window": "1h", "group_by": ["data.n"],
        "condition": "value >= threshold", "threshold": 1, "channels": []});
    assert_eq!(api.post("/api/v1/rules", &rule).await.0, 201);
}

/// How long it took until the webhook of this alert was received, ms.
async fn arrived(receiver: &Receiver, name: &str, label: &str, n: u64, since: Instant) -> f64 {
    let n = n.to_string();
    let at = eventually_some("the webhook", async || {
        receiver.find(|received| {
            let labels = &received.body["alerts"][0]["labels"];
            labels["alertname"] == name && labels[label] == n.as_str()
        })
    })
    .await
    .at;
    at.duration_since(since).as_secs_f64() * 1e3
}
