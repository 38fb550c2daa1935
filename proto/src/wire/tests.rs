//! Exactly once over any sequence of cuts and failures, and a decoder that survives any bytes.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::frame::HEADER_LEN;

/// A frame whose payload is not a batch: the wire never looks inside.
fn frame_bytes(seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[..4].copy_from_slice(b"SFB1");
    bytes[4] = 1;
    bytes[8..12].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes[16..20].copy_from_slice(&1_u32.to_le_bytes());
    bytes[20..24].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes[24..32].copy_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(payload);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

enum Up {
    Message(ToHub),
    Frame(u64),
}

/// Agent, link, hub and store in one place, driven one small step at a time.
struct World {
    now: i64,
    agent: AgentSession,
    spool: BTreeSet<u64>,
    next_seq: u64,
    dropped: BTreeSet<u64>,
    acked: Option<u64>,
    link: Option<(VecDeque<Up>, VecDeque<ToAgent>)>,
    connection: u32,
    hub: HubSession,
    queue: VecDeque<(u32, u64)>,
    stored: Vec<u64>,
}

impl World {
    fn new() -> Self {
        Self {
            now: 0,
            agent: AgentSession::new(7, "1".into(), "h".into()),
            spool: BTreeSet::new(),
            next_seq: 0,
            dropped: BTreeSet::new(),
            acked: None,
            link: None,
            connection: 0,
            hub: HubSession::default(),
            queue: VecDeque::new(),
            stored: Vec::new(),
        }
    }

    fn write(&mut self) {
        self.spool.insert(self.next_seq);
        self.next_seq += 1;
    }

    fn drop_oldest(&mut self) {
        if let Some(seq) = self.spool.pop_first() {
            self.dropped.insert(seq);
        }
    }

    fn send(&mut self) {
        let Some((up, _)) = &mut self.link else {
            self.connection += 1;
            self.hub = HubSession::default();
            let hello = self.agent.connected(self.next_seq);
            self.link = Some((VecDeque::from([Up::Message(hello)]), VecDeque::new()));
            return;
        };
        match self.agent.next(self.now, self.next_seq) {
            Next::Message(message) => up.push_back(Up::Message(message)),
            Next::Frame { from_seq } => {
                if let Some(&seq) = self.spool.range(from_seq..).next() {
                    self.agent.sent(seq, 10);
                    up.push_back(Up::Frame(seq));
                }
            }
            Next::WaitUntil(_) | Next::Idle => {}
        }
    }

    fn arrive_at_hub(&mut self) {
        let Some((up, down)) = &mut self.link else { return };
        match up.pop_front() {
            Some(Up::Message(message)) => {
                if let Greeting::Hello(_) = self.hub.received(message).unwrap() {
                    down.push_back(ToAgent::Welcome(self.hub.open(
                        self.stored.last().copied(),
                        4,
                        35,
                        self.now,
                    )));
                }
            }
            Some(Up::Frame(seq)) if self.hub.frame(seq).unwrap() == FrameFate::Store => {
                self.queue.push_back((self.connection, seq))
            }
            Some(Up::Frame(_)) | None => {}
        }
    }

    fn commit(&mut self) {
        if let Some((connection, seq)) = self.queue.pop_front() {
            if self.stored.last().is_none_or(|last| seq > *last) {
                self.stored.push(seq);
            }
            if connection == self.connection && self.link.is_some() {
                self.hub.stored(seq);
            }
        }
    }

    fn fail(&mut self) {
        for (connection, seq) in std::mem::take(&mut self.queue) {
            if let Some((_, down)) = &mut self.link
                && connection == self.connection
                && self.hub.failed(seq)
            {
                let nack = Nack {
                    seq,
                    code: NackCode::Unavailable,
                    reason: String::new(),
                    retry_after_ms: Some(3),
                };
                down.push_back(ToAgent::Nack(nack));
            }
        }
    }

    fn acknowledge(&mut self) {
        if let (Some((_, down)), Some(ack)) = (&mut self.link, self.hub.ack()) {
            down.push_back(ToAgent::Ack(ack));
        }
    }

    fn arrive_at_agent(&mut self) {
        let Some(message) = self.link.as_mut().and_then(|(_, down)| down.pop_front()) else {
            return;
        };
        for event in self.agent.received(self.now, message).unwrap() {
            match event {
                AgentEvent::Acked(seq) => {
                    self.spool = self.spool.split_off(&(seq + 1));
                    self.acked = self.acked.max(Some(seq));
                }
                AgentEvent::Opened { .. } | AgentEvent::Delayed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn step(&mut self, choice: u8) {
        self.now += 1;
        match choice {
            0..=2 => self.write(),
            3..=7 => self.send(),
            8..=12 => self.arrive_at_hub(),
            13..=16 => self.commit(),
            17..=19 => self.acknowledge(),
            20..=24 => self.arrive_at_agent(),
            25 => self.link = None,
            26 => self.fail(),
            _ => self.drop_oldest(),
        }
        assert!(self.agent.in_flight() <= 4);
    }

    fn settle(&mut self) {
        for _ in 0..40 * (self.next_seq + 10) {
            for choice in [3, 8, 13, 17, 20] {
                self.step(choice);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20000))]

    #[test]
    fn every_frame_is_stored_once_and_acknowledged(choices in prop::collection::vec(0_u8..28, 0..400)) {
        let mut world = World::new();
        choices.into_iter().for_each(|choice| world.step(choice));
        world.settle();
        prop_assert!(world.stored.is_sorted_by(|a, b| a < b), "stored twice: {:?}", world.stored);
        let stored: BTreeSet<u64> = world.stored.iter().copied().collect();
        let missing: Vec<u64> = (0..world.next_seq).filter(|seq| !stored.contains(seq) && !world.dropped.contains(seq)).collect();
        prop_assert!(missing.is_empty(), "lost {missing:?}");
        prop_assert!(world.spool.is_empty());
        // a frame that the spool dropped while it was on its way may be stored without its agent ever asking
        let unheard = stored.iter().filter(|seq| world.acked.is_none_or(|acked| **seq > acked));
        prop_assert!(unheard.cloned().all(|seq| world.dropped.contains(&seq)));
    }

    #[test]
    fn any_bytes_give_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0_usize..3) {
        let mut decoder = Decoder::<ToHub>::default();
        decoder.feed([&b""[..], b"SFB1\x01", b"SFC1\x08\0\0\0"][start]);
        decoder.feed(&bytes);
        while let Ok(Some(_)) = decoder.next() {}
    }

    #[test]
    fn records_survive_any_cut(sizes in prop::collection::vec(0_usize..3000, 1..8), cut in 1_usize..700) {
        let heartbeat = ToHub::Heartbeat(Heartbeat { spool_bytes: 9, dropped: vec![("full".into(), 3)], ..Heartbeat::default() });
        let mut stream = Vec::new();
        for (seq, size) in sizes.iter().enumerate() {
            stream.extend(frame_bytes(seq as u64, &vec![7; *size]));
            stream.extend(encode(&heartbeat).unwrap());
        }
        let mut decoder = Decoder::<ToHub>::default();
        let mut seqs = Vec::new();
        let mut heartbeats = 0;
        for piece in stream.chunks(cut) {
            decoder.feed(piece);
            while let Some(record) = decoder.next().unwrap() {
                match record {
                    Incoming::Frame(frame) => seqs.push(frame.header().seq),
                    Incoming::Control(message) => {
                        prop_assert_eq!(&message, &heartbeat);
                        heartbeats += 1;
                    }
                }
            }
        }
        prop_assert_eq!(seqs, (0..sizes.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(heartbeats, sizes.len());
        prop_assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn absurd_lengths_are_refused_before_anything_is_buffered() {
    let mut header = frame_bytes(1, b"");
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut decoder = Decoder::<ToHub>::default();
    decoder.feed(&header);
    assert!(matches!(decoder.next(), Err(WireError::Frame(_))));

    let mut decoder = Decoder::<ToHub>::default();
    decoder.feed(b"SFC1\xff\xff\xff\xff");
    assert!(matches!(decoder.next(), Err(WireError::TooLong { .. })));

    let mut decoder = Decoder::<ToHub>::default();
    decoder.feed(b"GET / HTTP/1.1");
    assert_eq!(decoder.next().unwrap_err(), WireError::Magic(*b"GET "));
}

/// A control record around a body.
fn record(body: &[u8]) -> Vec<u8> {
    let mut record = b"SFC1".to_vec();
    record.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    record.extend(body);
    record
}

/// Bytes that the first version of each end sent: what is added since must not move them.
#[test]
fn golden_bytes_of_the_first_messages_keep_their_meaning() {
    let to_hub: [(&[u8], ToHub); 2] = [
        (
            b"\x00\x01\x07\x05\x050.1.0\x05web-1",
            ToHub::Hello(Hello {
                protocol: 1,
                epoch: 7,
                next_seq: 5,
                version: "0.1.0".into(),
                host: "web-1".into(),
            }),
        ),
        (b"\x04\x09", ToHub::Resume(Resume { next_seq: 9 })),
    ];
    for (body, message) in to_hub {
        let mut decoder = Decoder::<ToHub>::default();
        decoder.feed(&record(body));
        let Some(Incoming::Control(read)) = decoder.next().unwrap() else {
            panic!("no message in {body:?}")
        };
        assert_eq!(read, message);
        assert_eq!(encode(&message).unwrap(), record(body));
    }
    let to_agent: [(&[u8], ToAgent); 4] = [
        (
            b"\x00\x01\x04\x08\x64\x06",
            ToAgent::Welcome(Welcome {
                last_durable_seq: Some(4),
                window_frames: 8,
                window_bytes: 100,
                server_time_ms: 3,
            }),
        ),
        (b"\x01\x05", ToAgent::Ack(Ack { durable_seq: 5 })),
        (
            b"\x03\x02\x01x",
            ToAgent::Config(ConfigUpdate {
                version: 2,
                body: "x".into(),
            }),
        ),
        (b"\x06\x0a", ToAgent::Shutdown(Shutdown { retry_after_ms: 10 })),
    ];
    for (body, message) in to_agent {
        let mut decoder = Decoder::<ToAgent>::default();
        decoder.feed(&record(body));
        let Some(Incoming::Control(read)) = decoder.next().unwrap() else {
            panic!("no message in {body:?}")
        };
        assert_eq!(read, message);
        assert_eq!(encode(&message).unwrap(), record(body));
    }
}

#[test]
fn a_drill_has_its_place_in_an_open_session() {
    let order = DrillOrder {
        drill: "d1".into(),
        event: "{}".into(),
    };
    let mut agent = AgentSession::new(1, String::new(), String::new());
    agent.connected(0);
    assert!(
        agent.received(0, ToAgent::Drill(order.clone())).is_err(),
        "before the welcome"
    );
    let welcome = Welcome {
        last_durable_seq: None,
        window_frames: 1,
        window_bytes: 1,
        server_time_ms: 0,
    };
    agent.received(0, ToAgent::Welcome(welcome)).unwrap();
    assert_eq!(
        agent.received(0, ToAgent::Drill(order.clone())).unwrap(),
        [AgentEvent::Drill(order)]
    );
    let news = DrillNews {
        drill: "d1".into(),
        step: DrillStep::Lost,
        at_ms: -1,
        reason: Some("filtered".into()),
    };
    let mut hub = HubSession::default();
    assert!(hub.received(ToHub::Drill(news.clone())).is_err(), "before the greeting");
    let hello = Hello {
        protocol: PROTOCOL,
        epoch: 1,
        next_seq: 0,
        version: String::new(),
        host: String::new(),
    };
    hub.received(ToHub::Hello(hello)).unwrap();
    hub.open(None, 1, 1, 0);
    assert_eq!(hub.received(ToHub::Drill(news.clone())).unwrap(), Greeting::Drill(news));
}

#[test]
fn a_flipped_bit_is_an_error() {
    let mut bytes = frame_bytes(1, b"payload");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let mut decoder = Decoder::<ToHub>::default();
    decoder.feed(&Bytes::from(bytes));
    assert!(matches!(decoder.next(), Err(WireError::Frame(_))));
}

#[test]
fn a_spool_older_than_the_hub_begins_a_new_epoch() {
    let mut agent = AgentSession::new(1, String::new(), String::new());
    agent.connected(5);
    let welcome = Welcome {
        last_durable_seq: Some(5),
        window_frames: 1,
        window_bytes: 1,
        server_time_ms: 0,
    };
    assert_eq!(
        agent.received(0, ToAgent::Welcome(welcome)).unwrap(),
        [AgentEvent::NewEpoch { hub_seq: 5 }]
    );
    assert_eq!(agent.next(0, 5), Next::Idle);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_frees_nothing() {
    let mut agent = AgentSession::new(1, String::new(), String::new());
    agent.connected(5);
    let welcome = Welcome {
        last_durable_seq: None,
        window_frames: 8,
        window_bytes: 1 << 20,
        server_time_ms: 0,
    };
    agent.received(0, ToAgent::Welcome(welcome)).unwrap();
    agent.sent(0, 10);
    assert_eq!(agent.received(0, ToAgent::Ack(Ack { durable_seq: 3 })).unwrap(), []);
    assert_eq!(
        agent.received(0, ToAgent::Ack(Ack { durable_seq: 0 })).unwrap(),
        [AgentEvent::Acked(0)]
    );
}

#[test]
fn messages_have_their_place() {
    let mut hub = HubSession::default();
    assert!(hub.frame(0).is_err());
    assert!(hub.received(ToHub::Heartbeat(Heartbeat::default())).is_err());
    let hello = |protocol| {
        ToHub::Hello(Hello {
            protocol,
            epoch: 1,
            next_seq: 0,
            version: String::new(),
            host: String::new(),
        })
    };
    assert_eq!(
        hub.received(hello(2)).unwrap_err(),
        SessionError::Protocol {
            theirs: 2,
            ours: PROTOCOL
        }
    );
    assert!(matches!(hub.received(hello(1)).unwrap(), Greeting::Hello(_)));
    assert!(hub.received(hello(1)).is_err());
}

#[test]
fn a_token_reads_as_it_is_printed() {
    let token = EnrollToken {
        id: "a1".into(),
        secret: "0f".repeat(32),
        ca_pin: [0xab; 32],
    };
    assert_eq!(token.to_string().parse::<EnrollToken>().unwrap(), token);
    for wrong in [
        "",
        "sf1.a.b.c",
        "sf2.a1.00.00",
        &token.to_string().replace("sf1", "sf9"),
        &format!("{token}.x"),
        &token.to_string().to_uppercase(),
    ] {
        assert_eq!(wrong.parse::<EnrollToken>(), Err(TokenError), "{wrong}");
    }
    assert!(!format!("{token:?}").contains("0f0f"));
}

/// Released peers read these bytes: what was there before keeps them, and what is new comes behind.
#[test]
fn messages_keep_their_bytes() {
    fn check<M: ControlMessage + PartialEq + std::fmt::Debug>(message: M, body: &[u8]) {
        let mut record = b"SFC1".to_vec();
        record.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        record.extend(body);
        assert_eq!(encode(&message).unwrap(), record, "{message:?}");
        let mut decoder = Decoder::<M>::default();
        decoder.feed(&record);
        let Some(Incoming::Control(read)) = decoder.next().unwrap() else {
            panic!("no message in {record:?}");
        };
        assert_eq!(read, message);
    }
    let hello = Hello {
        protocol: 1,
        epoch: 300,
        next_seq: 5,
        version: "0".into(),
        host: "h".into(),
    };
    check(ToHub::Hello(hello), &[0, 1, 251, 44, 1, 5, 1, b'0', 1, b'h']);
    check(ToHub::Heartbeat(Heartbeat::default()), &[1, 0, 0, 0, 0, 0, 0]);
    check(ToHub::Renew(RenewRequest { csr_der: vec![9] }), &[3, 1, 9]);
    check(ToHub::Resume(Resume { next_seq: 7 }), &[4, 7]);
    let taken = MetricsTaken {
        version: 2,
        refused: vec![("s".into(), "r".into())],
    };
    check(ToHub::MetricsTaken(taken), &[6, 2, 1, 1, b's', 1, b'r']);
    let welcome = Welcome {
        last_durable_seq: Some(4),
        window_frames: 8,
        window_bytes: 9,
        server_time_ms: 1,
    };
    check(ToAgent::Welcome(welcome), &[0, 1, 4, 8, 9, 2]);
    check(ToAgent::Ack(Ack { durable_seq: 5 }), &[1, 5]);
    let config = ConfigUpdate {
        version: 1,
        body: "b".into(),
    };
    check(ToAgent::Config(config), &[3, 1, 1, b'b']);
    check(ToAgent::Shutdown(Shutdown { retry_after_ms: 1000 }), &[6, 251, 232, 3]);
    let push = MetricsPush {
        version: 2,
        format: 1,
        definitions: vec![MetricDefinition {
            series: "s".into(),
            name: "n".into(),
            matches: "true".into(),
            aggregate: "count()".into(),
            group_by: vec!["type".into()],
            base_ms: 60_000,
            keep_events: true,
        }],
    };
    let mut body = vec![8, 2, 1, 1, 1, b's', 1, b'n', 4];
    body.extend(b"true");
    body.push(7);
    body.extend(b"count()");
    body.extend([1, 4]);
    body.extend(b"type");
    // 60,000 in zigzag is 120,000, more than 16 bits hold.
    body.extend([252, 0xc0, 0xd4, 1, 0, 1]);
    check(ToAgent::Metrics(push), &body);
}
