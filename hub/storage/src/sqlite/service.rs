//! What runs beside the writer: merge, moving the write-ahead log, retention, and the orderly end.

use std::{sync::Arc, time::Duration};

use streamflow_model::{Instant, Span};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{SqliteStore, checkpoint::Checkpointer, merge::Merger};
use crate::{StoreError, store::Store};

/// Retention is looked at this often.
const RETENTION: Duration = Duration::from_secs(3600);
/// The figures for Prometheus are refreshed this often.
const FIGURES: Duration = Duration::from_secs(10);

/// The store's own work. Runs until it is cancelled, then lets the writer end in order.
#[derive(Debug)]
#[must_use = "frames are neither merged nor removed unless it runs"]
pub struct Service {
    pub(super) store: Arc<SqliteStore>,
    pub(super) writer: JoinHandle<Result<(), StoreError>>,
    pub(super) merger: Merger,
    pub(super) checkpointer: Checkpointer,
    pub(super) retention: Span,
}

impl Service {
    /// Merges and expires until the token is cancelled, then stops taking frames, writes what waits, and closes the database. Cancel it after
    /// everything that appends.
    ///
    /// # Errors
    /// When a write failed: the process has to stop, since nothing can be acknowledged any more.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), StoreError> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            result = &mut self.writer => return ended(result),
            // The writer has been told and ends with the reason.
            () = self.checkpointer.run() => {}
            () = self.merger.run() => {}
            () = retain(&self.store, self.retention) => {}
            () = show_figures(&self.store) => {}
        }
        self.store.queue.close().await;
        let result = self.writer.await;
        self.store.reader.parts.pool.close().await;
        ended(result)
    }
}

fn ended(result: Result<Result<(), StoreError>, tokio::task::JoinError>) -> Result<(), StoreError> {
    result.unwrap_or(Err(StoreError::Closed))
}

async fn retain(store: &SqliteStore, retention: Span) {
    if retention == Span::ZERO {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(RETENTION);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match store.expire(Instant::now().0.saturating_sub(retention.ms())).await {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "old events were removed"),
            Err(error) => tracing::warn!(%error, "old events could not be removed"),
        }
    }
}

async fn show_figures(store: &SqliteStore) {
    let mut tick = tokio::time::interval(FIGURES);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = store.stats().await {
            tracing::warn!(%error, "the store's figures could not be read");
        }
    }
}
