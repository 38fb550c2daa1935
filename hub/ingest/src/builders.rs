//! Batch builders kept between requests: a fresh one would learn the same keys and grow the same columns again.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use streamflow_proto::build::BatchBuilder;

/// Builders kept; more requests at once than this make their own. Each keeps at most some megabytes.
const KEPT: usize = 4;

/// A few builders for whoever comes next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builders(Arc<Mutex<Vec<BatchBuilder>>>);

/// A builder on loan. It goes back when dropped, unless events are still in it.
#[derive(Debug)]
pub(crate) struct Loan {
    builder: BatchBuilder,
    home: Builders,
}

impl Builders {
    /// An empty builder of frames that stay as they are: the merge task compresses them with others.
    pub(crate) fn lend(&self) -> Loan {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Loan {
            builder: kept.unwrap_or_else(fresh),
            home: self.clone(),
        }
    }
}

impl Loan {
    /// Forgets what is in the builder.
    pub(crate) fn restart(&mut self) {
        self.builder = fresh();
    }
}

fn fresh() -> BatchBuilder {
    BatchBuilder::new().uncompressed()
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

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.builder.is_empty() {
            return;
        }
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.builder));
        }
    }
}
