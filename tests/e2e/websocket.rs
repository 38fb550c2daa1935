//! The WebSocket door.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamflow_tests::{Hub, HubConfig};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

#[tokio::test]
async fn events_are_acknowledged_and_pings_answered() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut request = format!("ws://{}/ws", hub.http).into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {}", api.token).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();

    let mut ask = async |message: Value| -> Value {
        socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    assert_eq!(ask(json!({"type": "ping"})).await["type"], "pong");
    let ack = ask(json!({"type": "event", "data": {"type": "ws.test", "source": "socket", "data": {"n": 1}}})).await;
    let id = ack["event_id"]
        .as_str()
        .unwrap_or_else(|| panic!("an acknowledgement with the id: {ack}"))
        .to_owned();
    let refused = ask(json!({"type": "event", "data": {"source": "socket"}})).await;
    assert_eq!(refused["type"], "error", "{refused}");
    assert_eq!(
        ask(json!({"type": "ping"})).await["type"],
        "pong",
        "the socket survives a bad event"
    );
    let (status, event) = api.get(&format!("/events/{id}")).await;
    assert_eq!(
        (status.as_u16(), &event["data"]["source"]),
        (200, &json!("socket")),
        "{event}"
    );
}

#[tokio::test]
async fn without_a_token_nothing_opens() {
    let hub = Hub::start(&HubConfig::default());
    for path in ["/ws", "/ws/dashboard"] {
        let refused = tokio_tungstenite::connect_async(format!("ws://{}{path}", hub.http)).await;
        assert!(refused.is_err(), "{path}");
    }
}
