//! What is counted about a transform.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamflow_plugin_host::{TransformError, Transformed};

use super::OnError;
use crate::counters::Counter;

/// How often failures of one transform are logged.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Counts of one transform, over all sources.
#[derive(Debug, Default)]
pub struct TransformCounters {
    /// Batches that it was shown and that it did.
    pub calls: Counter,
    /// Events of them.
    pub events: Counter,
    /// Events that it turned away.
    pub turned_away: Counter,
    /// Events given up because it failed.
    pub dropped: Counter,
    /// Events that went on as they were although it failed.
    pub passed: Counter,
    failures: [Counter; TransformError::CAUSES.len()],
    nanoseconds: Counter,
    memory: AtomicU64,
    last_error: Mutex<Option<String>>,
    said: Mutex<Option<Instant>>,
}

/// One transform in `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformStatus {
    /// Name of the processor.
    pub name: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Whose word there is for it.
    pub signature: String,
    /// What happens to events when it fails.
    pub on_error: OnError,
    /// `active` or `quarantined`.
    pub state: String,
    /// Why it is in quarantine.
    pub reason: Option<String>,
    /// Batches that it did.
    pub calls: u64,
    /// Events of them.
    pub events: u64,
    /// Time of these calls.
    pub seconds: f64,
    /// Events that it turned away.
    pub turned_away: u64,
    /// Events given up because it failed.
    pub dropped: u64,
    /// Events that went on as they were although it failed.
    pub passed: u64,
    /// Calls that failed, by cause.
    pub failures: Vec<(String, u64)>,
    /// Memory of the instance that was called last.
    pub memory_bytes: u64,
    /// The last failure in words.
    pub last_error: Option<String>,
}

impl TransformCounters {
    pub(super) fn done(&self, events: usize, done: &Transformed) {
        self.calls.add(1);
        self.events.add(events as u64);
        self.turned_away.add(done.turned_away);
        self.dropped.add(done.given_up);
        self.nanoseconds
            .add(u64::try_from(done.took.as_nanos()).unwrap_or(u64::MAX));
        self.memory.store(done.memory as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, cause: &str, reason: String) {
        let causes = TransformError::CAUSES.iter().zip(&self.failures);
        for (_, failures) in causes.filter(|(name, _)| **name == cause) {
            failures.add(1);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Whether a failure may be logged now.
    pub(super) fn may_say(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let may = said.is_none_or(|said| now.duration_since(said) >= SAID_EVERY);
        if may {
            *said = Some(now);
        }
        may
    }

    /// Causes and calls, zeros included.
    #[must_use]
    pub fn failures(&self) -> Vec<(String, u64)> {
        let causes = TransformError::CAUSES.iter().zip(&self.failures);
        causes
            .map(|(cause, failures)| ((*cause).to_owned(), failures.get()))
            .collect()
    }

    /// Time of calls.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.get()).as_secs_f64()
    }

    pub(super) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_cause_and_said_now_and_then() {
        let counters = TransformCounters::default();
        for cause in TransformError::CAUSES {
            counters.failed(cause, format!("for {cause}"));
        }
        counters.failed("trap", "again".to_owned());
        let failures = counters.failures();
        assert!(
            failures
                .iter()
                .all(|(cause, count)| *count == if cause == "trap" { 2 } else { 1 })
        );
        assert_eq!(counters.last_error().as_deref(), Some("again"));
        let now = Instant::now();
        assert!(counters.may_say(now) && !counters.may_say(now));
        assert!(counters.may_say(now + SAID_EVERY));
    }
}
