//! QUIC to the hub: who is trusted, and the connection's settings.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use streamflow_proto::wire::{ALPN, SERVER_NAME};

use crate::identity::Identity;

const SOCKET_BUFFER: usize = 4 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot find the address of {0}: {1}")]
    Resolve(String, #[source] io::Error),
    /// No socket.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[source] io::Error),
    /// The identity does not make a TLS configuration.
    #[error("cannot use this agent's certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The key cannot be read.
    #[error("cannot use this agent's key: {0}")]
    Key(#[from] rustls::pki_types::pem::Error),
    /// The library has no cipher for QUIC.
    #[error(transparent)]
    Cipher(#[from] NoInitialCipherSuite),
    /// The address cannot be connected to.
    #[error("cannot connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] quinn::ConnectionError),
    /// Nobody answered.
    #[error("no answer within {0:?}; check that the hub runs, and that UDP gets through")]
    Timeout(Duration),
}

/// Trusts the hub's own CA alone and shows the agent's certificate.
pub fn mutual(identity: &Identity) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca())?;
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain(), identity.private_key()?)?;
    config(tls)
}

/// Shows no certificate and trusts what the verifier says.
pub fn anonymous(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, ConnectError> {
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config(tls)
}

/// The one crypto provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(mut tls: rustls::ClientConfig) -> Result<ClientConfig, ConnectError> {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        // The hub only sends acknowledgements and configuration.
        .stream_receive_window(VarInt::from_u32(256 << 10))
        .receive_window(VarInt::from_u32(256 << 10))
        .send_window(4 << 20)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(quinn::IdleTimeout::try_from(IDLE).ok());
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Connects to the first address of `endpoint` that answers. The socket comes along, as it must outlive the connection.
pub async fn connect(
    endpoint: &str,
    config: ClientConfig,
    patience: Duration,
) -> Result<(Endpoint, Connection), ConnectError> {
    let resolve = |error| ConnectError::Resolve(endpoint.to_owned(), error);
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(endpoint).await.map_err(resolve)?.collect();
    let mut failure = resolve(io::ErrorKind::NotFound.into());
    for address in addresses {
        match attempt(address, config.clone(), patience).await {
            Ok(connected) => return Ok(connected),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn attempt(
    address: SocketAddr,
    config: ClientConfig,
    patience: Duration,
) -> Result<(Endpoint, Connection), ConnectError> {
    let socket = socket(address).map_err(ConnectError::Socket)?;
    let endpoint =
        Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime)).map_err(ConnectError::Socket)?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME)?;
    match tokio::time::timeout(patience, connecting).await {
        Ok(connection) => Ok((endpoint, connection?)),
        Err(_) => Err(ConnectError::Timeout(patience)),
    }
}

fn socket(to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(from),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    if let Err(error) = socket.set_send_buffer_size(SOCKET_BUFFER) {
        tracing::debug!(%error, "the kernel gave no larger socket buffer");
    }
    socket.bind(&from.into())?;
    Ok(socket.into())
}
