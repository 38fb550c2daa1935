//! Alerts from the first event to the last delivery.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually, eventually_some, hub};

async fn setup(rule: Value) -> (Hub, Api, Receiver) {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    let (status, body) = api.post("/api/v1/channels", &channel).await;
    assert_eq!(status, 201, "{body}");
    let (status, body) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{body}");
    (hub, api, receiver)
}

fn rule() -> Value {
    json!({"name": "too many", "match": "type == 'bad'", "aggregate": "count()", "window": "2s", "group_by": ["source"],
           "condition": "value >= threshold", "threshold": 3, "level": "error", "channels": ["ops"]})
}

async fn send(api: &Api, source: &str, n: usize) {
    let batch: Vec<Value> = (0..n).map(|_| json!({"type": "bad", "source": source})).collect();
    let (status, answer) = api.post("/events/batch", &batch.into()).await;
    assert_eq!(status, 202, "{answer}");
}

fn statuses(receiver: &Receiver, source: &str) -> Vec<String> {
    let mine = receiver
        .received()
        .into_iter()
        .filter(|r| r.body["commonLabels"]["source"] == source || r.body["alerts"][0]["labels"]["source"] == source);
    mine.map(|r| r.body["status"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn fires_once_per_group_and_resolves_by_itself() {
    let (hub, api, receiver) = setup(rule()).await;
    send(&api, "a", 3).await;
    send(&api, "b", 2).await;
    eventually("a fires", async || statuses(&receiver, "a") == ["firing"]).await;
    eventually("a resolves when its windows have emptied", async || {
        statuses(&receiver, "a") == ["firing", "resolved"]
    })
    .await;
    assert!(statuses(&receiver, "b").is_empty(), "b stayed below the threshold");
    let (_, alerts) = api.get("/api/v1/alerts").await;
    let alerts = hub::data(&alerts);
    assert_eq!(alerts.len(), 1, "one alert per rule and group");
    assert_eq!(
        (&alerts[0]["state"], &alerts[0]["resolved_by"]),
        (&json!("resolved"), &json!("streamflow"))
    );
    let history: Vec<&str> = alerts[0]["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|t| t["what"].as_str())
        .collect();
    assert!(
        history.contains(&"firing") && history.contains(&"resolved"),
        "{history:?}"
    );
    assert!(hub.metric("streamflow_alerts_fired_total").await >= 1.0);
}

#[tokio::test]
async fn a_person_acknowledges_and_resolves() {
    let mut slow = rule();
    slow["window"] = json!("1h");
    let (_hub, api, receiver) = setup(slow).await;
    send(&api, "a", 5).await;
    eventually("it fires", async || !receiver.received().is_empty()).await;
    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    let id = hub::data(&alerts)[0]["id"].as_str().unwrap().to_owned();
    let (status, alert) = api
        .post(
            &format!("/api/v1/alerts/{id}/acknowledge"),
            &json!({"comment": "on it"}),
        )
        .await;
    assert_eq!(status, 200, "{alert}");
    let (_, alert) = api.get(&format!("/api/v1/alerts/{id}")).await;
    let alert = alert.get("data").unwrap_or(&alert).clone();
    assert_eq!(
        (&alert["state"], &alert["acknowledged_by"]),
        (&json!("acknowledged"), &json!("admin")),
        "{alert}"
    );
    assert!(alert["timeline"].to_string().contains("on it"), "{alert}");
    let (status, alert) = api
        .post(&format!("/api/v1/alerts/{id}/resolve"), &json!({"comment": "fixed"}))
        .await;
    assert_eq!(status, 200, "{alert}");
    let (_, stats) = api.get("/api/v1/alerts/stats").await;
    assert!(stats.to_string().contains("resolved"), "{stats}");
    let (status, error) = api.post("/api/v1/alerts/nope/acknowledge", &json!({})).await;
    assert_eq!(status, 404, "{error}");
}

#[tokio::test]
async fn alerts_are_worked_on_from_the_command_line() {
    let mut slow = rule();
    slow["window"] = json!("1h");
    let (hub, api, receiver) = setup(slow).await;
    send(&api, "a", 5).await;
    eventually("it fires", async || !receiver.received().is_empty()).await;
    let run = |arguments: &[&str]| {
        let output = hub.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list: Value = serde_json::from_str(&run(&["alert", "list", "--state", "firing", "--output", "json"])).unwrap();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    assert!(run(&["alert", "list"]).contains(&id));
    let done: Value =
        serde_json::from_str(&run(&["alert", "ack", &id, "--comment", "on it", "--output", "json"])).unwrap();
    assert_eq!(done["state"], "acknowledged", "{done}");
    let shown = run(&["alert", "show", &id]);
    assert!(shown.contains("on it") && shown.contains("source=a"), "{shown}");
    assert!(run(&["alert", "resolve", &id, "-m", "fixed"]).contains("resolved"));
    let again = hub.command(&["alert", "resolve", &id]);
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.code() == Some(1) && error.contains("already resolved"),
        "{error}"
    );
    let elsewhere = hub.command(&["alert", "list", "--hub", "http://127.0.0.1:1"]);
    assert_eq!(elsewhere.status.code(), Some(2), "a hub elsewhere needs a token");
    let elsewhere = hub.command(&["alert", "list", "--hub", "http://127.0.0.1:1", "--token", "sfp_x"]);
    let error = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn an_alert_is_kept_firing_for_as_long_as_the_rule_says() {
    let mut kept = rule();
    kept["keep_firing_for"] = json!("1h");
    let (_hub, api, receiver) = setup(kept).await;
    send(&api, "a", 3).await;
    let alert = eventually_some("the condition no longer holds", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
        let alert = hub::data(&alerts).first().cloned()?;
        alert["timeline"].to_string().contains("eased").then_some(alert)
    })
    .await;
    assert_eq!(alert["state"], "firing");
    assert_eq!(statuses(&receiver, "a"), ["firing"]);
}

#[tokio::test]
async fn what_comes_and_goes_is_told_as_one_flapping_alert() {
    let mut quick = rule();
    quick["window"] = json!("1s");
    let (_hub, api, receiver) = setup(quick).await;
    let alert = eventually_some("it flaps", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
        let open = hub::data(&alerts).first().cloned();
        match open {
            Some(alert) if alert["flapping"] == true => Some(alert),
            Some(_) => {
                // Other events move the watermark: its windows close long before the idle timeout.
                let (status, answer) = api.post("/events", &json!({"type": "good", "source": "a"})).await;
                assert_eq!(status, 202, "{answer}");
                None
            }
            // Messages of two alerts may overtake each other, so the end of one is awaited before the next.
            None if statuses(&receiver, "a").last().is_some_and(|last| last == "firing") => None,
            None => {
                send(&api, "a", 3).await;
                None
            }
        }
    })
    .await;
    let told = statuses(&receiver, "a");
    assert_eq!(told[..4], ["firing", "resolved", "firing", "resolved"]);
    assert!(alert["timeline"].to_string().contains("flapping"), "{alert}");
}

#[tokio::test]
async fn pending_lasts_as_long_as_for_says() {
    let mut patient = rule();
    patient["for"] = json!("1h");
    patient["window"] = json!("1h");
    let (_hub, api, receiver) = setup(patient).await;
    send(&api, "a", 5).await;
    let alert = eventually_some("it is pending", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=pending").await;
        hub::data(&alerts).first().cloned()
    })
    .await;
    assert_eq!(alert["fired_at"], Value::Null);
    assert!(receiver.received().is_empty(), "nobody is told before it fires");
}

#[tokio::test]
async fn a_failing_receiver_is_tried_again_with_the_same_key() {
    let mut slow = rule();
    slow["window"] = json!("1h");
    let (_hub, api, receiver) = setup(slow).await;
    receiver.answer_next(&[500, 503]);
    send(&api, "a", 3).await;
    eventually("three attempts", async || receiver.received().len() >= 3).await;
    let received = receiver.received();
    let keys: Vec<_> = received.iter().map(|r| r.headers["idempotency-key"].clone()).collect();
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
    eventually("the delivery log says so", async || {
        let (_, log) = api.get("/api/v1/deliveries").await;
        let log = hub::data(&log);
        log.len() == 1 && log[0]["state"] == "delivered" && log[0]["attempts"] == 3
    })
    .await;
}

#[tokio::test]
async fn a_notification_survives_kill_9() {
    let mut slow = rule();
    slow["window"] = json!("1h");
    let (mut hub, api, receiver) = setup(slow).await;
    receiver.answer_next(&[503; 3]);
    send(&api, "a", 3).await;
    eventually("the first attempt", async || !receiver.received().is_empty()).await;
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    eventually("it is delivered after the restart", async || {
        let (_, log) = api.get("/api/v1/deliveries").await;
        hub::data(&log).first().is_some_and(|d| d["state"] == "delivered")
    })
    .await;
    let keys: std::collections::HashSet<_> = receiver
        .received()
        .iter()
        .map(|r| r.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 1, "one notification, one key");
    let (_, alerts) = api.get("/api/v1/alerts").await;
    assert_eq!(hub::data(&alerts).len(), 1, "the alert is not doubled by the replay");
}

#[tokio::test]
async fn rules_are_checked_when_saved_and_can_be_changed() {
    let (_hub, api, _receiver) = setup(rule()).await;
    let wrong = json!({"name": "", "match": "type ==", "aggregate": "median()", "window": "0s", "condition": "value > threshold", "channels": ["nowhere"]});
    let (status, error) = api.post("/api/v1/rules", &wrong).await;
    assert!(status == 400 || status == 422, "{error}");
    for field in ["name", "match", "aggregate", "window", "threshold", "channels"] {
        assert!(
            error["details"].to_string().contains(field),
            "{field} is not named: {error}"
        );
    }
    let (status, error) = api.post("/api/v1/rules", &rule()).await;
    assert_eq!(status, 409, "a name is unique: {error}");
    let (_, list) = api.get("/api/v1/rules").await;
    let mine = hub::data(&list).into_iter().find(|r| r["name"] == "too many").unwrap();
    let path = format!("/api/v1/rules/{}", mine["id"].as_str().unwrap());
    let mut changed = rule();
    changed["threshold"] = json!(99);
    let (status, answer) = api.put(&path, &changed).await;
    assert_eq!(status, 200, "{answer}");
    let (_, read) = api.get(&path).await;
    assert_eq!(
        read.get("data").unwrap_or(&read)["threshold"].as_f64(),
        Some(99.0),
        "{read}"
    );
    assert!(api.delete(&path).await.0.is_success());
    assert_eq!(api.get(&path).await.0, 404);
}

/// Files of a folder, however deep, that hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() && holds(&std::fs::read(&path).unwrap(), text) {
                found.push(path);
            }
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn channels_hide_secrets_can_be_tested_and_obey_the_egress_list() {
    let (hub, api, receiver) = setup(rule()).await;
    let (status, answer) = api.post("/api/v1/channels/ops/test", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(receiver.received().len(), 1);
    let secret = json!({"name": "sec", "plugin": "webhook", "config": {"url": receiver.url(), "bearer_token": "hunter2-secret"}});
    assert_eq!(api.post("/api/v1/channels", &secret).await.0, 201);
    let (_, shown) = api.get("/api/v1/channels").await;
    assert!(
        shown.to_string().contains("***") && !shown.to_string().contains("hunter2-secret"),
        "{shown}"
    );
    let (status, answer) = api.post("/api/v1/channels/sec/test", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let sent = receiver.received().pop().unwrap();
    assert_eq!(
        sent.headers["authorization"], "Bearer hunter2-secret",
        "the plugin gets it"
    );
    let data = hub.dir().join("data");
    assert!(
        !files_with(&data, &receiver.url()).is_empty(),
        "what is stored can be found"
    );
    let mut leaks = files_with(&data, "hunter2-secret");
    leaks.retain(|path| !path.ends_with("secrets.key"));
    assert!(leaks.is_empty(), "{leaks:?}");
    let log = std::fs::read_to_string(hub.dir().join("hub.log")).unwrap();
    assert!(!log.contains("hunter2-secret"), "{log}");
    let outside = json!({"name": "lan", "plugin": "webhook", "config": {"url": "http://127.0.0.1:1/hook"}});
    let (status, _) = api.post("/api/v1/channels", &outside).await;
    if status == 201 {
        let (status, answer) = api.post("/api/v1/channels/lan/test", &json!({})).await;
        assert!(
            !status.is_success() || answer.to_string().contains("egress"),
            "{answer}"
        );
    }
    let unknown = json!({"name": "x", "plugin": "pigeon", "config": {}});
    let (status, error) = api.post("/api/v1/channels", &unknown).await;
    assert!(
        status.is_client_error() && error.to_string().contains("pigeon"),
        "{error}"
    );
    let (_, plugins) = api.get("/api/v1/plugins").await;
    let webhook = hub::data(&plugins)
        .into_iter()
        .find(|p| p["name"] == "webhook")
        .unwrap();
    assert_eq!(webhook["state"], "active", "{webhook}");
}
