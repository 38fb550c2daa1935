//! A rate limit for each key, as arithmetic over `now`: the generic cell rate algorithm, whose cells can be given back.
//!
//! Cells are taken before a password is checked, so that parallel guesses count, and given back when it was right, so that
//! only failures use the limit up.

use std::collections::HashMap;

/// Keys kept before those that are at rest again are dropped.
const SWEEP_AT: usize = 10_000;

/// The limit of one kind of key.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval_ms: i64,
    burst_ms: i64,
    /// Theoretical arrival time of each key that is not at rest.
    due: HashMap<String, i64>,
}

impl Throttle {
    /// `per_minute` cells at once, and as many again each minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        let interval_ms = 60_000 / i64::from(per_minute.max(1));
        Self {
            interval_ms,
            burst_ms: interval_ms * i64::from(per_minute.max(1)),
            due: HashMap::new(),
        }
    }

    /// Takes a cell, or says in how many ms the next one is free.
    pub(crate) fn take(&mut self, key: &str, now_ms: i64) -> Result<(), i64> {
        if self.due.len() >= SWEEP_AT {
            self.due.retain(|_, due| *due > now_ms);
        }
        // Further ahead than the limit itself lies nothing, unless the clock was set back meanwhile: that must not lock anybody out.
        let known = self.due.get(key).copied().filter(|due| *due <= now_ms + self.burst_ms);
        let due = known.unwrap_or(now_ms).max(now_ms);
        let next = due + self.interval_ms;
        if next - now_ms > self.burst_ms {
            return Err(next - now_ms - self.burst_ms);
        }
        self.due.insert(key.to_owned(), next);
        Ok(())
    }

    /// Gives the last cell back.
    pub(crate) fn give_back(&mut self, key: &str) {
        if let Some(due) = self.due.get_mut(key) {
            *due -= self.interval_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_a_minute_then_one_each_twelve_seconds() {
        let mut throttle = Throttle::new(5);
        for _ in 0..5 {
            assert_eq!(throttle.take("eva", 1000), Ok(()));
        }
        assert_eq!(throttle.take("eva", 1000), Err(12_000));
        assert_eq!(throttle.take("max", 1000), Ok(()), "another key is not held up");
        assert_eq!(throttle.take("eva", 13_000), Ok(()));
        assert!(throttle.take("eva", 13_000).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut throttle = Throttle::new(5);
        for _ in 0..5 {
            assert_eq!(throttle.take("eva", 3_600_000), Ok(()));
        }
        assert!(throttle.take("eva", 3_600_000).is_err());
        for _ in 0..5 {
            assert_eq!(throttle.take("eva", 0), Ok(()));
        }
        assert!(throttle.take("eva", 0).is_err(), "and still limits");
    }

    #[test]
    fn successes_cost_nothing() {
        let mut throttle = Throttle::new(5);
        for _ in 0..100 {
            assert_eq!(throttle.take("eva", 0), Ok(()));
            throttle.give_back("eva");
        }
    }
}
