//! Large batches, which are stored as chunks in the transaction that makes them durable.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    Fixture, T0, ask, chunk, event_json, everything, frame, id_of, log::replay, numbers, origin, put, put_chunk,
};
use crate::store::{Appended, EventQuery, Store};

/// What is sorted by time as events come back.
async fn sorted(store: &dyn Store) -> Vec<u64> {
    let mut all = numbers(&ask(store, everything()).await);
    all.sort_unstable();
    all
}

/// They take a place in the log like any other, are known again, and never stand in the inbox.
pub async fn large_batches_are_chunks_at_once(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(put(&*store, "@http", frame(1, 0..5)).await, Appended::Stored(1));
    assert_eq!(put_chunk(&*store, "@http", 2, chunk(5..300)).await, Appended::Stored(2));
    assert_eq!(put(&*store, "@http", frame(3, 300..310)).await, Appended::Stored(3));
    assert_eq!(put_chunk(&*store, "@http", 2, chunk(5..300)).await, Appended::Duplicate);
    assert_eq!(put(&*store, "@http", frame(2, 5..300)).await, Appended::Duplicate);
    assert_eq!(store.high_water(&origin("@http")).await.unwrap(), Some(3));

    let stats = store.stats().await.unwrap();
    assert_eq!(
        (
            stats.events,
            stats.inbox_events,
            stats.inbox_frames,
            stats.chunks,
            stats.position
        ),
        (310, 15, 2, 1, 3)
    );
    let times = (0..310).map(|number| event_json(number)["timestamp"].as_i64());
    assert_eq!(
        (stats.oldest, stats.newest),
        (times.clone().min().unwrap(), times.max().unwrap())
    );
    for _ in 0..2 {
        assert_eq!(sorted(&*store).await, (0..310).collect::<Vec<_>>());
        let event = store.event(id_of(170)).await.unwrap().unwrap();
        assert_eq!(numbers(&[event]), [170]);
        let ids = store.recent_ids("@http", T0).await.unwrap();
        assert_eq!(
            ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            (0..310).map(id_of).collect::<Vec<_>>()
        );
        fixture.merge().await;
    }
    // Its filters rule it out.
    let nobody = EventQuery {
        sources: vec!["nobody we know".into()],
        ..everything()
    };
    assert_eq!(store.query(nobody).await.unwrap().scanned.chunks, 0);
}

/// The tail carries them, and whoever saved a place before, at or behind one reads on from there, also once all is merged.
pub async fn large_batches_are_followed_and_replayed(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let mut tail = store.tail().subscribe();
    let mut whole: Vec<(u64, Arc<str>, Vec<u64>)> = Vec::new();
    for seq in 1..=12 {
        let numbers = seq * 100..seq * 100 + 20 + seq;
        if seq % 3 == 0 {
            put_chunk(&*store, "@http", seq, chunk(numbers.clone())).await;
        } else {
            put(&*store, "@http", frame(seq, numbers.clone())).await;
        }
        let committed = tail.recv().await.unwrap();
        let events = committed.batch().unwrap();
        assert_eq!((committed.position, &*committed.agent), (seq, "@http"));
        assert_eq!(committed.content.count() as usize, events.len());
        let rows: Vec<_> = (0..events.len()).map(|row| events.event(row).unwrap()).collect();
        whole.push((seq, "@http".into(), super::numbers(&rows)));
        assert_eq!(super::numbers(&rows), numbers.collect::<Vec<_>>());
    }
    for _ in 0..2 {
        for position in 0..=12 {
            for step in [1, 50, 10_000] {
                assert_eq!(replay(&*store, position, step).await, whole[position as usize..]);
            }
        }
        fixture.merge().await;
    }
}

/// What was acknowledged is there once, whatever stood beside it in a transaction; what was not may be sent again.
pub async fn a_crash_leaves_large_batches_whole(fixture: &mut dyn Fixture) {
    let mut stored = 0;
    for round in 0..4_u64 {
        let store = fixture.open().await;
        assert_eq!(sorted(&*store).await, (0..stored).collect::<Vec<_>>());
        if round > 0 {
            assert_eq!(
                put_chunk(&*store, "@http", round * 3, chunk(stored - 5..stored)).await,
                Appended::Duplicate
            );
        }
        let (first, seq) = (stored, round * 3);
        // In one go: they may share a transaction.
        let receipts = [
            store
                .append(origin("@http"), frame(seq + 1, first..first + 7))
                .await
                .unwrap(),
            store
                .append_chunk(origin("@http"), seq + 2, chunk(first + 7..first + 90))
                .await
                .unwrap(),
            store
                .append_chunk(origin("@http"), seq + 3, chunk(first + 90..first + 100))
                .await
                .unwrap(),
        ];
        for (place, receipt) in (seq + 1..).zip(join_all(receipts).await) {
            assert_eq!(receipt.unwrap().unwrap(), Appended::Stored(place));
        }
        stored += 100;
        if round % 2 == 1 {
            fixture.merge().await;
        }
        drop(store);
        fixture.crash().await;
    }
    let store = fixture.open().await;
    let places: Vec<u64> = replay(&*store, 0, 50).await.iter().map(|entry| entry.0).collect();
    assert_eq!(places, (1..=12).collect::<Vec<_>>());
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.position), (400, 12));
}

