//! The live feed: what the hub's rooms know, told to every open page once a second.

mod sample;
mod socket;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{
        State,
        ws::{Utf8Bytes, WebSocketUpgrade},
    },
    response::Response,
};
use prometheus::{IntCounter, IntGauge, Registry};
use serde::Serialize;
use streamflow_alerting::AlertingHandle;
use streamflow_analytics::{AnalyticsHandle, realtime};
use streamflow_bus::{TailReader, TailRecvError};
use streamflow_ingest::IngestHandle;
use streamflow_model::{AgentStatus, Alert, Instant, Role};
use streamflow_proto::event::Event;
use streamflow_storage::{EventQuery, Store};
use streamflow_web::{ApiError, ApiResult, Identity};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Options;
use sample::Arrivals;
use socket::End;

/// Ticks that a client may be behind before it is cut.
const QUEUE: usize = 8;
/// Open alerts in a message, the newest; `GET /api/v1/alerts` has all.
const ALERTS: usize = 1000;
/// Events of a snapshot.
const RECENT: usize = 100;
/// A step is told this long after its end, when analytics has seen what was stored in it.
const AFTER_STEP_MS: i64 = 400;
/// Pages send next to nothing.
const MAX_MESSAGE: usize = 4096;

/// What everybody who serves a client shares.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    store: Arc<dyn Store>,
    rooms: Rooms,
    places: Arc<Semaphore>,
    ticks: broadcast::Sender<Utf8Bytes>,
    kept: Mutex<Kept>,
    /// One snapshot is made at a time; whoever waited for it mostly finds it kept.
    maker: Semaphore,
    stopping: CancellationToken,
    clients: IntGauge,
    cut: IntCounter,
}

/// The snapshot made for the first client after a tick; those that come before the next tick get the same.
#[derive(Debug, Default)]
struct Kept {
    ticks: u64,
    snapshot: Option<Utf8Bytes>,
}

/// Whom the feed asks.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    pub(crate) ingest: IngestHandle,
    pub(crate) alerting: AlertingHandle,
    pub(crate) analytics: AnalyticsHandle,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
enum Message<'a> {
    Snapshot(SnapshotData),
    Tick(TickData<'a>),
}

#[derive(Serialize)]
struct SnapshotData {
    #[serde(flatten)]
    realtime: realtime::Snapshot,
    alerts: Vec<Alert>,
    agents: Vec<AgentStatus>,
    events: Vec<Event>,
}

#[derive(Serialize)]
struct TickData<'a> {
    #[serde(flatten)]
    realtime: realtime::Tick,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<&'a [Alert]>,
    agents: Vec<AgentStatus>,
    events: Vec<Event>,
    events_skipped: u64,
}

