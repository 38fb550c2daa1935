//! A bare QUIC client with an agent's identity.

use std::{path::Path, sync::Arc, time::Duration};

use quinn::{ClientConfig, Connection, Endpoint, TransportConfig, crypto::rustls::QuicClientConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use streamflow_proto::wire;

/// What an agent keeps of its enrolment.
#[derive(serde::Deserialize)]
struct Identity {
    key: String,
    chain: Vec<Vec<u8>>,
    ca: Vec<u8>,
}

/// Connects with the identity that `streamflow-agent enroll` left in `data`.
pub async fn connect(data: &Path, address: &str) -> Connection {
    let file = std::fs::read(data.join("identity.json")).expect("identity.json");
    let identity: Identity = serde_json::from_slice(&file).expect("an identity");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.ca.into()).expect("CA");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain.into_iter().map(CertificateDer::from).collect(), key)
        .expect("identity");
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS for QUIC")));
    config.transport_config(transport());
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().expect("address")).expect("endpoint");
    endpoint.set_default_client_config(config);
    endpoint
        .connect(address.parse().expect("address"), wire::SERVER_NAME)
        .expect("connect")
        .await
        .expect("connection")
}

/// The same settings as the agent's.
pub fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .send_window(8 << 20)
        .keep_alive_interval(Some(Duration::from_secs(5)));
    Arc::new(transport)
}
