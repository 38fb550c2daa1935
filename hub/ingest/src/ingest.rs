//! The stage: both doors put together.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use prometheus::Registry;
use streamflow_model::{AgentStatus, EdgeAgent, Instant};
use streamflow_proto::wire::{DrillOrder, MetricDefinition};
use streamflow_storage::{Store, StoreError};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    admission::Admission,
    agents,
    door::{Door, Writer},
    drill::{DrillHeard, OrderError},
    events::{self, Events},
    metrics::Metrics,
    options::{Options, QuicOptions},
    pki::{self, Pki, PkiError},
    quic::{self, Context},
    roster::Roster,
    websocket::{self, Sockets},
};

/// Why the doors cannot open.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The address is taken or not ours.
    #[error("cannot listen for agents on {listen} (udp): {source}; change [quic] listen")]
    Listen {
        /// The configured address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate authority is not usable.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket was lost.
    #[error("the socket for agents was lost")]
    Socket,
    /// TLS refuses the certificates.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS refuses the authority.
    #[error("tls: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// QUIC needs a cipher that is missing.
    #[error("tls: {0}")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The metrics are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Both doors, not yet open.
#[derive(Debug)]
pub struct Ingest {
    context: Arc<Context>,
    endpoint: quinn::Endpoint,
    quic_addr: SocketAddr,
    events: Events,
    sockets: Sockets,
    writer: Writer,
}

/// What other rooms may ask.
#[derive(Debug, Clone)]
pub struct IngestHandle(Arc<Context>);

impl IngestHandle {
    /// All enrolled agents and how they do, in the order of their enrolment.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentStatus> {
        self.0.roster.agents()
    }

    /// The certificates that agents see when they connect: the name of each, and when it ends.
    #[must_use]
    pub fn certificates(&self) -> Vec<(&'static str, Instant)> {
        let own = self.0.certificate_expires_at.load(Ordering::Relaxed);
        let authority = pki::expires_at(self.0.pki.ca());
        [("hub", Some(own).filter(|at| *at > 0)), ("authority", authority)]
            .into_iter()
            .filter_map(|(name, end)| Some((name, Instant(end?))))
            .collect()
    }

    /// Whether an agent, by its id or name, can take part in a drill now; answers its status.
    ///
    /// # Errors
    /// When it is not there, or its program is older than drills.
    pub fn can_drill(&self, agent: &str) -> Result<AgentStatus, OrderError> {
        self.0.roster.can_drill(agent)
    }

    /// Asks a connected agent, by its id or name, to put a drill's event on its way; answers its status.
    ///
    /// # Errors
    /// When it is not there, or its program is older than drills.
    pub fn order_drill(&self, agent: &str, order: DrillOrder) -> Result<AgentStatus, OrderError> {
        self.0.roster.order_drill(agent, order)
    }

    /// Has these metrics computed by all agents that can, now and after they have connected.
    pub fn push_metrics(&self, definitions: Vec<MetricDefinition>) {
        self.0.roster.pushes.push(definitions);
    }

    /// All agents as far as computing metrics goes.
    #[must_use]
    pub fn edge_agents(&self) -> Vec<EdgeAgent> {
        self.0.roster.edge_agents()
    }

    /// Changes with every agent that connects, disconnects or answers to [`Self::push_metrics`].
    #[must_use]
    pub fn edge_changes(&self) -> watch::Receiver<u64> {
        self.0.roster.pushes.agents()
    }

    /// What agents tell of drills from now on.
    #[must_use]
    pub fn subscribe_drills(&self) -> broadcast::Receiver<DrillHeard> {
        self.0.roster.subscribe_drills()
    }
}

impl Ingest {
    /// Reads or makes the authority, binds the socket, and remembers the ids stored lately.
    ///
    /// # Errors
    /// When the address is taken, or files, store or metrics fail.
    pub async fn build(
        quic: &QuicOptions,
        options: &Options,
        data_dir: &Path,
        store: Arc<dyn Store>,
        registry: &Registry,
    ) -> Result<Self, IngestError> {
        let metrics = Metrics::new(registry)?;
        let pki = Pki::load_or_create(data_dir, Instant::now().0)?;
        let roster = Roster::new(metrics.clone());
        roster.refresh(&*store).await?;
        roster.recall(&*store).await?;
        let (door, writer) = Door::build(options, Arc::clone(&store), metrics.clone()).await?;
        let context = Context {
            store: Arc::clone(&store),
            pki,
            options: quic.clone(),
            roster,
            metrics,
            certificate_expires_at: AtomicI64::new(0),
        };
        let endpoint = quic::bind(&context)?;
        let quic_addr = endpoint.local_addr().map_err(|source| IngestError::Listen {
            listen: context.options.listen,
            source,
        })?;
        let admission = Admission::new(options.max_pending_bytes);
        let events = Events {
            door,
            store,
            admission,
            options: Arc::new(options.clone()),
        };
        Ok(Self {
            context: Arc::new(context),
            endpoint,
            quic_addr,
            sockets: Sockets::new(events.clone()),
            events,
            writer,
        })
    }

    /// Where agents connect.
    #[must_use]
    pub const fn quic_addr(&self) -> SocketAddr {
        self.quic_addr
    }

    /// For other rooms.
    #[must_use]
    pub fn handle(&self) -> IngestHandle {
        IngestHandle(Arc::clone(&self.context))
    }

    /// `/events`, `/ws` and `/api/v1/agents`.
    pub fn routes(&self) -> OpenApiRouter {
        events::routes(self.events.clone())
            .merge(websocket::routes(self.sockets.clone()))
            .merge(agents::routes(Arc::clone(&self.context)))
    }

    /// Serves until the token is cancelled and what was accepted is durable and answered.
    ///
    /// # Errors
    /// When the socket is lost.
    pub async fn run(self, token: CancellationToken) -> Result<(), IngestError> {
        let quic = quic::run(self.context, self.endpoint, token.clone());
        let writer = self.writer.run(token.clone());
        let sockets = self.sockets.run(token);
        let (served, (), ()) = tokio::join!(quic, writer, sockets);
        served
    }
}

#[cfg(test)]
mod tests;
