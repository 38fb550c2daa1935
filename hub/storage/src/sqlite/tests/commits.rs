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
