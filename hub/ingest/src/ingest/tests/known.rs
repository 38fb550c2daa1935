//! Batches of which some events are known: the others are stored, all of them, under the ids that the client is told.

use serde_json::{Map, Value, json};
use streamflow_model::Role;
use uuid::Uuid;

use super::{Hub, http::call};

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn id_of(n: usize) -> Uuid {
    Uuid::from_u128(0x0190_d6c4_0000_7000_8000_0000_0000_0000 | n as u128)
}

/// Ids that are answered to these lines.
async fn post(hub: &Hub, lines: &[String]) -> Vec<Uuid> {
    let body = lines.join("\n");
    let (status, answer) = call(hub.as_role(Role::Ingest), "POST", "/events/batch", &[LINES], body).await;
    assert_eq!(status, 202, "{}", answer["message"]);
    let ids = answer["data"]["event_ids"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

/// The `data` of an event that is stored.
async fn data(hub: &Hub, id: Uuid) -> Value {
    let event = hub.store.event(id).await.unwrap();
    let event = event.unwrap_or_else(|| panic!("{id} is not stored"));
    serde_json::to_value(event).unwrap()["data"].clone()
}

/// An event of about 3 kB: a hundred texts, none of which comes twice.
fn wide(n: usize) -> Value {
    let texts: Map<String, Value> = (0..100)
        .map(|column| (format!("c{column:02}"), json!(format!("{n:0>20}{column:0>4}"))))
        .collect();
    Value::Object(texts)
}

/// A kept builder has learnt that texts do not repeat, so its batches are full later than those of a fresh one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_in_a_full_batch_is_stored_all_of_it() {
    let hub = Hub::start().await;
    let lines: Vec<String> = (0..410)
        .map(|n| json!({"id": id_of(n), "type": "wide", "source": "s", "data": wide(n)}).to_string())
        .collect();
    let ids: Vec<Uuid> = (0..410).map(id_of).collect();
    assert_eq!(post(&hub, &lines[..150]).await, &ids[..150]);
    // The first event is known; the batch that it is in is full before the request ends.
    let second = &lines[149..];
    let bytes: usize = second.iter().map(String::len).sum();
    assert!(bytes > 700 * 1024 && bytes < 1024 * 1024, "{bytes}");
    for _ in 0..2 {
        assert_eq!(post(&hub, second).await, &ids[149..]);
        assert_eq!(hub.count().await, 410);
    }
    for n in [149, 150, 370, 375, 380, 409] {
        assert_eq!(data(&hub, id_of(n)).await, wide(n));
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_has_the_id_that_is_answered() {
    let hub = Hub::start().await;
    let pad = "x".repeat(300);
    let line = |n: usize| {
        let mut event = json!({"type": "mixed", "source": "s", "data": {"n": n, "pad": pad}});
        match n % 3 {
            0 => event["id"] = json!(id_of(0)),
            1 => event["id"] = json!(id_of(n)),
            _ => {}
        }
        event.to_string()
    };
    assert_eq!(post(&hub, &[line(0)]).await, [id_of(0)]);
    let lines: Vec<String> = (0..300).map(line).collect();
    let answered = post(&hub, &lines).await;
    assert_eq!((answered.len(), hub.count().await), (300, 201));
    for n in [0, 1, 2, 3, 4, 5, 149, 151, 298, 299] {
        let stored = if n % 3 == 0 { 0 } else { n };
        assert_eq!(data(&hub, answered[n]).await["n"], json!(stored), "event {n}");
    }
    hub.stop().await;
}
