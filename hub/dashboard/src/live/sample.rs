//! Which events of a busy second a person gets to see.

use std::{collections::VecDeque, sync::Arc};

use streamflow_bus::Committed;
use streamflow_proto::{event::Event, metric::PARTIALS};

/// Batches held between two ticks. More than a handful are never decoded: their events are counted as skipped.
const HELD: usize = 16;

/// Batches that arrived since the last tick.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    batches: VecDeque<Arc<Committed>>,
    events: u64,
}

/// What is shown of them.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Newest first.
    pub(super) events: Vec<Event>,
    /// Events that arrived but are not shown.
    pub(super) skipped: u64,
}

impl Arrivals {
    pub(super) fn push(&mut self, committed: Arc<Committed>) {
        self.events += u64::from(committed.content.count());
        if self.batches.len() == HELD {
            self.batches.pop_front();
        }
        self.batches.push_back(committed);
    }

    /// At most `limit` events, shared fairly among the batches, so that one busy sender does not hide the others.
    pub(super) fn sample(self, limit: usize) -> Sample {
        let counts: Vec<usize> = self
            .batches
            .iter()
            .map(|committed| committed.content.count() as usize)
            .collect();
        let mut events = Vec::with_capacity(limit.min(counts.iter().sum()));
        for (committed, take) in self.batches.iter().zip(shares(&counts, limit)) {
            match committed.batch() {
                Ok(batch) => {
                    let rows = evenly(batch.len(), take).rev();
                    let shown = rows.filter_map(|row| batch.event(row).ok());
                    // What hosts counted for metrics is no event of anybody.
                    events.extend(shown.filter(|event| event.kind != PARTIALS));
                }
                Err(error) => {
                    tracing::warn!(position = committed.position, %error, "a batch of the live stream does not decode")
                }
            }
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.timestamp));
        let skipped = self.events - u64::try_from(events.len()).unwrap_or(self.events).min(self.events);
        Sample { events, skipped }
    }
}

/// Rows spread over a batch: senders group what they send, so its end alone would show one kind only.
fn evenly(len: usize, take: usize) -> impl DoubleEndedIterator<Item = usize> {
    (0..take).map(move |i| i * len / take)
}

/// How many of each: the smallest get all they have, the rest share what is left.
fn shares(counts: &[usize], limit: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_unstable_by_key(|&i| counts[i]);
    let (mut shares, mut left) = (vec![0; counts.len()], limit);
    for (done, &i) in order.iter().enumerate() {
        shares[i] = counts[i].min(left / (counts.len() - done));
        left -= shares[i];
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use streamflow_proto::{build::BatchBuilder, event::Severity};

    use super::*;

    fn committed(position: u64, kinds: &[&str], at: i64) -> Arc<Committed> {
        let mut builder = BatchBuilder::new();
        for (row, kind) in (0..).zip(kinds) {
            let json = format!(r#"{{"type":"{kind}","source":"s","timestamp":{}}}"#, at + row);
            builder.push_json(json.as_bytes(), at).unwrap();
        }
        Arc::new(Committed::new(position, "a".into(), at, builder.finish(position)))
    }

    #[test]
    fn a_quiet_second_is_shown_whole_and_newest_first() {
        let mut arrivals = Arrivals::default();
        arrivals.push(committed(1, &["a", "b"], 1000));
        arrivals.push(committed(2, &["c"], 500));
        let sample = arrivals.sample(50);
        let kinds: Vec<_> = sample.events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!((kinds, sample.skipped), (vec!["b", "a", "c"], 0));
        assert!(sample.events.iter().all(|event| event.severity == Severity::Medium));
    }

    #[test]
    fn a_busy_sender_does_not_hide_the_others() {
        let mut arrivals = Arrivals::default();
        arrivals.push(committed(1, &["rare"], 1));
        arrivals.push(committed(2, &["flood"; 500], 1000));
        let sample = arrivals.sample(50);
        assert_eq!(sample.events.len(), 50);
        assert_eq!(sample.events.iter().filter(|event| event.kind == "rare").count(), 1);
        assert_eq!(sample.skipped, 451);
    }

    #[test]
    fn every_part_of_a_batch_is_seen() {
        let mut arrivals = Arrivals::default();
        arrivals.push(committed(1, &[["first"; 300], ["second"; 300]].concat(), 1000));
        let sample = arrivals.sample(10);
        let first = sample.events.iter().filter(|event| event.kind == "first").count();
        assert_eq!((first, sample.events.len()), (5, 10));
    }

    #[test]
    fn only_the_newest_batches_are_held_but_all_are_counted() {
        let mut arrivals = Arrivals::default();
        for position in 0..100 {
            arrivals.push(committed(position, &["x"], 1000));
        }
        assert_eq!(arrivals.batches.len(), HELD);
        let sample = arrivals.sample(50);
        assert_eq!((sample.events.len(), sample.skipped), (HELD, 100 - HELD as u64));
    }

    proptest! {
        #[test]
        fn shares_use_the_limit_and_never_more(counts in prop::collection::vec(0_usize..200, 0..20), limit in 0_usize..100) {
            let shares = shares(&counts, limit);
            let total: usize = counts.iter().sum();
            prop_assert_eq!(shares.iter().sum::<usize>(), total.min(limit));
            prop_assert!(shares.iter().zip(&counts).all(|(share, count)| share <= count));
        }
    }
}
