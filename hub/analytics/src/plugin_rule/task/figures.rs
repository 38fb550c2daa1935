//! What a rule's task shows in the metrics.

use super::{Task, remember};
use crate::plugin_rule::worker::Brought;

impl Task {
    pub(super) fn count(&mut self, brought: &Brought) {
        let (name, metrics) = (self.name(), &self.common.metrics);
        let fresh = brought
            .skipped
            .iter()
            .filter(|(position, _)| !self.counted.contains(position));
        metrics
            .skipped
            .with_label_values(&[&name])
            .inc_by(fresh.map(|(_, events)| events).sum());
        let positions: Vec<u64> = brought.skipped.iter().map(|(position, _)| *position).collect();
        remember(&mut self.counted, positions);
        metrics.refused.with_label_values(&[&name]).inc_by(brought.refused);
        self.count_unreadable(brought.unreadable);
    }

    pub(super) fn count_unreadable(&self, count: u64) {
        self.common
            .metrics
            .unreadable
            .with_label_values(&[&self.name()])
            .inc_by(count);
    }

    pub(super) async fn show(&self) {
        let (name, metrics) = (self.name(), &self.common.metrics);
        metrics
            .running
            .with_label_values(&[&name])
            .set(self.worker.is_some().into());
        let behind = if self.worker.is_some() && self.follower.caught_up() {
            0
        } else {
            let position = self.common.store.stats().await.map_or(0, |stats| stats.position);
            position.saturating_sub(self.stable.position).cast_signed()
        };
        metrics.lag.with_label_values(&[&name]).set(behind);
    }
}
