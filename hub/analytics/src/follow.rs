//! Reads the log in order without a gap: from the store until it has caught up, then from the tail in memory.

use std::{sync::Arc, time::Duration};

use streamflow_bus::{Committed, Drills, TailReader, TailRecvError};
use streamflow_storage::{
    StoreError,
    store::{LogBatch, RowSpan, Store},
};

/// Events read from the store at a time.
const READ_EVENTS: usize = 50_000;
/// Batches taken from the tail at a time, as long as they have no more events than that.
const TAIL_BATCHES: usize = 64;

/// Pause after the store failed to read.
const RETRY: Duration = Duration::from_secs(1);

/// The next part of the log.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) batches: Vec<LogBatch>,
    /// Batches that were passed over because they do not decode.
    pub(crate) unreadable: u64,
}

impl Part {
    fn events(&self) -> usize {
        self.batches.iter().map(|log| log.batch.len()).sum()
    }
}

/// A place in the log.
#[derive(Debug)]
pub(crate) struct Follower {
    store: Arc<dyn Store>,
    tail: TailReader,
    drills: Drills,
    position: u64,
    /// The tail does not reach back to `position`.
    behind: bool,
    /// What hosts counted is shown, too.
    partials: bool,
}

/// Storage has stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("the log has ended")]
    Closed,
}

impl Follower {
    /// After `position`. Subscribes to the tail at once, so that what is stored while it catches up is not missed.
    pub(crate) fn new(store: Arc<dyn Store>, position: u64) -> Self {
        let tail = store.tail().subscribe();
        let drills = store.tail().drills().clone();
        Self {
            store,
            tail,
            drills,
            position,
            behind: true,
            partials: false,
        }
    }

    /// Shows partial windows of metrics as well, which are no events of anybody.
    pub(crate) const fn with_partials(mut self) -> Self {
        self.partials = true;
        self
    }

    /// The last position that was handed out.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether it waits for the tail.
    pub(crate) const fn caught_up(&self) -> bool {
        !self.behind
    }

    /// Waits for the next part; it is empty when this is the moment of having caught up. Cancel safe: a dropped call has handed out nothing.
    pub(crate) async fn next(&mut self) -> Result<Part, FollowError> {
        loop {
            let mut part = Part::default();
            if self.behind {
                self.read(&mut part).await?;
                if self.caught_up() {
                    self.hide(&mut part);
                    return Ok(part);
                }
            } else {
                let first = self.tail.recv().await;
                self.take(first.map(Some), &mut part)?;
                while part.batches.len() < TAIL_BATCHES && part.events() < READ_EVENTS && !self.behind {
                    let next = self.tail.try_recv();
                    if matches!(next, Ok(None)) {
                        break;
                    }
                    self.take(next, &mut part)?;
                }
            }
            if !part.batches.is_empty() || part.unreadable > 0 {
                self.hide(&mut part);
                return Ok(part);
            }
        }
    }

    fn hide(&self, part: &mut Part) {
        if !self.partials {
            part.batches.iter_mut().for_each(hide_partials);
        }
    }

