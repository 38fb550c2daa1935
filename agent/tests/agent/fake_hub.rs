//! A hub with a real QUIC listener and mutual TLS, and a store in memory.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, ServerConfig, VarInt};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use streamflow_agent::identity::Request;
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::event::Event;
use streamflow_proto::frame::Frame;
use streamflow_proto::wire::{
    self, ALPN, Decoder, DrillNews, DrillOrder, EnrollToken, Enrolled, FrameFate, Greeting, Heartbeat, HubSession,
    Incoming, MetricsPush, Nack, NackCode, RefusalCode, Refused, SERVER_NAME, ToAgent, ToHub,
};
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Default)]
pub struct Store {
    /// Frames by epoch and sequence number.
    pub frames: BTreeMap<(u64, u64), Frame>,
    pub heartbeats: Vec<Heartbeat>,
    pub sessions: u64,
    pub renewals: u64,
    /// The next so many frames are refused for now.
    pub fail_next: u64,
    /// The next frame is refused for good.
    pub reject_next: bool,
    /// What every new session has computed; a hub that knows nothing of metrics has none.
    pub push: Option<MetricsPush>,
    /// What the next session asks for.
    pub drill: Option<DrillOrder>,
    /// What became of it.
    pub drilled: Vec<DrillNews>,
    used_tokens: HashMap<String, bool>,
}

pub struct FakeHub {
    pub store: Arc<Mutex<Store>>,
    ca: Arc<Ca>,
    endpoint: Endpoint,
    pub addr: SocketAddr,
}

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub der: CertificateDer<'static>,
}

impl Ca {
    pub fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let cert = params.self_signed(&key).unwrap();
        let der = cert.der().clone();
        Arc::new(Self {
            issuer: Issuer::from_ca_cert_der(&der, key).unwrap(),
            der,
        })
    }

    pub fn pin(&self) -> [u8; 32] {
        let (_, certificate) = X509Certificate::from_der(&self.der).unwrap();
        Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into()
    }

    fn enrolled(&self, csr_der: &[u8], renew_after_ms: i64) -> Enrolled {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der)).unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&request.public_key, &self.issuer).unwrap();
        Enrolled {
            agent_id: "agent-1".into(),
            chain_der: vec![cert.der().to_vec()],
            ca_der: self.der.to_vec(),
            renew_after_ms,
            expires_ms: i64::MAX,
        }
    }

    /// What `enroll` would have stored.
    pub fn make_identity(&self, data_dir: &Path, renew_after_ms: i64) {
        let request = Request::new().unwrap();
        let enrolled = self.enrolled(&request.csr_der, renew_after_ms);
        request.accept(enrolled, "").store(data_dir).unwrap();
    }
}

