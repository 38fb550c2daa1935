//! Requests so large that what they bring is a chunk at once.

use std::fmt::Write as _;

use serde_json::{Value, json};
use streamflow_model::Role;
use uuid::Uuid;

use super::{Hub, http::call};
use crate::Options;

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn id_of(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_d6c4_0000_7000_8000_0000_0000_0000 | u128::from(n))
}

/// Events of about 300 bytes, so that 5,000 of them are beyond a megabyte.
fn line(n: u64) -> String {
    let pad = format!("{n:0>200}");
    json!({"id": id_of(n), "type": "load", "source": format!("host-{}", n % 7), "data": {"n": n, "pad": pad}})
        .to_string()
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

async fn post(hub: &Hub, body: String) -> (u16, Value) {
    call(hub.as_role(Role::Ingest), "POST", "/events/batch", &[LINES], body).await
}

fn ids(answer: &Value) -> Vec<Uuid> {
    let ids = answer["data"]["event_ids"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_is_a_chunk_and_sending_it_again_changes_nothing() {
    let mut hub = Hub::start().await;
    let body = lines(0..5000);
    assert!(body.len() > 1 << 20);
    for _ in 0..2 {
        let (status, answer) = post(&hub, body.clone()).await;
        assert_eq!(status, 202, "{}", answer["message"]);
        assert_eq!(ids(&answer), (0..5000).map(id_of).collect::<Vec<_>>());
        let stats = hub.store.stats().await.unwrap();
        assert_eq!(
            (stats.events, stats.inbox_frames, stats.chunks, stats.position),
            (5000, 0, 1, 1)
        );
    }
    // Half of it is new: that half alone is stored, as what it is large enough for.
    let (status, answer) = post(&hub, lines(2500..7500)).await;
    assert_eq!((status, ids(&answer)), (202, (2500..7500).map(id_of).collect()));
    assert_eq!(hub.count().await, 7500);
    let event = hub.store.event(id_of(7499)).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(event).unwrap()["data"]["n"], 7499);

    hub = hub.restart().await;
    let (status, answer) = post(&hub, body).await;
    assert_eq!((status, ids(&answer).len()), (202, 5000));
    assert_eq!(hub.count().await, 7500, "the ids are read back");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_counts_a_large_request_as_several_frames() {
    let mut hub = Hub::start().await;
    for part in 0..3 {
        let (status, _) = post(&hub, lines(part * 5000..part * 5000 + 5000)).await;
        assert_eq!(status, 202);
        let stored = streamflow_model::Instant::now();
        super::until("the clock moves on", async || streamflow_model::Instant::now() > stored).await;
    }
    let options = Options {
        dedup_restore_frames: 10,
        ..Options::default()
    };
    hub = hub.restart_with(options).await;
    for (part, events) in [(1, 15_000), (2, 15_000), (0, 20_000)] {
        let (status, _) = post(&hub, lines(part * 5000..part * 5000 + 5000)).await;
        assert_eq!((status, hub.count().await), (202, events), "part {part}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_events_of_a_large_request_are_named_and_the_good_are_kept() {
    let hub = Hub::start().await;
    let mut texts: Vec<String> = (0..6000).map(line).collect();
    texts[7] = "{\"type\":".to_owned();
    texts[4500] = json!({"type": "streamflow.partials", "source": "s"}).to_string();
    texts[5999] = json!({"source": "s"}).to_string();
    for (content, body) in [
        ("application/x-ndjson", texts.join("\n")),
        ("application/json", {
            texts[7] = "{}".to_owned();
            format!("[{}]", texts.join(","))
        }),
    ] {
        let headers = [("content-type", content)];
        let (status, answer) = call(hub.as_role(Role::Ingest), "POST", "/events/batch", &headers, body).await;
        assert_eq!(status, 202);
        let rejected: Vec<u64> = answer["data"]["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|refused| refused["index"].as_u64().unwrap())
            .collect();
        assert_eq!((rejected, ids(&answer).len()), (vec![7, 4500, 5999], 5997), "{content}");
        assert_eq!(hub.count().await, 5997);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_found_no_room_may_be_sent_again() {
    let hub = Hub::start().await;
    // Three parts, the second of which finds the disk full.
    let body = lines(0..20_000);
    assert!(body.len() > 5 << 20);
    hub.flaky.unlucky.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(post(&hub, body.clone()).await.0, 503);
    let stored = hub.count().await;
    assert!(stored > 4096 && stored < 20_000, "{stored}");
    let (status, answer) = post(&hub, body).await;
    assert_eq!((status, ids(&answer).len()), (202, 20_000));
    assert_eq!(hub.count().await, 20_000, "what is stored is not stored twice");
    hub.stop().await;
}
