//! The way from HTTP and WebSocket requests into the log: one writer gives every frame its sequence and hands it to the
//! store in order.
//!
//! Small requests hand over JSON and share frames with their neighbours; larger ones bring frames of their own, and the largest chunks of their own, made
//! in their own task.

mod writer;

use std::sync::Arc;

use bytes::Bytes;
use streamflow_bus::Content;
use streamflow_model::Instant;
use streamflow_proto::event::Rejection;
use streamflow_storage::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    builders::Builders,
    dedup::{Claims, Dedup, Window},
    metrics::{DoorKind, Metrics},
    options::Options,
};
pub(crate) use writer::Writer;

/// Name of this door in the log.
pub(crate) const ORIGIN: &str = "@http";
/// Requests waiting for the writer; their bodies are bounded by admission.
const QUEUE: usize = 1024;

/// The events were not stored, or nobody knows: the client should send them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot take events now")]
pub(crate) struct Unavailable;

/// The result of one event: its id, or why it was refused.
pub(crate) type Verdict = Result<Uuid, Rejection>;

#[derive(Debug)]
pub(crate) enum Work {
    /// Events as JSON, to be put into a shared frame.
    Events { raws: Vec<Bytes>, now_ms: i64 },
    /// Batches that are ready but for their sequence.
    Batches(Vec<OwnBatch>),
}

/// A batch of one request alone.
#[derive(Debug)]
pub(crate) struct OwnBatch {
    pub(crate) content: Content,
    /// How many of the request's claims are of it; claims stand in the order of batches.
    pub(crate) claims: usize,
}

#[derive(Debug)]
pub(crate) struct Job {
    work: Work,
    claims: Claims,
    door: DoorKind,
    reply: oneshot::Sender<Result<Vec<Verdict>, Unavailable>>,
}

/// Cheap handle of the writer.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    jobs: mpsc::Sender<Job>,
    pub(crate) dedup: Arc<Dedup>,
    /// Builders of frames.
    pub(crate) builders: Builders,
    /// Builders of chunks.
    pub(crate) large: Builders,
    pub(crate) metrics: Metrics,
}

impl Door {
    /// The handle, and the writer to run.
    ///
    /// # Errors
    /// When the store cannot tell which ids it has stored lately.
    pub(crate) async fn build(
        options: &Options,
        store: Arc<dyn Store>,
        metrics: Metrics,
    ) -> Result<(Self, Writer), StoreError> {
        let now = Instant::now().0;
        let since =
            (now - options.dedup_window.ms()).max(affordable(&*store, options.dedup_restore_frames, now).await?);
        let dedup = Dedup::new(
            Window::new(options.dedup_window, options.dedup_ids, since),
            metrics.dedup_evicted.clone(),
        );
        for (id, stored_at) in store.recent_ids(ORIGIN, since).await? {
            dedup.restore(id, stored_at);
        }
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(store, queue, metrics.clone());
        let door = Self {
            jobs,
            dedup,
            builders: Builders::of_frames(),
            large: Builders::of_chunks(),
            metrics,
        };
        Ok((door, writer))
    }

    /// Stores the work; answers when it is durable. Verdicts are given for [`Work::Events`] only. Dropping the future
    /// does not undo it.
    pub(crate) async fn store(&self, work: Work, claims: Claims, door: DoorKind) -> Result<Vec<Verdict>, Unavailable> {
        let (reply, verdicts) = oneshot::channel();
        self.metrics.queue_depth.inc();
        let sent = self
            .jobs
            .send(Job {
                work,
                claims,
                door,
                reply,
            })
            .await;
        self.metrics.queue_depth.dec();
        sent.map_err(|_| Unavailable)?;
        verdicts.await.map_err(|_| Unavailable)?
    }
}

/// When the oldest of the newest `frames` frames (large requests count as several) was stored: a hub that takes millions of events a second
/// must not read ten minutes of them before it is ready. What clients send again after a crash are the last requests.
async fn affordable(store: &dyn Store, frames: u64, now: i64) -> Result<i64, StoreError> {
    if frames == 0 {
        return Ok(now);
    }
    let after = store.place_before(frames).await?;
    if after == 0 {
        return Ok(i64::MIN);
    }
    let oldest = match store.read_log(after, 1).await {
        Ok(oldest) => oldest,
        // Damage must not keep the hub from starting; the window is then read whole.
        Err(StoreError::Corrupt { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(oldest
        .iter()
        .flat_map(|batch| &batch.spans)
        .map(|span| span.stored_at)
        .min()
        .unwrap_or(i64::MIN))
}
