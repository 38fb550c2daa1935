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
    quarantined: Option<String>,
}

impl Health {
    /// Why the plugin is in quarantine.
    pub(crate) fn quarantined(&self) -> Option<&str> {
        self.quarantined.as_deref()
    }

    /// Counts a fault; true when it puts the plugin into quarantine.
    pub(crate) fn fault(&mut self, now: Instant, reason: &str) -> bool {
        self.faults.retain(|at| now.duration_since(*at) < WITHIN);
        self.faults.push_back(now);
        if self.quarantined.is_some() || self.faults.len() < FAULTS {
            return false;
        }
        self.quarantined = Some(format!("{FAULTS} failures within a minute, the last: {reason}"));
        true
    }

    /// Gives it another chance.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: impl IntoIterator<Item = u64>) -> (Health, usize) {
        let mut health = Health::default();
        let entered = seconds
            .into_iter()
            .filter(|s| health.fault(start + Duration::from_secs(*s), "stack overflow"))
            .count();
        (health, entered)
    }

    #[test]
    fn five_faults_within_a_minute_and_only_those() {
        let start = Instant::now();
        assert_eq!(after(start, [0, 1, 2, 3]).0.quarantined(), None);
        assert_eq!(after(start, [0, 20, 40, 59, 61]).0.quarantined(), None);
        let (health, entered) = after(start, [0, 20, 40, 58, 59, 59]);
        assert_eq!(
            health.quarantined(),
            Some("5 failures within a minute, the last: stack overflow")
        );
        assert_eq!(entered, 1);
    }

    #[test]
    fn release_forgets() {
        let start = Instant::now();
        let (mut health, _) = after(start, [0; 5]);
        health.release();
        assert_eq!(health.quarantined(), None);
        assert!(!health.fault(start, "again"));
    }
}
