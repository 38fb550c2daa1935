//! Frames of agents: stored once, acknowledged when durable, refused when broken.

use streamflow_proto::{
    frame::HEADER_LEN,
    wire::{DrillNews, DrillOrder, DrillStep, Heartbeat, NackCode, Resume, ToAgent, ToHub, close},
};
use streamflow_storage::Origin;

use super::{
    Hub,
    agent::{Agent, enroll, frame},
    until,
};
use crate::{Ingest, Options, OrderError, QuicOptions};

#[tokio::test]
async fn frames_are_stored_once_over_cuts_and_a_restart() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut agent, welcome) = Agent::open(&hub, &credentials, 7).await;
    assert_eq!(welcome.last_durable_seq, None);
    for seq in 1..=20 {
        agent.write(frame(seq, seq * 10..seq * 10 + 10).bytes()).await;
    }
    agent.acked(20).await;
    agent.connection.close(0_u32.into(), b"cut");

    let (mut agent, welcome) = Agent::open(&hub, &credentials, 7).await;
    assert_eq!(welcome.last_durable_seq, Some(20));
    for seq in [19, 20, 22] {
        agent.write(frame(seq, seq * 10..seq * 10 + 10).bytes()).await;
    }
    agent.acked(22).await;
    assert_eq!(hub.count().await, 210);
    assert_eq!(hub.counted("streamflow_events_total", "quic"), 210.0);
    assert_eq!(hub.counted("streamflow_events_duplicate_total", "quic"), 20.0);

    let hub = hub.restart().await;
    assert!(matches!(agent.hear().await, Ok(ToAgent::Shutdown(_)) | Err(_)));
    let (mut agent, welcome) = Agent::open(&hub, &credentials, 7).await;
    assert_eq!(welcome.last_durable_seq, Some(22));
    let (_, other_epoch) = Agent::open(&hub, &enroll(&hub).await, 8).await;
    assert_eq!(other_epoch.last_durable_seq, None);
    agent.write(frame(23, [1]).bytes()).await;
    agent.acked(23).await;
    assert_eq!(hub.count().await, 211);
    hub.stop().await;
}

#[tokio::test]
async fn who_reads_the_store_and_who_starts_again_learns_when_an_agent_was_seen() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let stored = async |hub: &Hub| crate::agents::stored(&*hub.store).await.unwrap().remove(0);
    let agent = stored(&hub).await;
    assert_eq!((agent.connected, agent.last_seen), (false, None));
    let (agent, _) = Agent::open(&hub, &credentials, 7).await;
    until("the store tells of the connection", async || {
        let agent = stored(&hub).await;
        agent.connected && agent.last_seen.is_some() && agent.connected_at.is_some()
    })
    .await;

    let hub = hub.restart().await;
    drop(agent);
    let told = stored(&hub).await;
    assert!(!told.connected && told.connected_at.is_none(), "{told:?}");
    let known = hub.handle.agents().remove(0);
    assert_eq!((known.connected, known.last_seen), (false, told.last_seen));
    assert!(known.last_seen.is_some());
    hub.stop().await;
}

