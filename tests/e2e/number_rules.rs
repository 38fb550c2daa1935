//! The shipped rules over numbers: how fast one changes, and how far it is from its usual values.

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, eventually_some, hub};

async fn send(api: &Api, name: &str, values: &[f64]) {
    for value in values {
        let event = json!({"type": "metric", "source": "web-1", "data": {"name": name, "value": value}});
        let (status, body) = api.post("/events", &event).await;
        assert_eq!(status, 202, "{body}");
    }
}

async fn rule(api: &Api, name: &str, plugin: &str, config: Value) {
    let rule = json!({"name": name, "kind": "plugin", "plugin": plugin, "config": config, "match": "type == 'metric'", "level": "error"});
    let (status, body) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{body}");
}

/// The alert of a series, once it is in this state.
async fn alert(api: &Api, rule: &str, key: &str, state: &str) -> Value {
    eventually_some(&format!("{key} of {rule} is {state}"), async || {
        let (_, alerts) = api.get("/api/v1/alerts").await;
        let mine =
            |alert: &Value| alert["rule_name"] == rule && alert["labels"]["key"] == key && alert["state"] == state;
        hub::data(&alerts).into_iter().find(mine)
    })
    .await
}

#[tokio::test]
async fn a_number_that_rises_fast_raises_an_alert() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let wrong = json!({"name": "x", "kind": "plugin", "plugin": "rate-of-change", "config": {"direction": "sideways"}});
    let (status, body) = api.post("/api/v1/rules", &wrong).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.to_string().contains("config.direction"), "{body}");
    rule(
        &api,
        "fast",
        "rate-of-change",
        json!({"amount": 50, "within_seconds": 3600, "direction": "up"}),
    )
    .await;
    send(&api, "calm", &[10.0, 59.0, 12.0]).await;
    send(&api, "queue", &[10.0, 30.0, 70.0]).await;
    let alert = alert(&api, "fast", "web-1 queue", "firing").await;
    assert_eq!(
        (&alert["value"], &alert["level"], &alert["labels"]["source"]),
        (&json!(60.0), &json!("error"), &json!("web-1"))
    );
    assert!(
        alert["title"].as_str().unwrap().contains("rose from 10 to 70"),
        "{alert}"
    );
    let (_, alerts) = api.get("/api/v1/alerts").await;
    assert!(!alerts.to_string().contains("web-1 calm"), "{alerts}");
}

#[tokio::test]
async fn a_number_far_from_its_mean_raises_an_alert_that_ends_when_it_is_back() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    rule(&api, "odd", "zscore", json!({"samples": 10, "threshold": 4})).await;
    let usual: Vec<f64> = (0..20).map(|n| if n % 2 == 0 { 99.0 } else { 101.0 }).collect();
    send(&api, "latency", &usual).await;
    send(&api, "latency", &[130.0]).await;
    let odd = alert(&api, "odd", "web-1 latency", "firing").await;
    assert!(odd["value"].as_f64().unwrap() > 4.0, "{odd}");
    assert!(
        odd["title"]
            .as_str()
            .unwrap()
            .contains("standard deviations above its mean"),
        "{odd}"
    );
    send(&api, "latency", &[100.0]).await;
    let over = alert(&api, "odd", "web-1 latency", "resolved").await;
    assert_eq!(over["id"], odd["id"]);
}
