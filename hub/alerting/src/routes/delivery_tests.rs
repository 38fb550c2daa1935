//! Deliveries sent again, and channels for which some wait.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::tests::Hub;

/// The newest delivery in this state, as soon as there is one.
async fn delivery(hub: &Hub, state: &str) -> Value {
    let uri = format!("/api/v1/deliveries?state={state}");
    let found = async {
        loop {
            let found = hub.get(&uri).await["data"][0].clone();
            if !found.is_null() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), found)
        .await
        .expect("a delivery")
}

#[tokio::test]
async fn an_old_end_is_not_sent_again_while_another_alert_of_its_key_fires() {
    let (hub, rule) = Hub::with_rule().await;
    hub.fire(&rule, 0, 57.0).await;
    delivery(&hub, "delivered").await;
    hub.ledger().refuse.store(1, Ordering::SeqCst);
    hub.fire(&rule, 1, 1.0).await;
    let failed = delivery(&hub, "failed").await;
    assert_eq!(failed["status"], "resolved");
    hub.fire(&rule, 2, 57.0).await;
    hub.ledger().until(3).await;
    let uri = format!("/api/v1/deliveries/{}/retry", failed["id"].as_str().unwrap());
    let (status, refused) = hub.edit("POST", &uri, Value::Null).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("fires now"), "{refused}");
    let all = hub.edit("POST", "/api/v1/deliveries/retry", json!({})).await;
    assert_eq!((all.0, &all.1["data"]["retried"]), (200, &json!(0)));
    // When that one is over as well, it ends nothing any more.
    hub.fire(&rule, 3, 1.0).await;
    hub.ledger().until(4).await;
    assert_eq!(hub.edit("POST", &uri, Value::Null).await.0, 200);
    let again = &hub.ledger().until(5).await[4].0;
    assert_eq!(again.idempotency_key, failed["idempotency_key"].as_str().unwrap());
}

#[tokio::test]
async fn a_channel_stays_while_something_waits_for_it_unless_that_is_given_up() {
    let (hub, rule) = Hub::with_rule().await;
    let slow = json!({"plugin": "webhook", "config": {"url": "https://x.example"}, "rate_per_minute": 1});
    assert_eq!(hub.edit("PUT", "/api/v1/channels/ops", slow).await.0, 200);
    hub.ledger().fail.store(1, Ordering::SeqCst);
    hub.fire(&rule, 0, 57.0).await;
    hub.ledger().until(1).await;
    let uri = format!("/api/v1/rules/{rule}");
    assert_eq!(hub.edit("DELETE", &uri, Value::Null).await.0, 204);
    let (status, refused) = hub.edit("DELETE", "/api/v1/channels/ops", Value::Null).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(
        refused["details"]["waiting"], 2,
        "that it fires, and its end: {refused}"
    );
    assert_eq!(refused["details"]["deliveries"].as_array().unwrap().len(), 2);
    let forced = hub.edit("DELETE", "/api/v1/channels/ops?force=true", Value::Null).await;
    assert_eq!(forced.0, 204, "{forced:?}");
    let failed = delivery(&hub, "failed").await;
    assert_eq!(failed["error"], "the channel was deleted");
}
