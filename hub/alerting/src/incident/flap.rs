//! Flap detection: a group whose condition begins and ends to hold again and again is one long incident, not many short ones.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// Changes remembered; more of them say nothing new.
const MOST: usize = 64;

/// When a group counts as flapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlapLimit {
    /// So many changes …
    pub(crate) changes: usize,
    /// … within this time; and quiet again after as long without one.
    pub(crate) within: Span,
}

impl FlapLimit {
    /// Nothing flaps.
    pub(crate) const OFF: Self = Self {
        changes: 0,
        within: Span::ZERO,
    };
}

/// When the condition began or ceased to hold, of the shell's clock, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Flips(Vec<i64>);

impl Flips {
    /// Adds a change; answers whether there are too many now.
    pub(crate) fn add(&mut self, now: i64, limit: FlapLimit) -> bool {
        if limit.changes == 0 {
            return false;
        }
        self.0.retain(|at| *at > now - limit.within.ms());
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(now);
        self.0.len() >= limit.changes.min(MOST)
    }

    /// Changes that are remembered.
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    /// When it has been quiet for long enough.
    pub(crate) fn quiet_at(&self, limit: FlapLimit) -> Option<i64> {
        self.0.last().map(|at| at + limit.within.ms())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_flaps_exactly_when_the_window_holds_enough_changes(steps in prop::collection::vec(1_i64..40, 1..200), changes in 1_usize..8) {
            let limit = FlapLimit { changes, within: Span::from_ms(100) };
            let (mut flips, mut now, mut all) = (Flips::default(), 0, Vec::new());
            for step in steps {
                now += step;
                all.push(now);
                let recent = all.iter().filter(|at| **at > now - 100).count();
                prop_assert_eq!(flips.add(now, limit), recent >= changes);
                prop_assert!(flips.count() <= MOST);
            }
        }
    }
}
