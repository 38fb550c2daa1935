//! When a plugin has failed so often that it is not called any more.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// This many faults …
const FAULTS: usize = 5;
/// … within this time put a plugin into quarantine.
const WITHIN: Duration = Duration::from_secs(60);

/// Recent faults of one plugin. Time comes from the caller.
#[derive(Debug, Default)]
pub(crate) struct Health {
    faults: VecDeque<Instant>,
    quarantined: Option<Quarantine>,
}

/// Why and since when a plugin is not called any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quarantine {
    /// Kind of the last fault.
    pub(crate) cause: &'static str,
    /// In words.
    pub(crate) reason: String,
    /// Wall clock.
    pub(crate) since: streamflow_model::Instant,
}

impl Health {
    /// Why the plugin is in quarantine.
    pub(crate) const fn quarantined(&self) -> Option<&Quarantine> {
        self.quarantined.as_ref()
    }

    /// Counts a fault of this kind; true when it puts the plugin into quarantine. `at` is the same moment by the wall clock.
    pub(crate) fn fault(
        &mut self,
        now: Instant,
        at: streamflow_model::Instant,
        cause: &'static str,
        reason: &str,
    ) -> bool {
        self.faults.retain(|at| now.duration_since(*at) < WITHIN);
        self.faults.push_back(now);
        if self.quarantined.is_some() || self.faults.len() < FAULTS {
            return false;
        }
        self.quarantined = Some(Quarantine {
            cause,
            reason: format!("{FAULTS} failures within a minute, the last: {reason}"),
            since: at,
        });
        true
    }

    /// How long it has not been called for its quarantine; zero without one.
    pub(crate) fn quiet_for(&self, now: Instant) -> Duration {
        // The last fault is the one that put it there.
        let since = self.faults.back().filter(|_| self.quarantined.is_some());
        since.map_or(Duration::ZERO, |since| now.duration_since(*since))
    }

    /// Gives it another chance.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: streamflow_model::Instant = streamflow_model::Instant(7);

    fn after(start: Instant, seconds: impl IntoIterator<Item = u64>) -> (Health, usize) {
        let mut health = Health::default();
        let entered = seconds
            .into_iter()
            .filter(|s| health.fault(start + Duration::from_secs(*s), AT, "stack", "stack overflow"))
            .count();
        (health, entered)
    }

    #[test]
    fn five_faults_within_a_minute_and_only_those() {
        let start = Instant::now();
        assert_eq!(after(start, [0, 1, 2, 3]).0.quarantined(), None);
        assert_eq!(after(start, [0, 20, 40, 59, 61]).0.quarantined(), None);
        let (health, entered) = after(start, [0, 20, 40, 58, 59, 59]);
        let quarantine = Quarantine {
            cause: "stack",
            reason: "5 failures within a minute, the last: stack overflow".to_owned(),
            since: AT,
        };
        assert_eq!(health.quarantined(), Some(&quarantine));
        assert_eq!(entered, 1);
    }

    #[test]
    fn release_forgets() {
        let start = Instant::now();
        let (mut health, _) = after(start, [0; 5]);
        health.release();
        assert_eq!(health.quarantined(), None);
        assert!(!health.fault(start, AT, "stack", "again"));
    }
}
