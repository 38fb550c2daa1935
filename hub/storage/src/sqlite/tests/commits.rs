//! What stands side by side in a commit, and what becomes of it when the commit fails.

use super::*;

/// In one thread all of a round are queued before the writer looks, so they share a commit.
#[tokio::test]
async fn agents_stand_before_the_large_requests_of_a_commit() {
    let mut folder = Folder::new();
    let store = folder.serve().await;
    let mut rounds = Vec::new();
    for round in 0..40 {
        let first = round * 100;
        let (http, agent) = (suite::origin("@http"), suite::origin("a"));
        let mut receipts = Vec::new();
        for part in 0..3 {
            let (seq, from) = (round * 3 + part + 1, first + part * 30);
            let large = suite::chunk(from..from + 29);
            receipts.push(store.append_chunk(http.clone(), seq, large).await.unwrap());
            let small = suite::frame(seq, from + 29..from + 30);
            receipts.push(store.append(agent.clone(), small).await.unwrap());
        }
        let mut places = Vec::new();
        for receipt in receipts {
            places.push(receipt.await.unwrap().unwrap());
        }
        rounds.push(places);
    }
    let stored = |places: [u64; 6]| places.map(Appended::Stored).to_vec();
    assert_eq!(rounds[0], stored([4, 1, 5, 2, 6, 3]));
    assert_eq!(rounds[1], stored([10, 7, 11, 8, 12, 9]));
    assert!(folder.merger().merge_due(0).await.unwrap(), "a large request follows");
    let left = store.stats().await.unwrap().inbox_frames;
    assert_eq!(left, 8 * 3, "32 groups at once");
    folder.merge().await;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.inbox_frames, stats.events), (0, 40 * 90));
    assert_eq!(
        stats.chunks,
        40 * 4,
        "a small one for each commit, beside three large ones"
    );
}

/// The write-ahead log could not be moved: what was synced since may be lost, so nothing is acknowledged, neither what waits nor what comes.
#[tokio::test]
async fn after_a_failed_move_nothing_is_acknowledged_any_more() {
    let mut folder = Folder::new();
    let store = folder.serve().await;
    suite::put(&*store, "a", suite::frame(1, 0..5)).await;
    let waiting = store.append(suite::origin("a"), suite::frame(2, 5..10)).await.unwrap();
    let (_, service) = folder.open.take().unwrap();
    service.checkpointer.fail(sqlx::Error::WorkerCrashed.into());
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Sql(_))));
    assert!(matches!(store.health(), StoreHealth::Failed(_)));
    assert!(matches!(
        store.append(suite::origin("a"), suite::frame(3, 10..15)).await,
        Err(StoreError::Closed)
    ));
    let ended = service.run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(StoreError::Sql(_))), "so the process stops");
    drop(store);
    let store = folder.serve().await;
    assert!(matches!(
        suite::put(&*store, "a", suite::frame(2, 5..10)).await,
        Appended::Stored(2)
    ));
}
