//! The order of a plugin's verdicts: from the log alone, so that a replay gives every verdict the same place, however the log was cut into calls.

use serde::{Deserialize, Serialize};

/// Bits of a log position that a verdict's number holds; the rest is told apart by time.
const BITS: u32 = 16;
const MASK: u64 = (1 << BITS) - 1;
/// The last number within a batch of the log is for what is said at its end.
const LAST: u32 = u32::MAX >> BITS;

/// A clock that never goes back, made of when batches were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    at: i64,
    position: u64,
}

/// Place of a verdict: grows along the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// ms since 1970.
    pub(super) at: i64,
    pub(super) number: u32,
}

impl Order {
    pub(super) const fn new() -> Self {
        Self {
            at: i64::MIN,
            position: 0,
        }
    }

    /// The batch at this position of the log, stored at this time, begins.
    pub(super) fn batch(&mut self, position: u64, stored_at: i64) {
        let wrapped = self.at > i64::MIN && position >> BITS != self.position >> BITS;
        self.at = stored_at.max(self.at.saturating_add(i64::from(wrapped)));
        self.position = position;
    }

    /// Time has passed without a batch.
    pub(super) fn time(&mut self, now: i64) {
        self.at = self.at.max(now);
    }

    /// Of the row with this number within the batch.
    pub(super) fn row(&self, row: usize) -> Place {
        self.place(u32::try_from(row).unwrap_or(LAST).min(LAST - 1))
    }

    /// After all rows so far.
    pub(super) fn end(&self) -> Place {
        self.place(LAST)
    }

    fn place(&self, within: u32) -> Place {
        let batch = u32::try_from(self.position & MASK).unwrap_or(0);
        Place {
            at: self.at,
            number: batch << BITS | within,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_grow_along_the_log(start in 0_u64..200_000, steps in prop::collection::vec((-5_i64..5, 0_usize..100_000), 1..50)) {
            let mut order = Order::new();
            let (mut position, mut stored_at, mut last) = (start, 1_000, None);
            for (step, rows) in steps {
                position += 1;
                stored_at += step;
                order.batch(position, stored_at);
                for place in [order.row(0), order.row(rows.max(1)), order.end()] {
                    prop_assert!(last < Some(place), "{last:?} {place:?}");
                    last = Some(place);
                }
            }
        }
    }

    #[test]
    fn the_number_starts_over_only_with_a_later_time() {
        let mut order = Order::new();
        order.batch(MASK, 10);
        let before = order.end();
        order.batch(MASK + 1, 10);
        assert!(before < order.row(0));
    }
}
