//! Ten thousand alerts that fire at once: until all are handed to their channel, and what that does to another alert.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually_some};

use crate::report::Row;

/// As one group, and each by itself.
pub async fn at_once(alerts: usize) -> Vec<Row> {
    let (grouped, other) = storm(alerts, true).await;
    let (single, other_single) = storm(alerts, false).await;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    vec![
        Row {
            what: "10,000 alerts fire at once, one group: until the channel was told of all of them",
            ours: format!("{:.0} ms", ms(grouped)),
            baseline: "–".into(),
            ratio: None,
            target: "< 2 s",
        },
        Row {
            what: "the same: another alert meanwhile, event → webhook: by a channel of its own / by the same channel",
            ours: format!("{:.0} / {:.0} ms", ms(other.own), ms(other.same)),
            baseline: "–".into(),
            ratio: None,
            target: "< 1 s",
        },
        Row {
            what: "10,000 alerts fire at once, not grouped: until 10,000 webhooks were received",
            ours: format!("{:.0} ms", ms(single)),
            baseline: "–".into(),
            ratio: None,
            target: "–",
        },
        Row {
            what: "the same: another alert meanwhile, event → webhook: by a channel of its own / by the same channel",
            ours: format!("{:.0} / {:.0} ms", ms(other_single.own), ms(other_single.same)),
            baseline: "–".into(),
            ratio: None,
            target: "< 1 s",
        },
    ]
}

/// How long other alerts took meanwhile.
struct Other {
    own: Duration,
    same: Duration,
}

async fn storm(alerts: usize, grouped: bool) -> (Duration, Other) {
    let (receiver, quiet) = (Receiver::start().await, Receiver::start().await);
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone(), quiet.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    prepare(&api, &receiver, &quiet, grouped).await;
    // Compiles the plugin and opens the connections.
    for (kind, receiver) in [("own", &quiet), ("same", &receiver)] {
        other(&api, kind, 0, receiver).await;
    }
    let events: Vec<String> = (0..alerts)
        .map(|n| json!({"type": "storm", "source": "bench", "data": {"n": n}}).to_string())
        .collect();
    let begun = Instant::now();
    let (status, answer) = api
        .post_raw("/events/batch", "application/x-ndjson", events.join("\n"))
        .await;
    assert_eq!(status, 202, "{answer}");
    let (own, same) = tokio::join!(other(&api, "own", 1, &quiet), other(&api, "same", 1, &receiver));
    let done = eventually_some("all alerts are told of", async || told_of(&receiver, alerts, grouped)).await;
    (done.duration_since(begun), Other { own, same })
}

async fn prepare(api: &Api, receiver: &Receiver, quiet: &Receiver, grouped: bool) {
    for (name, receiver) in [("storm", receiver), ("quiet", quiet)] {
        let channel = json!({"name": name, "plugin": "webhook", "config": {"url": receiver.url()}});
        assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    }
    let routing = json!({"route": {"channels": ["storm"], "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let rule = |name: &str, channels: Value| {
        json!({"name": name, "match": format!("type == '{name}'"), "aggregate": "count()", "window": "1h", "group_by": ["data.n"],
            "condition": "value >= threshold", "threshold": 1, "channels": channels, "max_groups": 20_000})
    };
    let storm = if grouped { json!([]) } else { json!(["storm"]) };
    for rule in [
        rule("storm", storm),
        rule("own", json!(["quiet"])),
        rule("same", json!(["storm"])),
    ] {
        assert_eq!(api.post("/api/v1/rules", &rule).await.0, 201);
    }
}

/// Another alert: from its event to its webhook.
async fn other(api: &Api, kind: &str, n: usize, receiver: &Receiver) -> Duration {
    let begun = Instant::now();
    let event = json!({"type": kind, "source": "bench", "data": {"n": n}});
    assert_eq!(api.post("/events", &event).await.0, 202);
    let number = n.to_string();
    let found = eventually_some("the other alert's webhook", async || {
        receiver.find(|received| {
            let labels = &received.body["alerts"][0]["labels"];
            labels["alertname"] == kind && labels["data.n"] == number.as_str()
        })
    });
    found.await.at.duration_since(begun)
}

/// When the channel had been told of all alerts.
fn told_of(receiver: &Receiver, alerts: usize, grouped: bool) -> Option<Instant> {
    let storm = |body: &Value| body["alerts"][0]["labels"]["alertname"] == "storm";
    if grouped {
        let all = |body: &Value| {
            let listed = body["alerts"].as_array().map_or(0, Vec::len);
            let omitted = body["truncatedAlerts"].as_u64().unwrap_or_default();
            storm(body) && listed + usize::try_from(omitted).unwrap() == alerts
        };
        return receiver
            .find(|received| all(&received.body))
            .map(|received| received.at);
    }
    if receiver.count() < alerts {
        return None;
    }
    let received = receiver.received();
    let own = received.iter().filter(|received| storm(&received.body));
    let different: BTreeSet<String> = own
        .clone()
        .map(|received| received.body["alerts"][0]["labels"]["data.n"].to_string())
        .collect();
    (different.len() == alerts)
        .then(|| own.map(|received| received.at).max())
        .flatten()
}
