//! Ready frames over QUIC into a durable hub.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::crypto::rustls::QuicServerConfig;
use streamflow_proto::{
    frame::Frame,
    wire::{self, Decoder, Hello, Incoming, ToAgent, ToHub},
};
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig};

use crate::{
    baseline::{self, Parse},
    generator::now_ms,
    quic_client,
    report::{Row, count, percentile},
    settled::settled,
};

/// Frames under way in the closed loop.
const IN_FLIGHT: usize = 32;

struct Load {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    decoder: Decoder<ToAgent>,
    buffer: Vec<u8>,
}

impl Load {
    async fn open(hub: &Hub, agent: &Agent, epoch: u64) -> Self {
        let connection = quic_client::connect(&agent.dir().join("data"), &hub.quic).await;
        let (mut send, recv) = connection.open_bi().await.expect("stream");
        let hello = Hello {
            protocol: wire::PROTOCOL,
            epoch,
            next_seq: 1,
            version: "bench".into(),
            host: "bench".into(),
        };
        send.write_all(&wire::encode(&ToHub::Hello(hello)).expect("hello"))
            .await
            .expect("send");
        let mut load = Self {
            send,
            recv,
            decoder: Decoder::default(),
            buffer: vec![0; 64 << 10],
        };
        loop {
            if let ToAgent::Welcome(_) = load.message().await {
                return load;
            }
        }
    }

    async fn message(&mut self) -> ToAgent {
        loop {
            match self.decoder.next().expect("sound records") {
                Some(Incoming::Control(message)) => return message,
                Some(Incoming::Frame(_)) => panic!("the hub sends no frames"),
                None => {
                    let n = self
                        .recv
                        .read(&mut self.buffer)
                        .await
                        .expect("read")
                        .expect("an open stream");
                    self.decoder.feed(&self.buffer[..n]);
                }
            }
        }
    }

    /// The next cumulative acknowledgement.
    async fn ack(&mut self) -> u64 {
        loop {
            match self.message().await {
                ToAgent::Ack(ack) => return ack.durable_seq,
                ToAgent::Nack(nack) => panic!("refused: {nack:?}"),
                _ => {}
            }
        }
    }

    async fn frame(&mut self, frame: &Frame) {
        self.send.write_chunk(frame.bytes().clone()).await.expect("send");
    }
}

fn start() -> (Hub, Agent) {
    let hub = Hub::start(&HubConfig {
        more: String::new(),
        ..HubConfig::default()
    });
    let agent = Agent::prepare(&AgentConfig::tail("event"), &hub.quic);
    let output = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (hub, agent)
}

/// As fast as the hub acknowledges.
pub async fn closed(events: usize, parse: &Parse) -> Vec<Row> {
    let (mut hub, agent) = start();
    let api = hub.admin().await;
    let rule = serde_json::json!({"name": "minute windows", "match": "true", "aggregate": "p99(data.ms)", "window": "1m", "group_by": ["type", "source"],
                                  "condition": "value > threshold", "threshold": 1e12});
    assert_eq!(api.post("/api/v1/rules", &rule).await.0, 201);
    let frames = baseline::frames(events, 1, now_ms());
    let bytes: usize = frames.iter().map(|f| f.bytes().len()).sum();
    let sink = null_sink(&frames).await;
    let mut load = Load::open(&hub, &agent, 1).await;
    settled(hub.process()).await;
    let cpu = hub.process().cpu();
    let started = Instant::now();
    let mut acked = 0;
    for (sent, frame) in frames.iter().enumerate() {
        while sent as u64 - acked >= IN_FLIGHT as u64 {
            acked = load.ack().await;
        }
        load.frame(frame).await;
    }
    while acked < frames.len() as u64 {
        acked = load.ack().await;
    }
    let took = started.elapsed();
    let resident = hub.process().resident() as f64 / 1048576.0;
    // CPU of everything behind the acknowledgement, too: windows and merging catch up first.
    streamflow_tests::eventually("the hub has caught up", async || {
        hub.metric("streamflow_store_inbox_frames").await < 64.0
    })
    .await;
    let cpu = hub.process().cpu() - cpu;
    let rate = events as f64 / took.as_secs_f64();
    let per_cpu = events as f64 / cpu.as_secs_f64();
    let (_, stats) = api.get("/api/v1/stats").await;
    let disk = stats["data"]["bytes"].as_f64().unwrap_or(f64::NAN) / events as f64;
    vec![
        Row {
            what: "QUIC → durable, minute windows on, events/s (sender on the same 2 cores)",
            ours: count(rate),
            baseline: format!("the same bytes over quinn into a null sink {}", count(sink)),
            ratio: Some(rate / sink),
            target: "≥ 1 M, goal 2 M",
        },
        Row {
            what: "the same, events per CPU-second of the hub, windows and merging included",
            ours: count(per_cpu),
            baseline: format!("serde_json borrowed parse {}", count(parse.events_per_cpu_second)),
            ratio: Some(per_cpu / parse.events_per_cpu_second),
            target: "≥ 1.0, goal 1.4",
        },
        Row {
            what: "hub resident memory at full load",
            ours: format!("{resident:.0} MiB"),
            baseline: "–".into(),
            ratio: None,
            target: "< 256 MiB",
        },
        Row {
            what: "database bytes per stored event (after the run)",
            ours: format!("{disk:.1} B"),
            baseline: format!(
                "on the wire {:.1} B; as JSON {:.0} B",
                bytes as f64 / events as f64,
                parse.bytes_per_event
            ),
            ratio: Some(disk / parse.bytes_per_event),
            target: "–",
        },
    ]
}

