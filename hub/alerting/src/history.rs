//! Alerts that are over: just enough of each for totals and for removing the oldest.

use std::collections::VecDeque;

use streamflow_model::Alert;

/// One alert that is over.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Its id.
    pub(crate) id: String,
    /// Its group.
    pub(crate) group_key: String,
    /// When it began to fire, ms.
    pub(crate) fired_at: Option<i64>,
    /// When a person took it, ms.
    pub(crate) acknowledged_at: Option<i64>,
    /// When it was over, ms.
    pub(crate) resolved_at: i64,
}

impl Closed {
    fn of(alert: &Alert) -> Self {
        Self {
            id: alert.id.clone(),
            group_key: alert.group_key.clone(),
            fired_at: alert.fired_at.map(|at| at.0),
            acknowledged_at: alert.acknowledged_at.map(|at| at.0),
            resolved_at: alert.resolved_at.map_or(0, |at| at.0),
        }
    }
}

/// Alerts that are over, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Closed>);

impl History {
    /// Adds an alert that has just ended.
    pub(crate) fn add(&mut self, alert: &Alert) {
        self.0.push_back(Closed::of(alert));
    }

    /// Adds an alert that began before all others, as they are read at the start.
    pub(crate) fn add_older(&mut self, alert: &Alert) {
        self.0.push_front(Closed::of(alert));
    }

    /// Takes out those that ended before `oldest`, and the oldest of more than `most`.
    pub(crate) fn expire(&mut self, oldest: i64, most: usize) -> Vec<Closed> {
        let old = self.0.iter().take_while(|closed| closed.resolved_at < oldest).count();
        self.0.drain(..old.max(self.0.len().saturating_sub(most))).collect()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Closed> {
        self.0.iter()
    }
}