impl FakeHub {
    pub fn start(ca: &Arc<Ca>, store: Arc<Mutex<Store>>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), ca, store)
    }

    pub fn start_at(addr: SocketAddr, ca: &Arc<Ca>, store: Arc<Mutex<Store>>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &ca.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![leaf, ca.der.clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let deadline = Instant::now() + Duration::from_secs(20);
        let endpoint = loop {
            match Endpoint::server(config.clone(), addr) {
                Ok(endpoint) => break endpoint,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let hub = Self {
            addr: endpoint.local_addr().unwrap(),
            endpoint,
            ca: ca.clone(),
            store,
        };
        let (accepting, ca, store) = (hub.endpoint.clone(), hub.ca.clone(), hub.store.clone());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let (ca, store) = (ca.clone(), store.clone());
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    // How a connection ends is the agent's business.
                    drop(serve(&connection, &ca, &store).await);
                });
            }
        });
        hub
    }

    /// As kill -9: nobody is told.
    pub async fn kill(self) {
        self.endpoint.close(VarInt::from_u32(0), b"");
        self.endpoint.wait_idle().await;
    }

    pub fn token(&self) -> EnrollToken {
        EnrollToken {
            id: "t1".into(),
            secret: "ab".repeat(32),
            ca_pin: self.ca.pin(),
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn serve(connection: &Connection, ca: &Ca, store: &Mutex<Store>) -> Result<(), Error> {
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut decoder = Decoder::<ToHub>::default();
    let mut session = HubSession::default();
    let mut epoch = 0;
    loop {
        while let Some(incoming) = decoder.next()? {
            let mut answers = Vec::new();
            match incoming {
                Incoming::Control(ToHub::Enroll(request)) => {
                    let mut store = store.lock().unwrap();
                    let refuse = |code, reason: &str| {
                        ToAgent::Refused(Refused {
                            code,
                            reason: reason.into(),
                        })
                    };
                    answers.push(if request.secret != "ab".repeat(32) {
                        refuse(RefusalCode::UnknownToken, "unknown token")
                    } else if store.used_tokens.insert(request.token_id, true).is_some() {
                        refuse(RefusalCode::UsedToken, "the token has been used")
                    } else {
                        ToAgent::Enrolled(ca.enrolled(&request.csr_der, i64::MAX))
                    });
                }
                Incoming::Control(message) => match session.received(message)? {
                    Greeting::Hello(hello) => {
                        epoch = hello.epoch;
                        let mut store = store.lock().unwrap();
                        store.sessions += 1;
                        let last = store
                            .frames
                            .range((epoch, 0)..=(epoch, u64::MAX))
                            .next_back()
                            .map(|((_, seq), _)| *seq);
                        answers.push(ToAgent::Welcome(session.open(last, 8, 1 << 20, 0)));
                        answers.extend(store.push.clone().map(ToAgent::Metrics));
                        answers.extend(store.drill.take().map(ToAgent::Drill));
                    }
                    Greeting::Heartbeat(heartbeat) => store.lock().unwrap().heartbeats.push(heartbeat),
                    Greeting::Renew(renew) => {
                        store.lock().unwrap().renewals += 1;
                        answers.push(ToAgent::Enrolled(ca.enrolled(&renew.csr_der, i64::MAX)));
                    }
                    Greeting::Drill(news) => store.lock().unwrap().drilled.push(news),
                    Greeting::Metrics(_) | Greeting::Nothing => {}
                },
                Incoming::Frame(frame) => {
                    let seq = frame.header().seq;
                    let mut store = store.lock().unwrap();
                    match session.frame(seq)? {
                        FrameFate::Store if store.fail_next > 0 => {
                            store.fail_next -= 1;
                            session.failed(seq);
                            let reason = "busy".into();
                            answers.push(ToAgent::Nack(Nack {
                                seq,
                                code: NackCode::Unavailable,
                                reason,
                                retry_after_ms: Some(20),
                            }));
                        }
                        FrameFate::Store if store.reject_next => {
                            store.reject_next = false;
                            session.rejected(seq);
                            let reason = "bad".into();
                            answers.push(ToAgent::Nack(Nack {
                                seq,
                                code: NackCode::Malformed,
                                reason,
                                retry_after_ms: None,
                            }));
                        }
                        FrameFate::Store => {
                            assert!(store.frames.insert((epoch, seq), frame).is_none(), "stored twice");
                            session.stored(seq);
                        }
                        FrameFate::Duplicate | FrameFate::Skip => {}
                    }
                }
            }
            answers.extend(session.ack().map(ToAgent::Ack));
            for answer in answers {
                send.write_all(&wire::encode(&answer)?).await?;
            }
        }
        let Some(chunk) = recv.read_chunk(64 << 10, true).await? else {
            return Ok(());
        };
        decoder.feed(&chunk.bytes);
    }
}

/// All events of the store, in order of their frames.
pub fn events(store: &Mutex<Store>) -> Vec<Event> {
    let frames: Vec<Frame> = store.lock().unwrap().frames.values().cloned().collect();
    let mut all = Vec::new();
    for frame in frames {
        let batch = frame.decode().unwrap();
        all.extend(batch.events(&Bitmap::new(batch.len(), true)).unwrap());
    }
    all
}

/// The messages of all events, in order of their frames.
pub fn messages(store: &Mutex<Store>) -> Vec<String> {
    let message = |event: &Event| {
        let data: serde_json::Value = serde_json::from_str(event.data.as_ref()?.get()).ok()?;
        Some(data["message"].as_str()?.to_owned())
    };
    events(store).iter().filter_map(message).collect()
}
