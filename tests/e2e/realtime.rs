//! The dashboard's live feed.

use futures_util::StreamExt;
use serde_json::{Value, json};
use streamflow_tests::{Hub, HubConfig};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_snapshot_then_ticks_with_live_events() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/ws/dashboard?token={}", hub.http, api.token))
            .await
            .unwrap();
    let mut next = async || -> Value {
        loop {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    assert_eq!(next().await["type"], "snapshot");
    let batch: Vec<Value> = (0..20)
        .map(|n| json!({"type": "live.test", "source": "s", "data": {"n": n}}))
        .collect();
    assert_eq!(api.post("/events/batch", &batch.into()).await.0, 202);
    let (mut events, mut counted) = (0, 0);
    for _ in 0..20 {
        let tick = next().await;
        assert_eq!(tick["type"], "tick", "{tick}");
        let seen = tick["data"]["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["type"] == "live.test")
            .count();
        events += seen;
        counted += tick["data"]["types"]["live.test"].as_u64().unwrap_or(0);
        if events == 20 && counted == 20 {
            return;
        }
    }
    panic!("{events} events and a count of {counted} instead of 20");
}
