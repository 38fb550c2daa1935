//! The WebSocket door, over a real socket.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use streamflow_model::Role;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::{Hub, http};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(hub: &Hub, role: Role) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = hub.as_role(role);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(connect_async(format!("ws://{address}/ws")).await.unwrap().0)
    }

    async fn say(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let hear = async {
            loop {
                match self.0.next().await.expect("still open").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Close(frame) => return json!({"closed": frame.map(|frame| frame.reason.to_string())}),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), hear)
            .await
            .expect("the hub says nothing")
    }
}

#[tokio::test]
async fn events_are_acknowledged_in_order_when_durable() {
    let hub = Hub::start().await;
    let mut client = Client::open(&hub, Role::Ingest).await;
    for n in 0..50 {
        client
            .say(json!({"type": "event", "ref": n.to_string(), "data": {"type": "t", "source": "s", "data": {"n": n}}}))
            .await;
    }
    for n in 0..50 {
        let ack = client.hear().await;
        assert_eq!(
            (&ack["type"], &ack["success"], &ack["ref"]),
            (&json!("ack"), &json!(true), &json!(n.to_string())),
            "{ack}"
        );
        let id = ack["event_id"].as_str().unwrap();
        assert_eq!(
            http::call(hub.as_role(Role::Viewer), "GET", &format!("/events/{id}"), &[], "")
                .await
                .0,
            200
        );
    }
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await["type"], "pong");
    for (wrong, field) in [
        (json!({"type": "event", "data": {"type": "t"}}), json!("source")),
        (json!({"type": "event"}), json!("data")),
        (json!({"type": "dance"}), json!("type")),
        (json!({"type": "subscribe"}), Value::Null),
    ] {
        client.say(&wrong).await;
        let error = client.hear().await;
        assert_eq!(
            (&error["type"], &error["details"]["field"]),
            (&json!("error"), &field),
            "{wrong}: {error}"
        );
    }
    client.say("{").await;
    assert_eq!(client.hear().await["details"]["line"], 1);
    assert_eq!(hub.count().await, 50);
    assert_eq!(hub.counted("streamflow_events_total", "ws"), 50.0);
    hub.stop().await;
}

#[tokio::test]
async fn subscribers_see_what_matches_from_every_door() {
    let hub = Hub::start().await;
    let mut client = Client::open(&hub, Role::Editor).await;
    client.say(json!({"type": "subscribe", "filter": "type =="})).await;
    assert_eq!(client.hear().await["details"]["field"], "filter");
    client.say(json!({"type": "subscribe", "filter": "data.n > 1"})).await;
    assert_eq!(client.hear().await["type"], "subscribed");
    let lines =
        "{\"type\":\"t\",\"source\":\"s\",\"data\":{\"n\":1}}\n{\"type\":\"t\",\"source\":\"s\",\"data\":{\"n\":2.50}}";
    let (status, _) = http::call(
        hub.as_role(Role::Ingest),
        "POST",
        "/events",
        &[("content-type", "application/x-ndjson")],
        lines,
    )
    .await;
    assert_eq!(status, 202);
    let event = client.hear().await;
    assert_eq!(
        (&event["type"], &event["data"]["data"]["n"]),
        (&json!("event"), &json!(2.5))
    );
    client.say(json!({"type": "unsubscribe"})).await;
    assert_eq!(client.hear().await["type"], "unsubscribed");
    hub.token.cancel();
    assert_eq!(client.hear().await["closed"], "the hub is stopping");
    hub.stop().await;
}
