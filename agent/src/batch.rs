//! Collects a source's events into a batch and passes it on when it is full or old enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamflow_proto::build::BatchBuilder;
use streamflow_proto::metric::PARTIALS;

use crate::config::units::Span;
use crate::counters::{Counters, DropReason, SourceCounters};
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
    /// Where events are counted that the end of the agent takes; none for a source that is read again.
    losses: Option<Arc<Counters>>,
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
            losses: None,
            positions: Vec::new(),
            flushed: None,
        }
    }

    /// For a source that cannot be read again: what is not in the spool when the agent stops is counted as given up.
    #[must_use]
    pub fn with_losses(mut self, counters: Arc<Counters>) -> Self {
        self.losses = Some(counters);
        self
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
        let processed = match self.processors.finish(&mut self.builder) {
            Ok(processed) => processed,
            Err(blocked) => {
                // Of a file these events will be read, and turned away, once more.
                if self.losses.is_some() {
                    self.counters.filtered.add(blocked.turned_away);
                }
                self.lost(self.builder.len() as u64);
                return Err(blocked.into());
            }
        };
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
        let appended = self.sink.append(Block {
            frame: processed.frame,
            positions: std::mem::take(&mut self.positions),
        });
        if appended.is_err() {
            self.lost(processed.kept);
        }
        appended
    }

    fn lost(&self, events: u64) {
        if let Some(losses) = &self.losses
            && events > 0
        {
            tracing::warn!(
                source = self.counters.name,
                events,
                "events are lost: the agent stops before they are in the spool, and their source cannot be read again"
            );
            losses.dropped(DropReason::Stopped, events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stopped;

    impl Sink for Stopped {
        fn append(&self, _: Block) -> Result<(), Closed> {
            Err(Closed)
        }
    }

    #[test]
    fn what_the_end_takes_from_a_source_that_cannot_be_read_again_is_counted() {
        for (read_again, lost) in [(false, 2), (true, 0)] {
            let (all, source) = (Arc::new(Counters::default()), SourceCounters::new("host", "host"));
            let mut batcher = Batcher::new(
                BatchOptions::default(),
                Processors::default(),
                Arc::new(Stopped),
                source.clone(),
            );
            if !read_again {
                batcher = batcher.with_losses(all.clone());
            }
            for _ in 0..2 {
                let event = br#"{"type":"metric","source":"s","data":{"value":1}}"#;
                batcher.builder().push_json(event, 0).unwrap();
            }
            assert_eq!(batcher.flush(), Err(Closed));
            let dropped: Vec<_> = all.drops().filter(|(_, events)| *events > 0).collect();
            let expected: Vec<_> = (lost > 0).then_some((DropReason::Stopped, lost)).into_iter().collect();
            assert_eq!((dropped, source.events.get()), (expected, 2));
        }
    }
}