impl Live {
    pub(crate) fn build(
        options: Options,
        store: Arc<dyn Store>,
        rooms: Rooms,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let clients = IntGauge::new("streamflow_dashboard_clients", "Open live connections of pages")?;
        let cut = IntCounter::new(
            "streamflow_dashboard_clients_cut_total",
            "Live connections cut because they took too little",
        )?;
        registry.register(Box::new(clients.clone()))?;
        registry.register(Box::new(cut.clone()))?;
        Ok(Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(options.max_clients.min(Semaphore::MAX_PERMITS))),
            options,
            store,
            rooms,
            ticks: broadcast::channel(QUEUE).0,
            kept: Mutex::default(),
            maker: Semaphore::new(1),
            stopping: CancellationToken::new(),
            clients,
            cut,
        })))
    }

    pub(crate) fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(dashboard)).with_state(self.clone())
    }

    /// Tells every second until the token is cancelled; then says goodbye to all clients.
    pub(crate) async fn run(self, mut tail: TailReader, token: CancellationToken) {
        let mut arrivals = Arrivals::default();
        let (mut told, mut since, mut open) = (None, Instant::now().0, true);
        let next = tokio::time::sleep(until_next_tick(since));
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                received = tail.recv(), if open => match received {
                    Ok(committed) if self.watched() => arrivals.push(committed),
                    Ok(_) => {}
                    Err(TailRecvError::Lagged(batches)) => tracing::debug!(batches, "the live stream is behind and leaves some out"),
                    Err(TailRecvError::Closed) => open = false,
                },
                () = &mut next => {
                    let now = Instant::now().0;
                    next.set(tokio::time::sleep(until_next_tick(now)));
                    self.tell(std::mem::take(&mut arrivals), &mut told, since).await;
                    since = now;
                }
            }
        }
        self.0.stopping.cancel();
    }

    fn watched(&self) -> bool {
        self.0.ticks.receiver_count() > 0
    }

    async fn tell(&self, arrivals: Arrivals, told: &mut Option<Vec<Alert>>, since: i64) {
        if !self.watched() {
            *told = None;
            return;
        }
        let limit = self.0.options.events_per_tick;
        // decoding is computation: it must not hold up the connections that share this thread
        let sample = match tokio::task::spawn_blocking(move || arrivals.sample(limit)).await {
            Ok(sample) => sample,
            Err(error) => return tracing::error!(%error, "live events cannot be sampled"),
        };
        let rooms = &self.0.rooms;
        let alerts = rooms.alerting.newest_alerts(ALERTS);
        let news = told.as_ref() != Some(&alerts);
        let tick = Message::Tick(TickData {
            realtime: rooms.analytics.tick(since),
            alerts: news.then_some(alerts.as_slice()),
            agents: rooms.ingest.agents(),
            events: sample.events,
            events_skipped: sample.skipped,
        });
        match serde_json::to_string(&tick) {
            Ok(text) => {
                // taken before sending: whoever subscribes from here on needs a snapshot that holds what this tick told
                self.forget_snapshot();
                // no receiver is no failure: the last client has just left
                drop(self.0.ticks.send(text.into()));
            }
            Err(error) => tracing::error!(%error, "a live update cannot be written"),
        }
        *told = Some(alerts);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_snapshot(&self) {
        let mut kept = self.kept();
        *kept = Kept {
            ticks: kept.ticks + 1,
            snapshot: None,
        };
    }

    async fn snapshot(&self) -> ApiResult<Utf8Bytes> {
        let _turn = self.0.maker.acquire().await.map_err(ApiError::internal)?;
        let ticks = {
            let kept = self.kept();
            if let Some(snapshot) = &kept.snapshot {
                return Ok(snapshot.clone());
            }
            kept.ticks
        };
        let query = EventQuery {
            limit: RECENT,
            ..EventQuery::default()
        };
        let page = self.0.store.query(query).await.map_err(ApiError::internal)?;
        let rooms = &self.0.rooms;
        let snapshot = Message::Snapshot(SnapshotData {
            realtime: rooms.analytics.snapshot(),
            alerts: rooms.alerting.newest_alerts(ALERTS),
            agents: rooms.ingest.agents(),
            events: page.events,
        });
        let text: Utf8Bytes = serde_json::to_string(&snapshot).map_err(ApiError::internal)?.into();
        let mut kept = self.kept();
        if kept.ticks == ticks {
            kept.snapshot = Some(text.clone());
        }
        drop(kept);
        Ok(text)
    }
}

/// Time until the next whole second has been told.
fn until_next_tick(now: i64) -> Duration {
    let wait = realtime::STEP_MS - (now - AFTER_STEP_MS).rem_euclid(realtime::STEP_MS);
    Duration::from_millis(wait.unsigned_abs())
}

/// The live feed of the dashboard (WebSocket)
///
/// The first message is `{"type":"snapshot","data":…}`: the last five minutes as in `/api/v1/metrics/realtime`, the newest 1,000 open alerts, agents and
/// the newest events. Then about every second `{"type":"tick","data":…}` tells what has changed; when more events arrive than a person can read, a
/// sample is sent and the rest is counted in `events_skipped`. `{"type":"ping"}` is answered with `{"type":"pong"}`. A client that takes nothing
/// for some seconds is cut; close code 4001 asks to connect again with a fresh token.
#[utoipa::path(get, path = "/ws/dashboard", tag = "live",
    params(("token" = Option<String>, Query, description = "Access token, where the `Authorization` header cannot be set")),
    responses((status = 101, description = "The connection is a WebSocket now."), (status = 503, description = "Too many live connections.")))]
async fn dashboard(State(live): State<Live>, identity: Identity, upgrade: WebSocketUpgrade) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    let place = Arc::clone(&live.0.places).try_acquire_owned();
    let place = place.map_err(|_| {
        ApiError::unavailable(5).with_message("too many live connections; close one or raise `dashboard.max_clients`")
    })?;
    let ticks = live.0.ticks.subscribe();
    let snapshot = live.snapshot().await?;
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        .on_upgrade(move |socket| async move {
            let shared = live.0;
            shared.clients.inc();
            let end = socket::serve(
                socket,
                snapshot,
                ticks,
                shared.options.stall.std(),
                shared.stopping.clone(),
            )
            .await;
            shared.clients.dec();
            if end == End::Stalled {
                shared.cut.inc();
                tracing::info!(user = identity.name, "a live connection that took nothing was cut");
            }
            drop(place);
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_shortly_after_each_whole_second() {
        for (now, wait) in [(10_000, 400), (10_399, 1), (10_400, 1000), (10_900, 500)] {
            assert_eq!(until_next_tick(now), Duration::from_millis(wait), "{now}");
        }
    }
}
