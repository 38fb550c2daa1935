//! The WebSocket door: events in with an acknowledgement each, live events out.

mod message;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::{BoxFuture, pending},
    stream::{FuturesOrdered, SplitSink},
};
use streamflow_bus::{Committed, TailReader, TailRecvError};
use streamflow_model::{Instant, Role};
use streamflow_proto::filter::Filter;
use streamflow_web::{ApiError, ApiResult, Identity};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{door::Unavailable, events::Events, intake::Prepared, metrics::DoorKind};
use message::{Command, Reply};

/// Largest message: one event at its limits.
const MAX_MESSAGE: usize = 256 * 1024;
/// Events of one client on their way to the disk.
const PENDING: usize = 256;
/// Who takes no message for so long is cut: others must not wait, and memory is bounded.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shows that the client is there, and keeps proxies from closing an idle connection.
const PING: Duration = Duration::from_secs(20);
/// Live events of one batch; a person or a page cannot follow more, programs read the log.
const LIVE_EVENTS: usize = 100;

/// What every socket needs.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    events: Events,
    open: Arc<AtomicUsize>,
    token: CancellationToken,
}

impl Sockets {
    pub(crate) fn new(events: Events) -> Self {
        Self {
            events,
            open: Arc::default(),
            token: CancellationToken::new(),
        }
    }

    /// Closes all sockets when the stage stops.
    pub(crate) async fn run(self, token: CancellationToken) {
        token.cancelled().await;
        self.token.cancel();
    }
}

pub(crate) fn routes(state: Sockets) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(upgrade)).with_state(state)
}

/// Send and follow events over a WebSocket
///
/// `{"type":"event","data":{…}}` is answered by `{"type":"ack","event_id":…,"success":true}` when the event is durable,
/// in the order sent; `{"type":"subscribe","filter":"CEL"}` is followed by `{"type":"event","data":{…}}` for every new
/// event that matches; `{"type":"ping"}` is answered by `{"type":"pong"}`. A `ref` in a message comes back in its
/// answer. Browsers, which cannot set headers here, sign in with `?token=`.
#[utoipa::path(get, path = "/ws", tag = "events", responses((status = 101, description = "Speaks the WebSocket protocol from here on.")))]
async fn upgrade(State(sockets): State<Sockets>, identity: Identity, upgrade: WebSocketUpgrade) -> ApiResult<Response> {
    let limit = sockets.events.options.max_websockets;
    let taken = sockets.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
        (open < limit).then_some(open + 1)
    });
    taken.map_err(|_| ApiError::unavailable(5).with_message("too many WebSocket connections"))?;
    let guard = Open(sockets.clone());
    guard.0.events.door.metrics.websockets.inc();
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (sender, receiver) = socket.split();
        let session = Session {
            events: &guard.0.events,
            identity,
            sender,
            acks: FuturesOrdered::new(),
            live: None,
        };
        session.run(receiver, &guard.0.token).await;
    }))
}

/// Counts a socket while it lives.
struct Open(Sockets);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.events.door.metrics.websockets.dec();
    }
}

struct Live {
    reader: TailReader,
    filter: Option<Filter>,
}

struct Session<'a> {
    events: &'a Events,
    identity: Identity,
    sender: SplitSink<WebSocket, Message>,
    acks: FuturesOrdered<BoxFuture<'a, String>>,
    live: Option<Live>,
}

/// The socket cannot be written, or not fast enough.
struct Gone;

enum Turn {
    Ack(String),
    Received(Option<Result<Message, axum::Error>>),
    Live(Result<Arc<Committed>, TailRecvError>),
    Ping,
    Stop,
}