/// Chunks do not overlap: frames are merged up to a large batch, and then those behind it.
pub async fn frames_between_large_batches_are_merged(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    for round in 0..10 {
        let (seq, first) = (round * 5, round * 100);
        for frame_of_round in 0..4 {
            let from = first + frame_of_round * 5;
            put(&*store, "a", frame(seq + frame_of_round + 1, from..from + 5)).await;
        }
        put_chunk(&*store, "a", seq + 5, chunk(first + 20..first + 100)).await;
        if round == 4 {
            fixture.merge().await;
        }
    }
    let before = replay(&*store, 0, 10).await;
    fixture.merge().await;
    assert_eq!(replay(&*store, 0, 10).await, before);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.inbox_frames, stats.position), (1000, 0, 50));
    assert!(stats.chunks > 10);
    assert_eq!(sorted(&*store).await, (0..1000).collect::<Vec<_>>());
}

/// Small batches of agents and large requests in the same commits: each has the place it was told, in its own order, and followers see the places in theirs.
pub async fn mixed_senders_keep_their_order(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let mut tail = store.tail().subscribe();
    let (rounds, mut places) = (40, Vec::new());
    for round in 0..rounds {
        let first = round * 100;
        let mut receipts = Vec::new();
        for part in 0..3 {
            let large = chunk(first + part * 30..first + part * 30 + 29);
            let (seq, small) = (round * 3 + part + 1, first + part * 30 + 29);
            receipts.push(store.append_chunk(origin("@http"), seq, large).await.unwrap());
            receipts.push(store.append(origin("a"), frame(seq, small..small + 1)).await.unwrap());
        }
        for receipt in join_all(receipts).await {
            let Appended::Stored(place) = receipt.unwrap().unwrap() else {
                unreachable!("nothing is sent twice")
            };
            places.push(place);
        }
    }
    for place in 1..=rounds * 6 {
        let committed = tail.recv().await.unwrap();
        assert_eq!(committed.position, place);
        let index = places.iter().position(|answer| *answer == place).unwrap();
        let agent = ["@http", "a"][index % 2];
        assert_eq!(&*committed.agent, agent);
    }
    let agents: Vec<u64> = places.iter().skip(1).step_by(2).copied().collect();
    assert!(agents.is_sorted() && places.iter().step_by(2).is_sorted());
    fixture.merge().await;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.inbox_frames), (rounds * 90, 0));
    let expected: Vec<u64> = (0..rounds).flat_map(|round| round * 100..round * 100 + 90).collect();
    assert_eq!(sorted(&*store).await, expected);
}

/// As any chunk.
pub async fn large_batches_expire(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    put_chunk(&*store, "a", 1, chunk(0..10)).await;
    put_chunk(&*store, "a", 2, chunk(4000..4010)).await;
    put(&*store, "a", frame(3, 4010..4020)).await;
    assert_eq!(store.expire(T0).await.unwrap(), 0);
    assert_eq!(store.expire(T0 + 6100).await.unwrap(), 10);
    assert_eq!(sorted(&*store).await, (4000..4020).collect::<Vec<_>>());
    let stats = store.stats().await.unwrap();
    assert_eq!(
        (stats.events, stats.chunks, stats.inbox_events, stats.position),
        (20, 1, 10, 3)
    );
    assert_eq!(put_chunk(&*store, "a", 1, chunk(0..10)).await, Appended::Duplicate);
}

/// A batch of several thousand events is as many frames, wherever it stands.
pub async fn the_newest_frames_are_counted_by_their_events(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    for seq in 1..=3 {
        put(&*store, "a", frame(seq, seq * 10..seq * 10 + 5)).await;
    }
    put_chunk(&*store, "a", 4, chunk(10_000..12_500)).await;
    put(&*store, "a", frame(5, 20_000..20_001)).await;
    for _ in 0..2 {
        for (frames, place) in [(1, 4), (2, 3), (4, 3), (5, 2), (6, 1), (7, 0), (100, 0)] {
            assert_eq!(store.place_before(frames).await.unwrap(), place, "{frames} frames");
        }
        fixture.merge().await;
    }
}
