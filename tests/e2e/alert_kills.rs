//! kill -9 around the moment in which a notification leaves the hub: it arrives, at most once more for each kill, always under
//! the same key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually, hub};

/// Kills of each kind.
const KILLS: usize = 10;

async fn fire(api: &Api, source: &str) {
    let (status, answer) = api.post("/events", &json!({"type": "bad", "source": source})).await;
    assert_eq!(status, 202, "{answer}");
}

/// How often each key was received.
fn keys(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for one in receiver.received() {
        let key = one.headers["idempotency-key"].to_str().unwrap().to_owned();
        *keys.entry(key).or_insert(0) += 1;
    }
    keys
}

#[tokio::test]
async fn a_notification_is_never_lost_and_repeated_at_most_once_for_each_kill() {
    let receiver = Receiver::start().await;
    let mut hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        fixed_ports: true,
        ..HubConfig::default()
    });
    let mut api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    let rule = json!({"name": "bad", "match": "type == 'bad'", "window": "1h", "group_by": ["source"], "condition": "value >= threshold",
        "threshold": 1, "channels": ["ops"]});
    let grouped = json!({"name": "bad together", "match": "type == 'bad'", "window": "1h", "group_by": ["source"],
        "condition": "value >= threshold", "threshold": 1});
    let routing = json!({"route": {"channels": ["ops"], "group_by": ["source"], "group_wait": "0s"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    for rule in [rule, grouped] {
        assert_eq!(api.post("/api/v1/rules", &rule).await.0, 201);
    }
    for round in 0..2 * KILLS {
        let before = receiver.received().len();
        // Every other time the hub is killed while it waits for the answer: it has sent, and cannot have noted it.
        let unanswered = round % 2 == 0;
        if unanswered {
            receiver.hold();
        }
        fire(&api, &format!("s{round}")).await;
        eventually("a notification is on its way", async || {
            receiver.received().len() > before
        })
        .await;
        hub.kill();
        receiver.let_go();
        hub.restart();
        api = hub.admin().await;
        eventually("everything is delivered", async || {
            let (_, log) = api.get("/api/v1/deliveries?state=pending").await;
            let (_, done) = api.get("/api/v1/deliveries?state=delivered&limit=1000").await;
            hub::data(&log).is_empty() && hub::data(&done).len() == 2 * (round + 1)
        })
        .await;
    }
    let (_, done) = api.get("/api/v1/deliveries?limit=1000").await;
    let wanted: BTreeSet<String> = hub::data(&done)
        .iter()
        .map(|delivery: &Value| delivery["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    let keys = keys(&receiver);
    let received: BTreeSet<String> = keys.keys().cloned().collect();
    assert_eq!(received, wanted, "what was written was sent, and nothing else");
    assert_eq!(wanted.len(), 4 * KILLS, "one for each alert of both rules");
    let repeated: usize = keys.values().map(|count| count - 1).sum();
    assert!(keys.values().all(|count| *count <= 2), "{keys:?}");
    assert!(repeated >= KILLS, "a kill before the note repeats: {repeated}");
    let (_, alerts) = api.get("/api/v1/alerts?limit=1000").await;
    assert_eq!(hub::data(&alerts).len(), 4 * KILLS, "no alert is doubled");
}