    async fn read(&mut self, part: &mut Part) -> Result<(), FollowError> {
        let mut read = self.store.read_log(self.position, READ_EVENTS).await;
        if matches!(read, Err(StoreError::Corrupt { .. })) {
            // One batch at a time, so that only the damaged one is lost.
            read = self.store.read_log(self.position, 1).await;
        }
        match read {
            Ok(batches) => {
                let last = batches
                    .iter()
                    .flat_map(|batch| &batch.spans)
                    .map(|span| span.position)
                    .max();
                self.behind = last.is_some_and(|last| last > self.position);
                self.position = self.position.max(last.unwrap_or(0));
                part.batches = batches;
                part.batches
                    .iter_mut()
                    .for_each(|batch| batch.pass_over_drills(&self.drills));
            }
            Err(StoreError::Corrupt { position, source }) => {
                tracing::error!(position, error = %source, "a stored batch does not decode and is passed over");
                self.position = position.max(self.position + 1);
                part.unreadable = 1;
            }
            Err(StoreError::Closed) => return Err(FollowError::Closed),
            Err(error) => {
                tracing::warn!(%error, "the log cannot be read, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        next: Result<Option<Arc<Committed>>, TailRecvError>,
        part: &mut Part,
    ) -> Result<(), FollowError> {
        let committed = match next {
            Ok(Some(committed)) => committed,
            Ok(None) => return Ok(()),
            Err(TailRecvError::Lagged(_)) => {
                self.behind = true;
                return Ok(());
            }
            Err(TailRecvError::Closed) if part.batches.is_empty() => return Err(FollowError::Closed),
            Err(TailRecvError::Closed) => return Ok(()),
        };
        if committed.position <= self.position {
            return Ok(());
        }
        if committed.position > self.position + 1 {
            // Something is missing before it; both are read from the store.
            self.behind = true;
            return Ok(());
        }
        self.position = committed.position;
        match committed.batch() {
            Ok(batch) => {
                let end = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                let (agent, stored_at) = (Arc::clone(&committed.agent), committed.stored_at);
                let span = RowSpan {
                    position: committed.position,
                    agent,
                    stored_at,
                    start: 0,
                    end,
                };
                let mut batch = LogBatch {
                    batch,
                    spans: vec![span],
                };
                batch.pass_over_drills(&self.drills);
                part.batches.push(batch);
            }
            Err(error) => {
                tracing::error!(position = committed.position, %error, "a stored batch does not decode and is passed over");
                part.unreadable += 1;
            }
        }
        Ok(())
    }
}

/// Takes the partial windows of metrics out of the spans: they stand behind the events of their frames.
pub(crate) fn hide_partials(log: &mut LogBatch) {
    match streamflow_proto::metric::carriers(&log.batch) {
        Ok(None) => {}
        Ok(Some(carriers)) => log
            .spans
            .iter_mut()
            .for_each(|span| span.end = span.events_end(&carriers)),
        // Whoever reads the columns will say so.
        Err(error) => tracing::debug!(%error, "a batch does not say whether it has partial windows"),
    }
}

/// The last position whose batch was stored before `since`; 0 when there is none. A binary search, because the log is indexed by position alone.
pub(crate) async fn position_before(store: &dyn Store, since: i64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, store.stats().await?.position);
    while low < high {
        let middle = low + (high - low) / 2;
        let batches = match store.read_log(middle, 1).await {
            Ok(batches) => batches,
            // Reading begins before it then, and passes over it there.
            Err(StoreError::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let older = batches
            .iter()
            .flat_map(|batch| &batch.spans)
            .take_while(|span| span.stored_at < since)
            .last();
        match older {
            Some(span) => low = span.position.max(middle + 1),
            None => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use streamflow_proto::{batch::Batch, build::BatchBuilder};

    use super::*;

    fn log(events: &[&str], spans: &[(u32, u32)]) -> LogBatch {
        let mut builder = BatchBuilder::new();
        for event in events {
            builder.push_json(event.as_bytes(), 0).unwrap();
        }
        let batch: Batch = builder.finish(1).decode().unwrap();
        let span = |(start, end): &(u32, u32)| RowSpan {
            position: u64::from(*start) + 1,
            agent: "a".into(),
            stored_at: 0,
            start: *start,
            end: *end,
        };
        LogBatch {
            batch: Arc::new(batch),
            spans: spans.iter().map(span).collect(),
        }
    }

    fn left(drills: &Drills, mut log: LogBatch) -> Vec<(u32, u32)> {
        log.pass_over_drills(drills);
        log.spans.iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn the_event_of_a_real_drill_is_left_out_and_a_forged_mark_hides_nothing() {
        let event = r#"{"type":"t","source":"s"}"#;
        let real = r#"{"type":"t","source":"s","metadata":{"streamflow_drill":"d1"}}"#;
        let forged = r#"{"type":"t","source":"s","metadata":{"streamflow_drill":"mine"}}"#;
        let drills = Drills::default();
        assert_eq!(left(&drills, log(&[real], &[(0, 1)])), [(0, 1)], "none was given out");
        drills.add("d1");
        assert_eq!(left(&drills, log(&[real], &[(0, 1)])), [(0, 0)]);
        assert_eq!(left(&drills, log(&[forged], &[(0, 1)])), [(0, 1)]);
        let merged = log(&[event, real, event, event], &[(0, 1), (1, 2), (2, 4)]);
        assert_eq!(left(&drills, merged), [(0, 1), (1, 1), (2, 4)], "in a chunk as well");
        let among_others = log(&[event, real], &[(0, 2)]);
        assert_eq!(
            left(&drills, among_others),
            [(0, 2)],
            "the hub's own are alone in their frame"
        );
    }
}
