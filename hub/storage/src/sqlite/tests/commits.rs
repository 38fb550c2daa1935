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

/// `max_page_count` stands for the disk.
#[tokio::test]
async fn a_large_request_does_not_take_small_frames_down_with_it() {
    let mut folder = Folder::with(Options {
        max_mib: 2,
        ..Options::default()
    });
    let store = folder.serve().await;
    let text: String = (0..3_200_000_u64)
        .map(|at| char::from(33 + (crc32c::crc32c(&at.to_le_bytes()) % 90) as u8))
        .collect();
    let mut builder = streamflow_proto::build::BatchBuilder::new().of_chunks(usize::MAX);
    for part in text.as_bytes().chunks(40_000) {
        let text = std::str::from_utf8(part).unwrap();
        let event = json!({"type": "noise", "source": "s", "timestamp": suite::T0, "data": {"text": text}});
        builder.push_json(event.to_string().as_bytes(), suite::T0).unwrap();
    }
    let large = Arc::new(builder.finish_chunk(1).unwrap());
    assert!(large.body.len() > 2 << 20, "it fits");
    let (http, agent, other) = (suite::origin("@http"), suite::origin("a"), suite::origin("b"));
    // Queued before the writer looks, so in one commit.
    let frame = |seq: u64| suite::frame(seq, seq * 10..seq * 10 + 5);
    let fits = [
        store.append(http.clone(), frame(1)).await.unwrap(),
        store.append(agent.clone(), frame(2)).await.unwrap(),
    ];
    let refused = [
        store.append_chunk(http.clone(), 3, large.clone()).await.unwrap(),
        store.append_chunk(agent.clone(), 3, large).await.unwrap(),
        store.append(agent.clone(), frame(4)).await.unwrap(),
    ];
    let behind = [
        store.append(http, frame(5)).await.unwrap(),
        store.append(other, frame(6)).await.unwrap(),
    ];
    for receipt in refused {
        assert!(matches!(receipt.await.unwrap(), Err(StoreError::Full)));
    }
    for receipt in fits.into_iter().chain(behind) {
        assert!(matches!(receipt.await.unwrap(), Ok(Appended::Stored(_))));
    }
    assert_eq!(suite::ask(&*store, suite::everything()).await.len(), 20);
    let early = store.append(agent.clone(), frame(7)).await.unwrap();
    assert!(
        matches!(early.await.unwrap(), Err(StoreError::OutOfOrder)),
        "it would hide what was refused"
    );
    assert!(matches!(suite::put(&*store, "a", frame(3)).await, Appended::Stored(_)));
}