/// 100,000 events/s in frames of 1,000.
pub async fn paced(seconds: usize) -> Vec<Row> {
    let (mut hub, agent) = start();
    let frames = baseline::frames(seconds * 100_000, 1, now_ms());
    let sync = baseline::fdatasync_p50();
    let mut load = Load::open(&hub, &agent, 1).await;
    settled(hub.process()).await;
    let cpu = hub.process().cpu();
    let started = Instant::now();
    let mut latencies = Vec::with_capacity(frames.len());
    for (i, frame) in frames.iter().enumerate() {
        tokio::time::sleep_until((started + Duration::from_millis(10) * u32::try_from(i).expect("few frames")).into())
            .await;
        let sent = Instant::now();
        load.frame(frame).await;
        while load.ack().await <= i as u64 {}
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    let share = (hub.process().cpu() - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let p50 = percentile(&latencies, 0.5);
    vec![
        Row {
            what: "100,000 events/s in frames of 1,000: durable ack p50 / p99",
            ours: format!("{p50:.2} / {:.2} ms", percentile(&latencies, 0.99)),
            baseline: format!("raw fdatasync of 50 KB p50 {sync:.2} ms"),
            ratio: Some(p50 / sync),
            target: "p50 ≤ 2 ms + fdatasync",
        },
        Row {
            what: "the same: share of one core",
            ours: format!("{share:.2}"),
            baseline: "–".into(),
            ratio: None,
            target: "≤ 0.3, goal 0.15",
        },
    ]
}

/// The same bytes over quinn into a task that throws them away.
async fn null_sink(frames: &[Frame]) -> f64 {
    let certified = rcgen::generate_simple_self_signed(vec!["sink".into()]).expect("certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = certified.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("certificate");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("TLS")));
    let mut transport = quinn::TransportConfig::default();
    transport
        .stream_receive_window(quinn::VarInt::from_u32(8 << 20))
        .receive_window(quinn::VarInt::from_u32(8 << 20));
    config.transport_config(Arc::new(transport));
    let server = quinn::Endpoint::server(config, "127.0.0.1:0".parse().expect("address")).expect("endpoint");
    let address = server.local_addr().expect("address");
    let sink = tokio::spawn(async move {
        let connection = server.accept().await.expect("incoming").await.expect("connection");
        let (mut send, mut recv) = connection.accept_bi().await.expect("stream");
        while recv.read_chunk(1 << 20, true).await.expect("read").is_some() {}
        send.write_all(b"done").await.expect("answer");
        send.finish().expect("finish");
        connection.closed().await;
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("root");
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = quinn::ClientConfig::new(Arc::new(
        quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS"),
    ));
    config.transport_config(quic_client::transport());
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("address")).expect("endpoint");
    endpoint.set_default_client_config(config);
    let connection = endpoint
        .connect(address, "sink")
        .expect("connect")
        .await
        .expect("connection");
    let (mut send, mut recv) = connection.open_bi().await.expect("stream");
    let started = Instant::now();
    for frame in frames {
        send.write_chunk(frame.bytes().clone()).await.expect("send");
    }
    send.finish().expect("finish");
    recv.read_to_end(16).await.expect("answer");
    let took = started.elapsed();
    connection.close(0_u32.into(), b"");
    drop(sink.await);
    frames.iter().map(|f| f64::from(f.header().count)).sum::<f64>() / took.as_secs_f64()
}