impl Session<'_> {
    async fn run(mut self, mut receiver: futures_util::stream::SplitStream<WebSocket>, token: &CancellationToken) {
        let mut ping = interval(PING);
        ping.reset();
        let mut heard = true;
        let end = loop {
            let turn = tokio::select! {
                biased;
                () = token.cancelled() => Turn::Stop,
                Some(ack) = self.acks.next(), if !self.acks.is_empty() => Turn::Ack(ack),
                message = receiver.next(), if self.acks.len() < PENDING => Turn::Received(message),
                committed = next_live(&mut self.live) => Turn::Live(committed),
                _ = ping.tick() => Turn::Ping,
            };
            let step = match turn {
                Turn::Ack(text) => self.send(text).await,
                Turn::Received(Some(Ok(message))) => {
                    heard = true;
                    match message {
                        Message::Text(text) => self.command(text.as_bytes()).await,
                        Message::Binary(bytes) => self.command(&bytes).await,
                        Message::Ping(_) | Message::Pong(_) => Ok(()),
                        Message::Close(_) => break None,
                    }
                }
                Turn::Received(_) => break None,
                Turn::Live(committed) => self.live(committed).await,
                Turn::Ping if !std::mem::take(&mut heard) => break Some((close_code::POLICY, "no answer to pings")),
                Turn::Ping => self.write(Message::Ping(Bytes::new())).await,
                Turn::Stop => break Some((close_code::RESTART, "the hub is stopping")),
            };
            if let Err(Gone) = step {
                self.events.door.metrics.websockets_cut.inc();
                break Some((close_code::POLICY, "this client reads too slowly"));
            }
        };
        // what was accepted is answered even when the hub stops; the writer answers or fails every job
        while let Some(ack) = self.acks.next().await {
            if self.send(ack).await.is_err() {
                return;
            }
        }
        if let Some((code, reason)) = end {
            drop(
                self.write(Message::Close(Some(CloseFrame {
                    code,
                    reason: reason.into(),
                })))
                .await,
            );
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        timeout(PATIENCE, self.sender.send(message))
            .await
            .map_err(|_| Gone)?
            .map_err(|_| Gone)
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.write(Message::Text(text.into())).await
    }

    async fn command(&mut self, text: &[u8]) -> Result<(), Gone> {
        let command = match Command::parse(text) {
            Ok(command) => command,
            Err(error) => return self.send(Reply::error(&error, None)).await,
        };
        let reference = command.reference().map(str::to_owned);
        match self.obey(command, reference.clone()).await {
            Ok(Some(reply)) => self.send(reply).await,
            Ok(None) => Ok(()),
            Err(error) => self.send(Reply::error(&error, reference)).await,
        }
    }

    async fn obey(&mut self, command: Command<'_>, reference: Option<String>) -> ApiResult<Option<String>> {
        match command {
            Command::Ping { .. } => Ok(Some(Reply::pong(reference))),
            Command::Event { data, .. } => {
                self.identity.require_ingest()?;
                let raw = Bytes::copy_from_slice(data.get().as_bytes());
                let room = self.events.admission.admit(raw.len()).await.ok_or(Unavailable)?;
                let prepared = Prepared::shared(&self.events.door, vec![raw], Instant::now().0);
                let door = &self.events.door;
                let stored = prepared.store(door, DoorKind::WebSocket).map(move |outcome| {
                    drop(room);
                    Reply::outcome(outcome, reference)
                });
                self.acks.push_back(stored.boxed());
                Ok(None)
            }
            Command::Subscribe { filter, .. } => {
                self.identity.require(Role::Viewer)?;
                let filter = filter.map(|text| Filter::compile(&text)).transpose().map_err(|error| {
                    ApiError::validation(format!("filter: {error}")).with_details(
                        serde_json::json!({"field": "filter", "line": error.line, "column": error.column}),
                    )
                })?;
                self.live = Some(Live {
                    reader: self.events.store.tail().subscribe(),
                    filter,
                });
                Ok(Some(Reply::done("subscribed", reference)))
            }
            Command::Unsubscribe { .. } => {
                self.live = None;
                Ok(Some(Reply::done("unsubscribed", reference)))
            }
        }
    }

    async fn live(&mut self, committed: Result<Arc<Committed>, TailRecvError>) -> Result<(), Gone> {
        let committed = match committed {
            Ok(committed) => committed,
            Err(TailRecvError::Lagged(batches)) => return self.send(Reply::lagged(batches)).await,
            Err(TailRecvError::Closed) => {
                self.live = None;
                return Ok(());
            }
        };
        let Some(live) = &self.live else { return Ok(()) };
        match message::matching(&committed, live.filter.as_ref(), LIVE_EVENTS) {
            Ok((events, more)) => {
                for event in events {
                    self.send(Reply::event(&event)).await?;
                }
                if more > 0 {
                    self.send(Reply::skipped(more)).await?;
                }
            }
            Err(error) => tracing::warn!(position = committed.position, %error, "a batch cannot be shown live"),
        }
        Ok(())
    }
}

async fn next_live(live: &mut Option<Live>) -> Result<Arc<Committed>, TailRecvError> {
    match live {
        Some(live) => live.reader.recv().await,
        None => pending().await,
    }
}
