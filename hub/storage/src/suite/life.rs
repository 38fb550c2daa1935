//! Restarts, crashes, expiry, totals.

use super::{Fixture, T0, ask, everything, fill, frame, numbers, origin, put};
use crate::store::Appended;

/// Neither merge nor expiry nor restart makes the store forget what it has seen or use a place again.
pub async fn marks_and_places_survive_everything(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill(&*store, 100).await;
    let position = store.stats().await.unwrap().position;
    let mark = store.high_water(&origin("web-1")).await.unwrap();
    assert!(mark.is_some());
    fixture.merge().await;
    store.expire(i64::MAX).await.unwrap();
    drop(store);
    fixture.close().await;
    let store = fixture.open().await;
    assert!(ask(&*store, everything()).await.is_empty());
    assert_eq!(store.high_water(&origin("web-1")).await.unwrap(), mark);
    assert_eq!(
        put(&*store, "web-1", frame(mark.unwrap(), 0..1)).await,
        Appended::Duplicate
    );
    assert_eq!(
        put(&*store, "web-1", frame(mark.unwrap() + 1, 0..1)).await,
        Appended::Stored(position + 1)
    );
}

/// Every acknowledged frame is there once; a sender that repeats is told so.
pub async fn what_was_acknowledged_survives_a_crash(fixture: &mut dyn Fixture) {
    let mut next = 0;
    for round in 0..4_u64 {
        let store = fixture.open().await;
        assert_eq!(numbers(&ask(&*store, everything()).await).len() as u64, next);
        assert_eq!(
            store.high_water(&origin("a")).await.unwrap(),
            (round > 0).then_some(round * 5)
        );
        if round > 0 {
            assert_eq!(
                put(&*store, "a", frame(round * 5, next - 10..next)).await,
                Appended::Duplicate
            );
        }
        for frame_of_round in 1..=5 {
            assert!(matches!(
                put(&*store, "a", frame(round * 5 + frame_of_round, next..next + 10)).await,
                Appended::Stored(_)
            ));
            next += 10;
        }
        if round == 2 {
            fixture.merge().await;
        }
        drop(store);
        fixture.crash().await;
    }
}

/// Whole chunks, by their newest event.
pub async fn old_events_expire(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    put(&*store, "a", frame(1, 0..10)).await;
    fixture.merge().await;
    put(&*store, "a", frame(2, 4000..4010)).await;
    fixture.merge().await;
    let newest_of_first = T0 + 6100;
    assert_eq!(store.expire(T0).await.unwrap(), 0);
    assert_eq!(store.expire(newest_of_first).await.unwrap(), 10);
    let left = ask(&*store, everything()).await;
    assert_eq!(left.len(), 10);
    let stats = store.stats().await.unwrap();
    assert_eq!(
        (stats.events, stats.chunks, stats.oldest),
        (10, 1, Some(left[0].timestamp))
    );
    assert_eq!(store.expire(newest_of_first).await.unwrap(), 0);
}

/// Totals follow every change.
pub async fn totals_are_kept(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let empty = store.stats().await.unwrap();
    assert_eq!(
        (empty.events, empty.chunks, empty.position, empty.oldest, empty.newest),
        (0, 0, 0, None, None)
    );
    fill(&*store, 300).await;
    let events = ask(&*store, everything()).await;
    let (oldest, newest) = (
        events.first().map(|event| event.timestamp),
        events.last().map(|event| event.timestamp),
    );
    let full = store.stats().await.unwrap();
    assert_eq!(
        (full.events, full.inbox_events, full.inbox_frames, full.chunks),
        (300, 300, full.position, 0)
    );
    assert_eq!((full.oldest, full.newest), (oldest, newest));
    assert!(full.bytes > 0);
    fixture.merge().await;
    let merged = store.stats().await.unwrap();
    assert_eq!(
        (merged.events, merged.inbox_events, merged.inbox_frames, merged.position),
        (300, 0, 0, full.position)
    );
    assert!(merged.chunks > 0);
    assert_eq!((merged.oldest, merged.newest), (oldest, newest));
    assert_eq!(store.expire(i64::MAX).await.unwrap(), 300);
    let gone = store.stats().await.unwrap();
    assert_eq!(
        (gone.events, gone.chunks, gone.oldest, gone.newest, gone.position),
        (0, 0, None, None, full.position)
    );
}