#[tokio::test]
async fn a_broken_stream_ends_alone() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let mut good = {
        let credentials = enroll(&hub).await;
        Agent::open(&hub, &credentials, 1).await.0
    };
    let mut flipped = frame(1, [1]).bytes().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut absurd = frame(1, [1]).bytes().to_vec();
    absurd[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut bomb = frame(1, [1]).bytes().to_vec();
    bomb[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    for (what, bytes, code) in [
        ("checksum", flipped, close::CHECKSUM),
        ("absurd length", absurd, close::PROTOCOL),
        ("absurd raw length", bomb, close::PROTOCOL),
        (
            "absurd control length",
            b"SFC1\xff\xff\xff\xff".to_vec(),
            close::PROTOCOL,
        ),
        ("not a record", b"GET / HTTP/1.1\r\n".to_vec(), close::PROTOCOL),
        (
            "not a message",
            b"SFC1\x04\0\0\0\xff\xff\xff\xff".to_vec(),
            close::PROTOCOL,
        ),
    ] {
        let (mut bad, _) = Agent::open(&hub, &credentials, 1).await;
        bad.write(&bytes).await;
        assert_eq!(bad.close_code().await, u64::from(code), "{what}");
    }
    good.write(frame(1, [1]).bytes()).await;
    good.acked(1).await;
    assert_eq!(hub.count().await, 1);
    assert_eq!(
        hub.counted("streamflow_agent_connections_closed_total", "checksum"),
        1.0
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_frame_that_does_not_decode_is_refused_for_good_and_the_rest_goes_on() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut agent, _) = Agent::open(&hub, &credentials, 1).await;
    let mut bad = frame(2, [2]).bytes().to_vec();
    bad[HEADER_LEN..].fill(0xff);
    let crc = crc32c::crc32c(&bad[16..]);
    bad[12..16].copy_from_slice(&crc.to_le_bytes());
    for bytes in [frame(1, [1]).bytes(), &bad[..], frame(3, [3]).bytes()] {
        agent.write(bytes).await;
    }
    let (mut refused, mut acked) = (None, 0);
    while refused.is_none() || acked < 3 {
        match agent.hear().await.unwrap() {
            ToAgent::Nack(nack) => refused = Some((nack.seq, nack.code, nack.retry_after_ms)),
            ToAgent::Ack(ack) => acked = ack.durable_seq,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(refused, Some((2, NackCode::Malformed, None)));
    assert_eq!(hub.count().await, 2);
    hub.stop().await;
}

#[tokio::test]
async fn the_certificate_alone_says_who_writes() {
    let hub = Hub::start().await;
    let (a, b) = (enroll(&hub).await, enroll(&hub).await);
    let (mut agent, _) = Agent::open(&hub, &a, 1).await;
    agent.write(frame(5, [1]).bytes()).await;
    agent.acked(5).await;
    let mark = async |id: &str| {
        hub.store
            .high_water(&Origin {
                agent: id.into(),
                epoch: 1,
            })
            .await
            .unwrap()
    };
    assert_eq!((mark(&a.id).await, mark(&b.id).await), (Some(5), None));
    // B may use the same epoch and sequences: they are its own
    let (mut agent, welcome) = Agent::open(&hub, &b, 1).await;
    assert_eq!(welcome.last_durable_seq, None);
    agent.write(frame(5, [1]).bytes()).await;
    agent.acked(5).await;
    assert_eq!(hub.count().await, 2);
    hub.stop().await;
}

#[tokio::test]
async fn the_list_shows_how_agents_do() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut agent, _) = Agent::open(&hub, &credentials, 3).await;
    let heartbeat = Heartbeat {
        sent_at_ms: 10_000,
        oldest_unacked_ms: Some(7_500),
        spool_bytes: 9,
        spool_events: 4,
        dropped: vec![("full".to_owned(), 2)],
        ..Heartbeat::default()
    };
    agent.say(&ToHub::Heartbeat(heartbeat)).await;
    agent.write(frame(1, [1, 2]).bytes()).await;
    agent.acked(1).await;
    let status = hub.handle.agents().pop().unwrap();
    assert_eq!(
        (
            status.name.as_str(),
            status.connected,
            status.epoch,
            status.last_seq,
            status.events_total
        ),
        ("host-1", true, 3, 1, 2)
    );
    assert_eq!(
        (
            status.lag_ms,
            status.spool_bytes,
            status.spool_events,
            status.dropped_total
        ),
        (2_500, 9, 4, 2)
    );
    assert_eq!(hub.counted("streamflow_agent_lag_seconds", ""), 2.5);
    agent.connection.close(0_u32.into(), b"");
    until("it is gone", async || !hub.handle.agents()[0].connected).await;
    for gauge in ["streamflow_agent_connected", "streamflow_agent_lag_seconds"] {
        assert_eq!(hub.counted(gauge, ""), 0.0, "{gauge}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn only_an_agent_that_can_is_asked_for_a_drill_and_what_it_tells_is_heard() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let order = || DrillOrder {
        drill: "d1".to_owned(),
        event: "{}".to_owned(),
    };
    assert!(matches!(
        hub.handle.order_drill("nobody", order()),
        Err(OrderError::Unknown(_))
    ));
    let id = hub.handle.agents()[0].id.clone();
    assert!(matches!(hub.handle.order_drill(&id, order()), Err(OrderError::Away(_))));

    let (old, _) = Agent::open(&hub, &credentials, 3).await;
    let refused = hub.handle.order_drill("host-1", order()).unwrap_err();
    assert!(matches!(refused, OrderError::TooOld { .. }));
    let text = refused.to_string();
    assert!(
        text.contains("host-1") && text.contains("0.1.0") && text.contains("upgrade"),
        "{text}"
    );
    old.connection.close(0_u32.into(), b"");
    until("it is gone", async || !hub.handle.agents()[0].connected).await;

    let mut agent = Agent::dial(hub.quic, &credentials.ca, Some(&credentials))
        .await
        .unwrap();
    agent.hello_as(3, "0.2.0+drill").await;
    assert!(matches!(agent.hear().await, Ok(ToAgent::Welcome(_))));
    let mut news = hub.handle.subscribe_drills();
    assert_eq!(hub.handle.order_drill("host-1", order()).unwrap().version, "0.2.0");
    assert!(matches!(agent.hear().await, Ok(ToAgent::Drill(heard)) if heard == order()));
    let told = DrillNews {
        drill: "d1".to_owned(),
        step: DrillStep::Spooled,
        at_ms: 7,
        reason: None,
    };
    agent.say(&ToHub::Drill(told.clone())).await;
    let heard = news.recv().await.unwrap();
    assert_eq!((heard.agent, heard.news), (id, told));
    hub.stop().await;
}

#[tokio::test]
async fn a_port_already_taken_is_named() {
    let hub = Hub::start().await;
    let quic = QuicOptions {
        listen: hub.quic,
        ..QuicOptions::default()
    };
    let other = tempfile::tempdir().unwrap();
    let failed = Ingest::build(
        &quic,
        &Options::default(),
        other.path(),
        hub.store.clone(),
        &prometheus::Registry::new(),
    )
    .await;
    let message = failed.err().unwrap().to_string();
    assert!(
        message.contains(&hub.quic.to_string()) && message.contains("[quic] listen"),
        "{message}"
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_full_disk_asks_the_agent_to_come_again() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut agent, _) = Agent::open(&hub, &credentials, 1).await;
    agent.write(frame(1, [1]).bytes()).await;
    agent.acked(1).await;
    hub.fill(true);
    for seq in 2..=5 {
        agent.write(frame(seq, [seq]).bytes()).await;
    }
    let nack = match agent.hear().await.unwrap() {
        ToAgent::Nack(nack) => nack,
        other => panic!("unexpected {other:?}"),
    };
    assert_eq!((nack.seq, nack.code), (2, NackCode::Unavailable));
    assert!(nack.retry_after_ms.is_some());
    hub.fill(false);
    // sent before the agent knew: not stored, or 2 to 5 would be taken for stored
    agent.write(frame(6, [6]).bytes()).await;
    agent.say(&ToHub::Resume(Resume { next_seq: 2 })).await;
    for seq in 2..=6 {
        agent.write(frame(seq, [seq]).bytes()).await;
    }
    agent.acked(6).await;
    assert_eq!(hub.count().await, 6);
    hub.stop().await;
}

#[tokio::test]
async fn a_new_session_begins_when_the_one_before_hands_over_nothing_more() {
    let hub = Hub::start().await;
    let credentials = enroll(&hub).await;
    let (mut before, _) = Agent::open(&hub, &credentials, 1).await;
    hub.flaky.held.send_replace(true);
    before.write(frame(1, [1]).bytes()).await;
    let calls = || hub.flaky.calls.lock().unwrap().clone();
    until("the frame waits for room", async || {
        calls().iter().any(|call| call == "waits 1")
    })
    .await;
    let mut after = Agent::dial(hub.quic, &credentials.ca, Some(&credentials))
        .await
        .unwrap();
    after.hello(1).await;
    assert_eq!(before.close_code().await, u64::from(close::REPLACED));
    hub.flaky.held.send_replace(false);
    assert!(matches!(after.hear().await, Ok(ToAgent::Welcome(_))));
    assert_eq!(calls(), ["high water", "waits 1", "append 1", "high water"]);
    after.write(frame(1, [1]).bytes()).await;
    after.write(frame(2, [2]).bytes()).await;
    after.acked(2).await;
    assert_eq!(hub.count().await, 2);
    hub.stop().await;
}
