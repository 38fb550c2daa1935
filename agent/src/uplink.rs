//! Keeps a session with the hub: connects, sends what is in the spool, and forgets what the hub has stored.

pub mod session;
pub mod transport;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use quinn::VarInt;
use serde::{Deserialize, Serialize};
use streamflow_proto::wire::close;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::units::Span;
use crate::counters::{Counters, SourceCounters};
use crate::drill::Driller;
use crate::edge::Edge;
use crate::identity::{Identity, IdentityError};
use crate::spool::SpoolHandle;
use session::{Ended, Session};
use transport::ConnectError;

/// `[hub]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubOptions {
    /// `HOST:PORT` of the hub; the next one is tried when one does not answer. None: where this agent enrolled.
    pub endpoints: Vec<String>,
    /// First pause after a failed attempt; doubles, with jitter.
    pub reconnect_min: Span,
    /// Longest pause.
    pub reconnect_max: Span,
    /// How long an attempt may take.
    pub connect_timeout: Span,
    /// How often the hub hears how the agent does.
    pub heartbeat: Span,
    /// How long a stopping agent tries to deliver what is in the spool.
    pub drain_timeout: Span,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            reconnect_min: Span::millis(200),
            reconnect_max: Span::secs(30),
            connect_timeout: Span::secs(5),
            heartbeat: Span::secs(2),
            drain_timeout: Span::secs(5),
        }
    }
}

/// Where a hub listens unless told otherwise.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:4433";

impl HubOptions {
    /// The addresses to go to, at least one: the configured ones, else where the agent enrolled, else a hub on this host.
    pub fn addresses(&self, enrolled_at: &str) -> Vec<String> {
        match (self.endpoints.is_empty(), enrolled_at) {
            (false, _) => self.endpoints.clone(),
            (true, "") => vec![DEFAULT_ENDPOINT.to_owned()],
            (true, hub) => vec![hub.to_owned()],
        }
    }
}

/// What the uplink does now, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// A session is open.
    pub connected: bool,
    /// With whom, or who was tried last.
    pub endpoint: String,
    /// Since when the session is open.
    pub since_ms: Option<i64>,
    /// Why there is none.
    pub last_error: Option<String>,
    /// How much the hub's clock is ahead of ours.
    pub skew_ms: i64,
}

/// The uplink before it runs.
pub struct Uplink {
    pub(crate) options: HubOptions,
    pub(crate) data_dir: PathBuf,
    pub(crate) host: String,
    pub(crate) spool: SpoolHandle,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sources: Vec<Arc<SourceCounters>>,
    /// A hub that honestly follows this spool cannot know this sequence number or a later one: it was neither in the log at the start nor sent
    /// since. Frames written meanwhile do not count, or a spool that was put back to an old copy would go unnoticed.
    pub(crate) unseen_seq: AtomicU64,
    pub(crate) driller: Option<Arc<Driller>>,
    pub(crate) edge: Option<Arc<Edge>>,
    state: watch::Sender<LinkState>,
}

/// How often an unchanged failure is logged.
const REMIND: Duration = Duration::from_secs(60);

enum Failure {
    Identity(IdentityError),
    Connect(ConnectError),
    Ended(Ended),
}

impl Uplink {
    /// Reads the identity once, so that an agent that is not enrolled says so at once.
    pub fn build(
        options: &HubOptions,
        data_dir: PathBuf,
        host: String,
        spool: SpoolHandle,
        counters: Arc<Counters>,
        sources: Vec<Arc<SourceCounters>>,
    ) -> Result<Self, IdentityError> {
        let identity = Identity::load(&data_dir)?;
        let endpoints = options.addresses(&identity.hub);
        let state = watch::Sender::new(LinkState::default());
        Ok(Self {
            options: HubOptions {
                endpoints,
                ..options.clone()
            },
            data_dir,
            host,
            unseen_seq: AtomicU64::new(*spool.watch().borrow()),
            spool,
            counters,
            sources,
            driller: None,
            edge: None,
            state,
        })
    }

