//! Rollups of metrics.

use std::sync::Arc;

use super::Fixture;
use crate::{
    StoreError,
    store::{RollupQuery, RollupRow, RollupSeries, RollupWrite, Store},
};

fn row(metric: &str, labels: &[&str], resolution: i64, start: i64, body: &[u8]) -> RollupRow {
    RollupRow {
        metric: metric.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        resolution,
        start,
        body: body.to_vec(),
    }
}

fn write(after: Option<u64>, position: u64, rows: Vec<RollupRow>) -> RollupWrite {
    RollupWrite {
        checkpoint: "rollups".to_owned(),
        after,
        position,
        rows,
    }
}

fn windows(metric: &str, resolution: i64, from: i64, to: i64) -> RollupQuery {
    RollupQuery {
        metric: metric.into(),
        resolution,
        from,
        to,
        limit: 1000,
    }
}

async fn read(store: &Arc<dyn Store>, query: RollupQuery) -> Vec<(Vec<String>, Vec<(i64, Vec<u8>)>)> {
    let series = store.rollups(query).await.unwrap();
    series
        .into_iter()
        .map(|RollupSeries { labels, windows }| (labels, windows))
        .collect()
}

/// Rows and place are written together, also over a crash, and only by who read from the saved place.
pub async fn rollups_and_their_place_move_together(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    // More than one statement holds, so that whole and broken groups of rows are both written.
    let many: Vec<RollupRow> = (0..150)
        .map(|n| row("m", &[&format!("h{n:03}"), "é\""], 60, 0, &[n]))
        .collect();
    store.put_rollups(write(None, 5, many)).await.unwrap();
    for stale in [None, Some(4), Some(6)] {
        let refused = store
            .put_rollups(write(stale, 9, vec![row("m", &["x", ""], 60, 60, &[1])]))
            .await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
    let more = vec![
        row("m", &["h000", "é\""], 60, 0, &[200]),
        row("m", &["h000", "é\""], 60, 60, &[201]),
    ];
    store.put_rollups(write(Some(5), 9, more)).await.unwrap();
    store.put_rollups(write(Some(9), 10, Vec::new())).await.unwrap();
    drop(store);
    fixture.crash().await;
    let store = fixture.open().await;
    assert_eq!(store.checkpoint("rollups").await.unwrap().unwrap().0, 10);
    let all = read(&store, windows("m", 60, 0, 120)).await;
    assert_eq!(all.len(), 150);
    assert_eq!(all[0].0, ["h000", "é\""]);
    assert_eq!(all[0].1, [(0, vec![200]), (60, vec![201])], "replaced and added");
    assert_eq!(all[149].1, [(0, vec![149])]);
    assert_eq!(read(&store, windows("m", 60, 60, 61)).await.len(), 1);
    assert!(read(&store, windows("m", 60, 61, 120)).await.is_empty());
    assert!(read(&store, windows("other", 60, 0, 120)).await.is_empty());
    let few = RollupQuery {
        limit: 150,
        ..windows("m", 60, 0, 120)
    };
    assert!(matches!(store.rollups(few).await, Err(StoreError::BadRequest(_))));
    assert_eq!(store.newest_rollup("m", 60).await.unwrap(), Some(60));
    assert_eq!(store.newest_rollup("m", 61).await.unwrap(), None);
}

/// Old windows of one length go, and nothing else; a dropped metric goes whole.
pub async fn rollups_expire_by_resolution(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let mut rows: Vec<RollupRow> = (0..5000).map(|n| row("m", &["a"], 60, n * 60, &[1])).collect();
    rows.push(row("m", &["a"], 3600, 0, &[2]));
    rows.push(row("m", &["b"], 60, 0, &[3]));
    rows.push(row("n", &["a"], 3600, 0, &[4]));
    store.put_rollups(write(None, 1, rows)).await.unwrap();
    assert_eq!(store.expire_rollups(60, 4990 * 60).await.unwrap(), 4991);
    let left = read(&store, windows("m", 60, i64::MIN, i64::MAX)).await;
    assert_eq!((left.len(), left[0].1.len(), left[0].1[0].0), (1, 10, 4990 * 60));
    assert_eq!(read(&store, windows("m", 3600, 0, 1)).await[0].1, [(0, vec![2])]);
    assert_eq!(store.drop_rollups("m").await.unwrap(), 11);
    assert!(read(&store, windows("m", 3600, 0, 1)).await.is_empty());
    assert_eq!(read(&store, windows("n", 3600, 0, 1)).await.len(), 1);
    assert_eq!(store.checkpoint("rollups").await.unwrap().unwrap().0, 1);
}
