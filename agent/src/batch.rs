//! Collects a source's events into a batch and passes it on when it is full or old enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamflow_proto::build::BatchBuilder;
use streamflow_proto::metric::PARTIALS;

use crate::config::units::Span;
use crate::counters::SourceCounters;
use crate::process::Processors;
use crate::spool::SpoolHandle;
use crate::spool::inbox::{Block, Closed};
use crate::spool::position::Position;

/// `[batch]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchOptions {
    /// Most events in a batch.
    pub max_events: u32,
    /// Shortest time between two batches that are not full.
    pub linger: Span,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            max_events: 1_000,
            linger: Span::millis(5),
        }
    }
}

/// Below the frame's limit by more than one event of the largest size and the partial windows of metrics.
const MAX_BYTES: usize = 512 << 10;

/// Where batches go.
pub trait Sink: Send + Sync {
    /// Takes a batch; may wait.
    fn append(&self, block: Block) -> Result<(), Closed>;
}

impl Sink for SpoolHandle {
    fn append(&self, block: Block) -> Result<(), Closed> {
        Self::append(self, block)
    }
}

/// One source's batch in the making.
pub struct Batcher {
    builder: BatchBuilder,
    options: BatchOptions,
    max_events: usize,
    processors: Processors,
    sink: Arc<dyn Sink>,
    counters: Arc<SourceCounters>,
    positions: Vec<Position>,
    flushed: Option<Instant>,
}

impl Batcher {
    /// An empty batch.
    pub fn new(
        options: BatchOptions,
        processors: Processors,
        sink: Arc<dyn Sink>,
        counters: Arc<SourceCounters>,
    ) -> Self {
        Self {
            builder: BatchBuilder::new(),
            max_events: processors.max_events().min(options.max_events as usize),
            options,
            processors,
            sink,
            counters,
            positions: Vec::new(),
            flushed: None,
        }
    }

    /// Where events are pushed.
    pub fn builder(&mut self) -> &mut BatchBuilder {
        &mut self.builder
    }

    /// Whether the batch must be flushed before the next event.
    pub fn is_full(&self) -> bool {
        self.builder.len() >= self.max_events || self.builder.approx_bytes() >= MAX_BYTES || self.builder.is_full()
    }

    /// How far a file has been read with the events so far.
    pub fn position(&mut self, position: Position) {
        match self.positions.iter_mut().find(|known| known.file == position.file) {
            Some(known) => *known = position,
            None => self.positions.push(position),
        }
    }

    /// How long the batch should still wait for more; none when it is empty. After a quiet time an event does not wait at all.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        if self.builder.is_empty() && self.positions.is_empty() {
            return None;
        }
        let due = self.flushed.map(|flushed| flushed + self.options.linger.0);
        Some(due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now)))
    }

    /// Passes on what there is.
    pub fn flush(&mut self) -> Result<(), Closed> {
        self.flushed = Some(Instant::now());
        if self.builder.is_empty() && self.positions.is_empty() {
            return Ok(());
        }
        self.counters.events.add(self.builder.len() as u64);
        let processed = self.processors.finish(&mut self.builder)?;
        self.counters.filtered.add(processed.filtered + processed.reserved);
        self.counters.not_kept.add(processed.not_kept);
        if processed.reserved > 0 {
            let events = processed.reserved;
            self.counters.error(format!(
                "{events} events of the type `{PARTIALS}`, which only the agent itself may make, were turned away"
            ));
        }
        for mishap in processed.errors {
            tracing::debug!(error = mishap.words, source = self.counters.name, "a processor failed");
            self.counters.mishap(mishap);
        }
        self.sink.append(Block {
            frame: processed.frame,
            positions: std::mem::take(&mut self.positions),
        })
    }
}