    /// Has metrics computed here that the hub pushes.
    #[must_use]
    pub fn with_edge(mut self, edge: Option<Arc<Edge>>) -> Self {
        self.edge = edge;
        self
    }

    /// Takes part in fire drills.
    #[must_use]
    pub fn with_driller(mut self, driller: Driller) -> Self {
        self.driller = Some(Arc::new(driller));
        self
    }

    /// What it does now.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Sends until `drain` is cancelled and the spool is empty, or until `stop` is cancelled.
    pub async fn run(self, drain: CancellationToken, stop: CancellationToken) {
        let work = self.connect_and_send(&drain);
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn connect_and_send(&self, drain: &CancellationToken) {
        let builder = ExponentialBuilder::default()
            .with_min_delay(self.options.reconnect_min.0)
            .with_max_delay(self.options.reconnect_max.0)
            .with_jitter()
            .without_max_times();
        let mut delays = builder.build();
        let mut said: Option<(String, Instant)> = None;
        for round in 0.. {
            if drain.is_cancelled() && self.spool.backlog().events == 0 {
                return;
            }
            let endpoint = &self.options.endpoints[round % self.options.endpoints.len()];
            self.state.send_modify(|state| state.endpoint.clone_from(endpoint));
            let failure = match self.attempt(endpoint, drain).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            // A hub that takes the connection and then refuses the session must not be asked in a tight loop.
            if self.counters.connected.swap(false, Ordering::Relaxed) {
                delays = builder.build();
            }
            let mut pause = None;
            let message = match failure {
                Failure::Identity(error) => error.to_string(),
                Failure::Connect(error) => error.to_string(),
                Failure::Ended(ended) => {
                    pause = ended.retry_after();
                    ended.to_string()
                }
            };
            self.state.send_modify(|state| {
                state.connected = false;
                state.since_ms = None;
                state.last_error = Some(message.clone());
            });
            let remind = said
                .as_ref()
                .is_none_or(|(last, at)| *last != message || at.elapsed() >= REMIND);
            if remind {
                tracing::warn!(%endpoint, reason = message, "no session with the hub, trying again");
                said = Some((message, Instant::now()));
            }
            // The other hubs are tried at once; a pause comes after the last of them.
            if pause.is_none() && (round + 1) % self.options.endpoints.len() != 0 {
                continue;
            }
            let pause = pause.or_else(|| delays.next()).unwrap_or(self.options.reconnect_max.0);
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, endpoint: &str, drain: &CancellationToken) -> Result<(), Failure> {
        let identity = Identity::load(&self.data_dir).map_err(Failure::Identity)?;
        let config = transport::mutual(&identity).map_err(Failure::Connect)?;
        let (socket, connection) = transport::connect(endpoint, config, self.options.connect_timeout.0)
            .await
            .map_err(Failure::Connect)?;
        self.counters.connections.add(1);
        let result = Session::new(self, identity).run(&connection, drain).await;
        let code = match &result {
            Ok(()) => close::DONE,
            Err(ended) => ended.close_code(),
        };
        connection.close(VarInt::from_u32(code), b"");
        // The close must leave before the socket goes.
        drop(tokio::time::timeout(Duration::from_secs(1), socket.wait_idle()).await);
        result.map_err(|ended| Failure::Ended(ended.explain(&connection)))
    }

    pub(crate) fn opened(&self, skew_ms: i64) {
        self.counters.connected.store(true, Ordering::Relaxed);
        let endpoint = self.state.borrow().endpoint.clone();
        tracing::info!(endpoint, skew_ms, "the session with the hub is open");
        self.state.send_modify(|state| {
            state.connected = true;
            state.since_ms = Some(clock::now_ms());
            state.last_error = None;
            state.skew_ms = skew_ms;
        });
    }
}
