//! A small agent over the real protocol.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use streamflow_model::Span;
use streamflow_proto::{
    build::BatchBuilder,
    frame::Frame,
    wire::{self, Decoder, EnrollRequest, EnrollToken, Enrolled, Hello, Incoming, Refused, ToAgent, ToHub, Welcome},
};

use super::Hub;
use crate::enroll::create_token;

/// What an agent keeps after enrolment.
pub struct Credentials {
    pub id: String,
    pub ca: CertificateDer<'static>,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Credentials {
    pub fn new(key: &KeyPair, enrolled: Enrolled) -> Self {
        Self {
            id: enrolled.agent_id,
            ca: enrolled.ca_der.into(),
            chain: enrolled.chain_der.into_iter().map(CertificateDer::from).collect(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

/// An open connection with its one stream.
pub struct Agent {
    pub connection: Connection,
    pub send: SendStream,
    recv: RecvStream,
    decoder: Decoder<ToAgent>,
    /// Drives the socket.
    _endpoint: Endpoint,
}

pub fn token_request(token: &str, key: &KeyPair) -> EnrollRequest {
    // names of somebody else, which the hub must not believe
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(
        "spiffe://streamflow/agent/00000000-0000-0000-0000-000000000001"
            .try_into()
            .unwrap(),
    )];
    let token: EnrollToken = token.parse().unwrap();
    let csr_der = params.serialize_request(key).unwrap().der().to_vec();
    EnrollRequest {
        token_id: token.id,
        secret: token.secret,
        csr_der,
        host: "host-1".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

/// Trusts the authority of this hub, whose file the test may read.
pub fn authority(hub: &Hub) -> CertificateDer<'static> {
    crate::pki::Pki::load_or_create(&hub.dir, 0).unwrap().ca().clone()
}

pub async fn enroll(hub: &Hub) -> Credentials {
    let token = create_token(&*hub.store, &hub.dir, Span::from_secs(60)).await.unwrap();
    let key = KeyPair::generate().unwrap();
    let enrolled = try_enroll(hub, token_request(&token, &key)).await.unwrap();
    Credentials::new(&key, enrolled)
}

pub async fn try_enroll(hub: &Hub, request: EnrollRequest) -> Result<Enrolled, Refused> {
    let mut agent = Agent::dial(hub.quic, &authority(hub), None).await.unwrap();
    agent.say(&ToHub::Enroll(request)).await;
    match agent.hear().await.unwrap() {
        ToAgent::Enrolled(enrolled) => Ok(enrolled),
        ToAgent::Refused(refused) => Err(refused),
        other => panic!("unexpected {other:?}"),
    }
}

/// A frame of events with these values.
pub fn frame(seq: u64, values: impl IntoIterator<Item = u64>) -> Frame {
    let mut builder = BatchBuilder::new();
    for value in values {
        let json = format!(r#"{{"type":"test","source":"agent","timestamp":1700000000000,"data":{{"n":{value}}}}}"#);
        builder.push_json(json.as_bytes(), 1_700_000_000_000).unwrap();
    }
    builder.finish(seq)
}

impl Agent {
    pub async fn dial(
        hub: SocketAddr,
        ca: &CertificateDer<'static>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = match credentials {
            Some(credentials) => tls
                .with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())
                .unwrap(),
            None => tls.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![wire::ALPN.to_vec()];
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
        let connection = endpoint
            .connect(hub, wire::SERVER_NAME)
            .unwrap()
            .await
            .map_err(|e| e.to_string())?;
        let (send, recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
        Ok(Self {
            connection,
            send,
            recv,
            decoder: Decoder::default(),
            _endpoint: endpoint,
        })
    }

    /// Connected and welcomed.
    pub async fn open(hub: &Hub, credentials: &Credentials, epoch: u64) -> (Self, Welcome) {
        let mut agent = Self::dial(hub.quic, &credentials.ca, Some(credentials)).await.unwrap();
        agent.hello(epoch).await;
        match agent.hear().await.unwrap() {
            ToAgent::Welcome(welcome) => (agent, welcome),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub async fn hello(&mut self, epoch: u64) {
        self.hello_as(epoch, "0.1.0").await;
    }

    pub async fn hello_as(&mut self, epoch: u64, version: &str) {
        let hello = Hello {
            protocol: wire::PROTOCOL,
            epoch,
            next_seq: 1_000_000,
            version: version.to_owned(),
            host: "host-1".to_owned(),
        };
        self.say(&ToHub::Hello(hello)).await;
    }

    pub async fn say(&mut self, message: &ToHub) {
        self.write(&wire::encode(message).unwrap()).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// The next message, or why the hub closed.
    pub async fn hear(&mut self) -> Result<ToAgent, String> {
        let hear = async {
            loop {
                match self.decoder.next().unwrap() {
                    Some(Incoming::Control(message)) => return Ok(message),
                    Some(Incoming::Frame(_)) => panic!("the hub sends no frames"),
                    None => match self.recv.read_chunk(64 * 1024, true).await {
                        Ok(Some(chunk)) => self.decoder.feed(&chunk.bytes),
                        Ok(None) => return Err(self.connection.closed().await.to_string()),
                        Err(error) => return Err(error.to_string()),
                    },
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), hear)
            .await
            .expect("the hub says nothing")
    }

    /// Listens until everything up to `seq` is acknowledged.
    pub async fn acked(&mut self, seq: u64) {
        loop {
            match self.hear().await.unwrap() {
                ToAgent::Ack(ack) if ack.durable_seq >= seq => return,
                ToAgent::Ack(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The application code with which the hub closed.
    pub async fn close_code(&self) -> u64 {
        match tokio::time::timeout(Duration::from_secs(20), self.connection.closed())
            .await
            .expect("still open")
        {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("closed otherwise: {other}"),
        }
    }
}
