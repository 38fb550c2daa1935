//! The QUIC listener: who may connect, how many, and how much they may make the hub hold.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};
use rustls::{CipherSuite, RootCertStore, pki_types::CertificateDer, server::WebPkiClientVerifier};
use streamflow_model::Instant;
use streamflow_proto::wire::{ALPN, close};
use streamflow_storage::Store;
use tokio::{
    sync::Semaphore,
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    enroll::{AGENTS, AgentDoc},
    ingest::IngestError,
    metrics::Metrics,
    options::QuicOptions,
    pki::{self, Pki},
    roster::Roster,
    seen, uplink,
};

/// Half-open connections from which on addresses must prove themselves first.
const RETRY_ABOVE: usize = 256;
/// Asked of the kernel, which may give less: bursts of agents must not be dropped before they are read.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// What a peer may send before its certificate has been looked up.
const STRANGER_WINDOW: u32 = 128 * 1024;
/// Other processes revoke agents by writing to the store; promised is five seconds.
const REFRESH: Duration = Duration::from_secs(3);
/// The hub's certificate is made anew long before it ends.
const NEW_CERTIFICATE: Duration = Duration::from_secs(30 * 86_400);
/// Sessions get this long to drain when the hub stops.
const DRAIN: Duration = Duration::from_secs(5);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pki: Pki,
    pub(crate) options: QuicOptions,
    pub(crate) roster: Roster,
    pub(crate) metrics: Metrics,
    /// End of the hub's certificate, ms.
    pub(crate) certificate_expires_at: AtomicI64,
}

/// Binds the socket.
pub(crate) fn bind(context: &Context) -> Result<Endpoint, IngestError> {
    let listen = context.options.listen;
    let failed = |source| IngestError::Listen { listen, source };
    let socket = socket(listen).map_err(failed)?;
    Endpoint::new(
        EndpointConfig::default(),
        Some(server_config(context)?),
        socket,
        Arc::new(TokioRuntime),
    )
    .map_err(failed)
}

fn socket(listen: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(listen),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    for (what, result) in [
        ("receive", socket.set_recv_buffer_size(SOCKET_BUFFER)),
        ("send", socket.set_send_buffer_size(SOCKET_BUFFER)),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, what, "the kernel gave no larger socket buffer");
        }
    }
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

fn server_config(context: &Context) -> Result<ServerConfig, IngestError> {
    let mut provider = rustls::crypto::ring::default_provider();
    // AES-128 first: with hardware support it is the cheapest, and the client's order is not ours to follow
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let mut roots = RootCertStore::empty();
    roots.add(context.pki.ca().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let (chain, key) = context.pki.server(&context.options.names, Instant::now().0)?;
    if let Some(end) = chain.first().and_then(pki::expires_at) {
        context.certificate_expires_at.store(end, Ordering::Relaxed);
    }
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.ignore_client_order = true;
    let window = u32::try_from(context.options.window_bytes).unwrap_or(u32::MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(window))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .send_window(256 * 1024)
        .max_idle_timeout(IdleTimeout::try_from(context.options.idle_timeout.std()).ok());
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(1024)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(16 * 1024 * 1024);
    Ok(config)
}

/// Serves until the token is cancelled; then tells the agents, waits for what is in flight, and closes.
pub(crate) async fn run(
    context: Arc<Context>,
    endpoint: Endpoint,
    token: CancellationToken,
) -> Result<(), IngestError> {
    let tasks = TaskTracker::new();
    let gate = Arc::new(Gate {
        enrolling: Semaphore::new(context.options.max_enrolling),
        half_open: AtomicUsize::new(0),
    });
    let mut refresh = interval(REFRESH);
    let mut renew = interval(NEW_CERTIFICATE);
    renew.reset();
    let served = loop {
        tokio::select! {
            () = token.cancelled() => break Ok(()),
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(&context, &gate, &endpoint, incoming, &tasks, &token),
                None => break Err(IngestError::Socket),
            },
            _ = refresh.tick() => {
                if let Err(error) = context.roster.refresh(&*context.store).await {
                    tracing::warn!(%error, "the allow-list of agents cannot be read now");
                }
                seen::save(&context.roster, &*context.store).await;
            }
            _ = renew.tick() => match server_config(&context) {
                Ok(config) => endpoint.set_server_config(Some(config)),
                Err(error) => tracing::error!(%error, "no new server certificate"),
            },
        }
    };
    endpoint.set_server_config(None);
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "agents did not take their last acknowledgements in time"
        );
    }
    seen::save(&context.roster, &*context.store).await;
    endpoint.close(VarInt::from_u32(close::SHUTDOWN), b"the hub is stopping");
    drop(timeout(DRAIN, endpoint.wait_idle()).await);
    served
}

