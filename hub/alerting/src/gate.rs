//! Whether a channel may be sent to now: a circuit breaker, and a limit of notifications a minute.
//!
//! ```text
//!            failures in a row              its pause is over              it works
//!  closed ─────────────────────► open ─────────────────────► half-open ─────────────► closed
//!                                 ▲        one attempt            │ it fails: a longer pause
//!                                 └───────────────────────────────┘
//! ```
//! Pure: attempts and `now` in, the next moment out.

use std::collections::VecDeque;

use serde::Serialize;
use streamflow_model::{Instant, Span};

const MINUTE: i64 = 60_000;
/// Largest limit: the moments of so many notifications are remembered.
pub(crate) const MOST_PER_MINUTE: u32 = 6000;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerLimits {
    /// Failures in a row that open it; 0 = it never opens.
    pub(crate) failures: u32,
    /// The first pause; doubles with each that ends in a failure.
    pub(crate) pause: Span,
    /// The longest pause.
    pub(crate) longest: Span,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Span::from_secs(30),
            longest: Span::from_secs(300),
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything is sent.
    #[default]
    Closed,
    /// The next attempt decides.
    HalfOpen,
    /// Nothing is sent for a while.
    Open,
}

/// One channel's gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    failures: u32,
    /// Notifications that were given up.
    pub(crate) given_up: u64,
    /// Whether the last one was given up, until one is delivered or the channel is saved.
    pub(crate) failing: Option<bool>,
    /// Pauses in a row.
    pauses: u32,
    /// End of the present pause.
    until: Option<i64>,
    /// Notifications a minute.
    per_minute: Option<u32>,
    /// When the last ones were sent.
    sent: VecDeque<i64>,
}

impl Gate {
    /// Sets the limit; `None` = no limit.
    pub(crate) fn limit(&mut self, per_minute: Option<u32>) {
        self.per_minute = per_minute.map(|limit| limit.clamp(1, MOST_PER_MINUTE));
    }

    /// Where the breaker stands.
    pub(crate) fn state(&self, now: i64) -> BreakerState {
        match self.until {
            None => BreakerState::Closed,
            Some(until) if until <= now => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// Failures in a row, and the end of the pause.
    pub(crate) fn trouble(&self) -> (u32, Option<Instant>) {
        (self.failures, self.until.map(Instant))
    }

    /// When the next notification may be sent, not before `at`; `None` while the attempt that decides is `under_way`.
    pub(crate) fn opens(&self, at: i64, under_way: usize) -> Option<i64> {
        let limit = self.per_minute.map_or(usize::MAX, |limit| limit as usize);
        let limited = if self.sent.len() >= limit {
            // The oldest of the last `limit` ones leaves the minute.
            self.sent.get(self.sent.len() - limit).map(|sent| sent + MINUTE)
        } else {
            None
        };
        match self.until {
            Some(_) if under_way > 0 => None,
            until => Some(at.max(limited.unwrap_or(at)).max(until.unwrap_or(at))),
        }
    }

    /// A notification is sent.
    pub(crate) fn send(&mut self, now: i64) {
        let Some(limit) = self.per_minute else {
            return self.sent.clear();
        };
        while self.sent.len() >= limit as usize {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// What became of an attempt; answers whether the breaker has opened by it.
    pub(crate) fn heard(&mut self, works: bool, now: i64, limits: BreakerLimits) -> bool {
        if works {
            (self.failures, self.pauses, self.until) = (0, 0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let was = self.state(now);
        if limits.failures == 0 || self.failures < limits.failures || was == BreakerState::Open {
            return false;
        }
        let pause = limits.pause.ms().saturating_mul(1 << self.pauses.min(20));
        self.until = Some(now.saturating_add(pause.min(limits.longest.ms())));
        self.pauses = self.pauses.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures: 3,
        pause: Span::from_ms(100),
        longest: Span::from_ms(300),
    };

    #[test]
    fn it_opens_after_failures_in_a_row_tries_once_and_pauses_longer_each_time() {
        let mut gate = Gate::default();
        assert!(!gate.heard(false, 0, LIMITS) && !gate.heard(false, 0, LIMITS));
        gate.heard(true, 0, LIMITS);
        let opened = [1, 2, 3].map(|now| gate.heard(false, now, LIMITS));
        assert_eq!((opened, gate.state(3)), ([false, false, true], BreakerState::Open));
        assert_eq!(gate.opens(3, 0), Some(103));
        assert!(
            !gate.heard(false, 4, LIMITS),
            "an attempt that was under way changes nothing"
        );
        assert_eq!(
            (gate.state(103), gate.opens(103, 0)),
            (BreakerState::HalfOpen, Some(103))
        );
        assert_eq!(gate.opens(103, 1), None, "one attempt decides");
        assert!(gate.heard(false, 110, LIMITS));
        assert_eq!(gate.opens(110, 0), Some(310));
        gate.heard(false, 310, LIMITS);
        assert_eq!(gate.opens(310, 0), Some(610), "no longer than the longest");
        gate.heard(true, 610, LIMITS);
        assert_eq!((gate.state(610), gate.opens(610, 7)), (BreakerState::Closed, Some(610)));
        assert_eq!(gate.trouble(), (0, None));
    }

    proptest! {
        /// Whenever it is asked: no minute ever holds more than the limit, and nobody waits longer than needed.
        #[test]
        fn no_minute_holds_more_than_the_limit(limit in 1_u32..20, steps in prop::collection::vec(0_i64..10_000, 1..200)) {
            let mut gate = Gate::default();
            gate.limit(Some(limit));
            let (mut now, mut sent): (i64, Vec<i64>) = (0, Vec::new());
            for step in steps {
                now += step;
                let at = gate.opens(now, 0).unwrap();
                if at > now {
                    let in_minute = sent.iter().filter(|one| **one > at - 1 - MINUTE).count();
                    prop_assert!(in_minute >= limit as usize, "it could have been sent a moment earlier");
                }
                now = at;
                gate.send(now);
                sent.push(now);
                let last_minute = sent.iter().filter(|one| **one > now - MINUTE).count();
                prop_assert!(last_minute <= limit as usize);
            }
        }
    }
}
