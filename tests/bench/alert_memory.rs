//! What a hundred thousand active alerts cost in memory, beside an Alertmanager that has as many.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamflow_tests::{Hub, HubConfig, Receiver, eventually};

use crate::{
    peers::{Alertmanager, installed},
    report::Row,
    settled::settled,
};

/// Events of one request.
const PER_REQUEST: usize = 5000;
const MIB: f64 = 1_048_576.0;
/// How long a hub rests before it is looked at: what was only needed on the way has been given back by then.
const REST: Duration = Duration::from_secs(60);

/// So many groups of one rule fire, and are told of as one group.
pub async fn active(alerts: usize) -> Vec<Row> {
    let receiver = Receiver::start().await;
    let mut hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    let routing =
        json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1h"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let rule = json!({"name": "active", "match": "type == 'active'", "aggregate": "count()", "window": "6h", "group_by": ["data.host"],
        "condition": "value >= threshold", "threshold": 1, "channels": [], "max_groups": alerts});
    let (status, answer) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{answer}");
    settled(hub.process()).await;
    let fresh = hub.process().resident();
    tokio::time::sleep(REST).await;
    let empty = hub.process().resident();
    for begin in (0..alerts).step_by(PER_REQUEST) {
        let mut lines = String::new();
        for n in begin..(begin + PER_REQUEST).min(alerts) {
            let event = json!({"type": "active", "source": "bench", "data": {"host": host(n)}});
            writeln!(lines, "{event}").unwrap();
        }
        let (status, answer) = api.post_raw("/events/batch", "application/x-ndjson", lines).await;
        assert_eq!(status, 202, "{answer}");
    }
    eventually("all alerts are active", async || {
        hub.metric("streamflow_alerts_active").await >= alerts as f64
    })
    .await;
    let fired = hub.process().resident();
    tokio::time::sleep(REST).await;
    let full = hub.process().resident();
    let peer = if installed() {
        format!("Alertmanager with as many {:.0} MiB", alertmanager(alerts).await / MIB)
    } else {
        "–".to_owned()
    };
    let (started, begun) = restart(&mut hub, alerts).await;
    tokio::time::sleep(REST).await;
    let again = hub.process().resident();
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MIB);
    let each = (full as f64 - empty as f64) / alerts as f64 / 1024.0;
    let row = |what: &'static str, ours: String, baseline: String, target: &'static str| Row {
        what,
        ours,
        baseline,
        ratio: None,
        target,
    };
    let none = || "–".to_owned();
    vec![
        row(
            "hub resident memory before the first alert: after its start / after a minute's rest",
            format!("{} / {}", mib(fresh), mib(empty)),
            none(),
            "–",
        ),
        row(
            "hub resident memory with 100,000 active alerts: as soon as the last has fired",
            mib(fired),
            none(),
            "–",
        ),
        row(
            "the same after a minute's rest (and for each alert)",
            format!("{} ({each:.2} KiB)", mib(full)),
            peer,
            "< 200 MiB",
        ),
        row(
            "the same after a restart: as soon as the hub is ready / after a minute's rest",
            format!("{} / {}", mib(begun), mib(again)),
            none(),
            "< 200 MiB",
        ),
        row(
            "a start with 100,000 active alerts, until the hub is ready with all of them",
            format!("{:.1} s", started.as_secs_f64()),
            none(),
            "–",
        ),
    ]
}

/// Ends the hub and starts it again; how long the start takes, and what the hub holds then.
async fn restart(hub: &mut Hub, alerts: usize) -> (Duration, u64) {
    assert!(hub.terminate().success());
    let begun = Instant::now();
    hub.restart();
    let took = begun.elapsed();
    let resident = hub.process().resident();
    let active = hub.metric("streamflow_alerts_active").await;
    assert!(active >= alerts as f64, "{active} of {alerts} alerts");
    (took, resident)
}

fn host(n: usize) -> String {
    format!("host-{n:06}.example.org")
}

async fn alertmanager(alerts: usize) -> f64 {
    let receiver = Receiver::start().await;
    let peer = Alertmanager::grouping(&receiver.url(), "['alertname']", "1s", "1h").await;
    let client = reqwest::Client::new();
    for begin in (0..alerts).step_by(PER_REQUEST) {
        let batch: Vec<Value> = (begin..(begin + PER_REQUEST).min(alerts))
            .map(|n| {
                json!({"labels": {"alertname": "active", "severity": "warning", "host": host(n)},
                    "annotations": {"summary": format!("active: 1 >= 1 for host={}", host(n))}})
            })
            .collect();
        let posted = client
            .post(format!("http://{}/api/v2/alerts", peer.address))
            .json(&batch)
            .send()
            .await
            .unwrap();
        assert!(posted.status().is_success(), "{}", posted.status());
    }
    tokio::time::sleep(REST).await;
    peer.process.resident() as f64
}