#[derive(Debug)]
struct Gate {
    enrolling: Semaphore,
    half_open: AtomicUsize,
}

fn admit(
    context: &Arc<Context>,
    gate: &Arc<Gate>,
    endpoint: &Endpoint,
    incoming: Incoming,
    tasks: &TaskTracker,
    token: &CancellationToken,
) {
    if endpoint.open_connections() >= context.options.max_connections {
        context.metrics.agent_closed.with_label_values(&["too_many"]).inc();
        return incoming.refuse();
    }
    if !incoming.remote_address_validated() && gate.half_open.load(Ordering::Relaxed) > RETRY_ABOVE {
        // an error means that it cannot be retried: then it is refused by being dropped
        return drop(incoming.retry());
    }
    gate.half_open.fetch_add(1, Ordering::Relaxed);
    let (context, gate, token) = (Arc::clone(context), Arc::clone(gate), token.clone());
    tasks.spawn(async move {
        let remote = incoming.remote_address();
        let patience = context.options.handshake_timeout.std();
        let connection = match incoming.accept() {
            Ok(connecting) => timeout(patience, connecting).await,
            Err(error) => Ok(Err(error)),
        };
        gate.half_open.fetch_sub(1, Ordering::Relaxed);
        match connection {
            Ok(Ok(connection)) => serve(&context, &gate, &connection, token).await,
            Ok(Err(error)) => {
                context.metrics.agent_closed.with_label_values(&["handshake"]).inc();
                tracing::info!(%remote, %error, "an agent could not connect");
            }
            Err(_) => {
                context.metrics.agent_closed.with_label_values(&["handshake"]).inc();
                tracing::debug!(%remote, "a handshake took too long");
            }
        }
    });
}

async fn serve(context: &Context, gate: &Gate, connection: &Connection, token: CancellationToken) {
    let ended = match certificate(connection) {
        None => match gate.enrolling.try_acquire() {
            Ok(_permit) => uplink::enroll(context, connection).await,
            Err(_) => Err(uplink::Ended::TooManyEnrolling),
        },
        Some(certificate) => match allowed(context, &certificate).await {
            Ok(agent) => {
                connection.set_receive_window(VarInt::from_u32(
                    u32::try_from(context.options.window_bytes).unwrap_or(u32::MAX),
                ));
                uplink::serve(context, connection, &agent, token).await
            }
            Err(ended) => Err(ended),
        },
    };
    match ended {
        Ok(()) => connection.close(VarInt::from_u32(close::DONE), b""),
        Err(ended) => {
            let (code, reason) = ended.close();
            context.metrics.agent_closed.with_label_values(&[reason]).inc();
            tracing::info!(remote = %connection.remote_address(), reason, detail = %ended, "a connection of an agent ended");
            connection.close(VarInt::from_u32(code), ended.to_string().as_bytes());
        }
    }
}

fn certificate(connection: &Connection) -> Option<CertificateDer<'static>> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    chain.into_iter().next()
}

/// The agent of a verified certificate, when it is on the allow-list.
async fn allowed(context: &Context, certificate: &CertificateDer<'_>) -> Result<Arc<str>, uplink::Ended> {
    let id = pki::agent_id(certificate).ok_or(uplink::Ended::Forbidden)?;
    let doc = context
        .store
        .doc(AGENTS, &id)
        .await
        .map_err(uplink::Ended::Store)?
        .ok_or(uplink::Ended::Forbidden)?;
    let agent: AgentDoc = serde_json::from_value(doc.body).map_err(|_| uplink::Ended::Forbidden)?;
    context.roster.listed(&id, &agent);
    if agent.revoked {
        Err(uplink::Ended::Forbidden)
    } else {
        Ok(id.into())
    }
}
