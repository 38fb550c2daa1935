//! One live client: the snapshot, then every tick, until it leaves, stalls or its token has run out.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// A connection is renewed after this long: the page opens the next one with a fresh token, a removed user cannot.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// Close code that asks for this renewal.
const RENEW: u16 = 4001;
/// Sent when nothing else was; browsers answer by themselves, so a peer that is gone is noticed.
const PING: Duration = Duration::from_secs(20);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client left, or was asked to renew or to go.
    Done,
    /// The client took too little for too long.
    Stalled,
}

/// Serves one client. `ticks` must have been subscribed before the snapshot was made, so that nothing falls between.
pub(super) async fn serve(
    socket: WebSocket,
    snapshot: Utf8Bytes,
    mut ticks: broadcast::Receiver<Utf8Bytes>,
    stall: Duration,
    stopping: CancellationToken,
) -> End {
    let (mut sink, mut stream) = socket.split();
    let end_of_life = sleep_until(Instant::now() + LIFE);
    tokio::pin!(end_of_life);
    let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
    let mut next = Some(Message::Text(snapshot));
    loop {
        if let Some(message) = next.take() {
            match timeout(stall, sink.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Done,
                Err(_) => return End::Stalled,
            }
        }
        tokio::select! {
            tick = ticks.recv() => match tick {
                Ok(tick) => next = Some(Message::Text(tick)),
                Err(broadcast::error::RecvError::Lagged(_)) => return End::Stalled,
                Err(broadcast::error::RecvError::Closed) => return close(sink, close_code::AWAY, "the hub is stopping", stall).await,
            },
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => next = answer(&text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Done,
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            },
            _ = ping.tick() => next = Some(Message::Ping(axum::body::Bytes::new())),
            () = &mut end_of_life => return close(sink, RENEW, "open a new connection with a fresh token", stall).await,
            () = stopping.cancelled() => return close(sink, close_code::AWAY, "the hub is stopping", stall).await,
        }
    }
}

async fn close(mut sink: SplitSink<WebSocket, Message>, code: u16, reason: &'static str, patience: Duration) -> End {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    match timeout(patience, sink.send(Message::Close(Some(frame)))).await {
        // a client that has gone meanwhile needs no goodbye
        Ok(_) => End::Done,
        Err(_) => End::Stalled,
    }
}

/// The only question a client has is whether the hub is there.
fn answer(text: &str) -> Option<Message> {
    #[derive(serde::Deserialize)]
    struct Question {
        r#type: String,
    }
    let asked = serde_json::from_str::<Question>(text).is_ok_and(|question| question.r#type == "ping");
    asked.then(|| Message::Text(Utf8Bytes::from_static(r#"{"type":"pong"}"#)))
}

#[cfg(test)]
mod tests;
