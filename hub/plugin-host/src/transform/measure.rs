//! What a transform costs.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};
use streamflow_proto::{bitmap::Bitmap, build::BatchBuilder, event::Event};

use super::{TransformError, TransformPlugin};
use crate::measure::{median, to_f64};

/// Cost of batches of one size. Times are medians over the calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TransformCost {
    /// Events of a call.
    pub events: usize,
    /// Calls that were measured.
    pub calls: usize,
    /// One batch: columns out of it, the call, and what it answers done to it.
    pub batch_ns: u64,
    /// The same for one event.
    pub batch_ns_per_event: f64,
    /// Of that, the call itself, for one event.
    pub call_ns_per_event: f64,
    /// Memory of the instance.
    pub memory_bytes: usize,
}

impl TransformPlugin {
    /// Shows it these events again and again, for at least this long and at least 10 times.
    ///
    /// # Errors
    /// When it fails.
    pub async fn cost(
        &self,
        config: &Map<String, Value>,
        events: &[Event],
        at_least: Duration,
    ) -> Result<TransformCost, TransformError> {
        let mut run = self.start("bench", config)?;
        let mut builder = BatchBuilder::new();
        let (mut batches, mut calls) = (Vec::new(), Vec::new());
        let mut memory_bytes = 0;
        let began = Instant::now();
        // The first one warms up.
        while began.elapsed() < at_least || calls.len() < 11 {
            for event in events {
                let taken = builder.push_event(event);
                taken.map_err(|rejection| TransformError::Batch(rejection.to_string()))?;
            }
            let at = Instant::now();
            let done = run.apply(&mut builder).await?;
            batches.push(at.elapsed());
            calls.push(done.took);
            memory_bytes = done.memory;
            builder.retain(&Bitmap::new(builder.len(), false));
        }
        let per_event = |ns: u64| to_f64(ns) / to_f64(events.len().max(1) as u64);
        let (batch_ns, call_ns) = (median(batches.split_at_mut(1).1), median(calls.split_at_mut(1).1));
        Ok(TransformCost {
            events: events.len(),
            calls: calls.len() - 1,
            batch_ns,
            batch_ns_per_event: per_event(batch_ns),
            call_ns_per_event: per_event(call_ns),
            memory_bytes,
        })
    }
}
