//! After a restart the live view is filled from the log, so that charts begin where they were. Bounded: a hub that stores millions of events a
//! second shows the last moments only.

use std::sync::Arc;

use streamflow_storage::{
    StoreError,
    store::{LogBatch, Store},
};

use crate::{follow, realtime::SPAN_MS};

/// About as many events are read back at most, the newest.
const MAX_EVENTS: u64 = 500_000;
/// Positions of the log that are read back at most.
const MAX_POSITIONS: u64 = 20_000;
/// Events read from the store at a time.
const READ_EVENTS: usize = 50_000;

/// Hands the part of the log up to `end` that is still in view to `show`, on a thread where it may take its time.
///
/// # Errors
/// When the store fails.
pub(crate) async fn refill(
    store: &dyn Store,
    end: u64,
    now: i64,
    show: impl Fn(&LogBatch) + Send + Sync + 'static,
) -> Result<(), StoreError> {
    let show = Arc::new(show);
    let mut position = begin(store, end, now).await?;
    let mut shown = 0;
    while position < end && shown < 2 * MAX_EVENTS {
        let mut batches = match store.read_log(position, READ_EVENTS).await {
            Ok(batches) => batches,
            Err(StoreError::Corrupt { position: damaged, .. }) => {
                position = damaged.max(position + 1);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = batches.iter().flat_map(|batch| &batch.spans).map(|s| s.position).max() else {
            break;
        };
        position = last;
        for batch in &mut batches {
            // What follows comes from the log's follower.
            batch.spans.retain(|span| span.position <= end);
            batch.pass_over_drills(store.tail().drills());
            follow::hide_partials(batch);
            shown += events(batch);
        }
        let show = Arc::clone(&show);
        let work = tokio::task::spawn_blocking(move || batches.iter().for_each(|batch| show(batch)));
        if let Err(error) = work.await {
            tracing::error!(%error, "the live view was not filled");
            break;
        }
    }
    Ok(())
}

/// The position after which reading begins: where the view begins, or as near to it as the bounds allow.
async fn begin(store: &dyn Store, end: u64, now: i64) -> Result<u64, StoreError> {
    let in_view = follow::position_before(store, now - SPAN_MS).await?;
    let earliest = in_view.max(end.saturating_sub(MAX_POSITIONS));
    let mut density = 1;
    for position in [earliest, end.saturating_sub(1)] {
        let batches = match store.read_log(position, 1).await {
            Ok(batches) => batches,
            Err(StoreError::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let positions: u64 = batches.iter().map(|batch| batch.spans.len() as u64).sum();
        let events: u64 = batches.iter().map(events).sum();
        density = density.max(events / positions.max(1));
    }
    Ok(earliest.max(end.saturating_sub(MAX_EVENTS / density)))
}

fn events(batch: &LogBatch) -> u64 {
    batch.spans.iter().map(|span| u64::from(span.end - span.start)).sum()
}
