use axum::{Router, extract::ws::WebSocketUpgrade, routing::any};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame as Closed};

use super::*;

/// A server with one route, whose connections report how they ended.
struct Server {
    url: String,
    ticks: broadcast::Sender<Utf8Bytes>,
    ends: mpsc::Receiver<End>,
    stopping: CancellationToken,
}

async fn server(stall: Duration) -> Server {
    let (ticks, _) = broadcast::channel(8);
    let (report, ends) = mpsc::channel(8);
    let stopping = CancellationToken::new();
    let route = any({
        let (ticks, stopping) = (ticks.clone(), stopping.clone());
        move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |socket| async move {
                let end = serve(
                    socket,
                    Utf8Bytes::from_static("snapshot"),
                    ticks.subscribe(),
                    stall,
                    stopping,
                )
                .await;
                report.send(end).await.unwrap();
            })
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", route)).await });
    Server {
        url,
        ticks,
        ends,
        stopping,
    }
}

#[tokio::test]
async fn snapshot_ticks_pong_and_a_goodbye() {
    let mut server = server(Duration::from_secs(5)).await;
    let (mut client, _) = tokio_tungstenite::connect_async(&server.url).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text("snapshot"));
    server.ticks.send("tick".into()).unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text("tick"));
    client.send(Frame::text(r#"{"type":"ping"}"#)).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text(r#"{"type":"pong"}"#));
    client.send(Frame::text("not json")).await.unwrap();
    server.stopping.cancel();
    let Frame::Close(Some(Closed { code, .. })) = client.next().await.unwrap().unwrap() else {
        panic!("no close frame")
    };
    assert_eq!(u16::from(code), close_code::AWAY);
    assert_eq!(server.ends.recv().await, Some(End::Done));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let mut server = server(Duration::from_millis(300)).await;
    let (mut client, _) = tokio_tungstenite::connect_async(&server.url).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text("snapshot"));
    // together far more than the buffers of both ends hold
    let large = Utf8Bytes::from("x".repeat(8 * 1024 * 1024));
    for _ in 0..6 {
        server.ticks.send(large.clone()).unwrap();
    }
    let end = timeout(Duration::from_secs(10), server.ends.recv()).await.unwrap();
    assert_eq!(end, Some(End::Stalled));
}
