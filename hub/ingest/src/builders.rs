//! Batch builders kept between requests: a fresh one would learn the same keys and grow the same columns again.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use streamflow_proto::build::BatchBuilder;

use crate::reserved;

/// Builders kept of a kind; more requests at once than this make their own. Each keeps at most some megabytes.
const KEPT: usize = 4;
/// The most events of a chunk that is made from one request.
const CHUNK_EVENTS: usize = 16_384;

/// A few builders for whoever comes next.
#[derive(Debug, Clone)]
pub(crate) struct Builders {
    kept: Arc<Mutex<Vec<BatchBuilder>>>,
    make: fn() -> BatchBuilder,
}

/// A builder on loan. One that is not given back is gone, which costs no more than a new one.
#[derive(Debug)]
pub(crate) struct Loan {
    builder: BatchBuilder,
    home: Builders,
}

impl Builders {
    /// Builders of frames that stay as they are: the merge task compresses them with others.
    pub(crate) fn of_frames() -> Self {
        Self::of(|| reserved::refused(BatchBuilder::new().uncompressed()))
    }

    /// Builders of chunks.
    pub(crate) fn of_chunks() -> Self {
        Self::of(|| reserved::refused(BatchBuilder::new().of_chunks(CHUNK_EVENTS)))
    }

    fn of(make: fn() -> BatchBuilder) -> Self {
        Self {
            kept: Arc::default(),
            make,
        }
    }

    /// An empty builder.
    pub(crate) fn lend(&self) -> Loan {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Loan {
            builder: kept.unwrap_or_else(self.make),
            home: self.clone(),
        }
    }
}

impl Loan {
    /// Forgets what is in the builder.
    pub(crate) fn restart(&mut self) {
        self.builder = (self.home.make)();
    }

    /// Keeps the builder for the next, unless events are still in it.
    pub(crate) fn give_back(self) {
        if self.builder.is_empty() {
            let mut kept = self.home.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(self.builder);
            }
        }
    }
}

impl Deref for Loan {
    type Target = BatchBuilder;

    fn deref(&self) -> &BatchBuilder {
        &self.builder
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut BatchBuilder {
        &mut self.builder
    }
}
