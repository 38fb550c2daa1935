//! The log: duplicates, order, followers, replay.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Fixture, ask, everything, fill_mixed, frame, numbers, origin, put};
use crate::store::{Appended, Origin, Store};

/// The log after a place as (place, agent, `data.n` of the rows).
pub(super) async fn replay(store: &dyn Store, position: u64, step: usize) -> Vec<(u64, Arc<str>, Vec<u64>)> {
    let (mut entries, mut position) = (Vec::new(), position);
    loop {
        let batches = store.read_log(position, step).await.unwrap();
        if batches.is_empty() {
            return entries;
        }
        for batch in batches {
            for span in batch.spans {
                assert!(span.position > position, "log order");
                position = span.position;
                let rows = (span.start..span.end)
                    .map(|row| batch.batch.event(row as usize).unwrap())
                    .collect::<Vec<_>>();
                entries.push((position, span.agent, numbers(&rows)));
            }
        }
    }
}

/// Known again by agent, epoch and sequence.
pub async fn a_replay_is_known(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(put(&*store, "a", frame(5, 0..10)).await, Appended::Stored(1));
    for seq in [5, 4, 1] {
        assert_eq!(put(&*store, "a", frame(seq, 0..10)).await, Appended::Duplicate);
    }
    assert_eq!(put(&*store, "b", frame(5, 10..20)).await, Appended::Stored(2));
    let anew = Origin {
        epoch: 8,
        ..origin("a")
    };
    let receipt = store.append(anew.clone(), frame(1, 20..30)).await.unwrap();
    assert_eq!(receipt.await.unwrap().unwrap(), Appended::Stored(3));
    // Twice in one go: both may share a transaction.
    let twice = [
        store.append(origin("a"), frame(6, 30..40)).await.unwrap(),
        store.append(origin("a"), frame(6, 30..40)).await.unwrap(),
    ];
    let answers = join_all(twice)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(answers, [Appended::Stored(4), Appended::Duplicate]);
    assert_eq!(store.high_water(&origin("a")).await.unwrap(), Some(6));
    assert_eq!(store.high_water(&anew).await.unwrap(), Some(1));
    assert_eq!(store.high_water(&origin("c")).await.unwrap(), None);
    assert_eq!(ask(&*store, everything()).await.len(), 40);
}

/// Many senders at once: no gaps, and each sender's frames in its order.
pub async fn the_log_is_dense_and_ordered(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let senders = (0..4_u64).map(|agent| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for seq in 0..25 {
                let number = agent * 1000 + seq;
                receipts.push(
                    store
                        .append(origin(&format!("agent-{agent}")), frame(seq + 1, number..number + 1))
                        .await
                        .unwrap(),
                );
            }
            let mut last = 0;
            for receipt in receipts {
                match receipt.await.unwrap().unwrap() {
                    Appended::Stored(position) => assert!(std::mem::replace(&mut last, position) < position),
                    Appended::Duplicate => panic!("nothing was sent twice"),
                }
            }
        })
    });
    for sender in join_all(senders).await {
        sender.unwrap();
    }
    let entries = replay(&*store, 0, 10).await;
    assert_eq!(
        entries.iter().map(|entry| entry.0).collect::<Vec<_>>(),
        (1..=100).collect::<Vec<_>>()
    );
    for agent in 0..4_u64 {
        let sent: Vec<u64> = entries
            .iter()
            .filter(|entry| *entry.1 == *format!("agent-{agent}"))
            .flat_map(|entry| entry.2.clone())
            .collect();
        assert_eq!(sent, (0..25).map(|seq| agent * 1000 + seq).collect::<Vec<_>>());
    }
}

/// The tail carries what the log holds.
pub async fn followers_see_every_commit_in_order(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    put(&*store, "a", frame(1, 0..3)).await;
    let mut tail = store.tail().subscribe();
    for seq in 2..20 {
        put(&*store, "a", frame(seq, seq..seq + 2)).await;
        put(&*store, "a", frame(seq, seq..seq + 2)).await;
    }
    for position in 2..20 {
        let committed = tail.recv().await.unwrap();
        assert_eq!(
            (committed.position, &*committed.agent, committed.batch().unwrap().len()),
            (position, "a", 2)
        );
    }
    assert!(tail.try_recv().unwrap().is_none());
}

/// From each place, in small and large steps, before and after merging, and partly merged.
pub async fn the_log_replays_from_every_place(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, 150).await;
    let whole = replay(&*store, 0, 1).await;
    assert_eq!(
        whole.iter().flat_map(|entry| entry.2.clone()).collect::<Vec<_>>(),
        (0..150).collect::<Vec<_>>()
    );
    for round in 0..3 {
        for position in 0..=whole.len() as u64 {
            for step in [1, 30, 10_000] {
                let entries = replay(&*store, position, step).await;
                assert_eq!(
                    entries[..whole.len() - position as usize],
                    whole[position as usize..],
                    "round {round} after {position}"
                );
            }
        }
        fixture.merge().await;
        put(&*store, "later", frame(round + 1, 1000..1005)).await;
    }
}
