//! How many bytes of request bodies may be in work at a time, whoever sends them, and how many of the large ones are read at a time.

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(1);
/// Permits are kibibytes: a semaphore counts at most `u32` permits at a time.
const UNIT: usize = 1024;

/// The bound.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    total: usize,
    patience: Duration,
    turns: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(bytes: usize) -> Self {
        Self::with_patience(bytes, PATIENCE)
    }

    fn with_patience(bytes: usize, patience: Duration) -> Self {
        let total = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            permits: Arc::new(Semaphore::new(total)),
            total,
            patience,
            turns: Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))),
        }
    }

    /// Room for a body; `None` when there is none in time. Dropping it gives the room back.
    pub(crate) async fn admit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from((bytes / UNIT + 1).min(self.total)).ok()?;
        let permit = Arc::clone(&self.permits).acquire_many_owned(units);
        tokio::time::timeout(self.patience, permit).await.ok()?.ok()
    }

    /// A turn for heavy work, one for each processor: more of it at a time would only make each take longer, and all of them push one another's columns out
    /// of the caches. `None` never happens while there is work.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }
}

/// Gives back what a body turned out not to need.
pub(crate) fn shrink(room: &mut OwnedSemaphorePermit, bytes: usize) {
    drop(room.split(room.num_permits().saturating_sub(bytes / UNIT + 1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_beyond_the_bound_wait_and_are_refused() {
        let admission = Admission::with_patience(10 * UNIT, Duration::from_millis(1));
        let first = admission.admit(6 * UNIT).await.unwrap();
        assert!(admission.admit(6 * UNIT).await.is_none());
        drop(first);
        let mut second = admission.admit(10 * UNIT).await.unwrap();
        shrink(&mut second, UNIT);
        drop(
            admission
                .admit(6 * UNIT)
                .await
                .expect("what is not needed is free again"),
        );
        drop(second);
        let whole = admission.admit(usize::MAX / 2).await;
        assert!(whole.is_some(), "a body larger than the bound is admitted alone");
    }
}
