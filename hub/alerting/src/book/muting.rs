//! Silences, maintenance windows and inhibition at work on the incidents.

use streamflow_model::{Maintenance, Silence, drill::is_drill_rule};

use super::{Book, resting::look};
use crate::{
    matchers::Matchers,
    mute::{Mutes, Window},
};

impl Book {
    /// Silences and maintenance windows.
    pub(crate) const fn mutes(&self) -> &Mutes {
        &self.mutes
    }

    /// Adds or replaces a silence.
    pub(crate) fn put_silence(&mut self, silence: Silence, matchers: Matchers, now: i64) {
        self.mutes.put_silence(silence, matchers);
        self.mutes_changed(now);
    }

    /// Forgets a silence that is over.
    pub(crate) fn forget_silence(&mut self, id: &str) {
        self.mutes.remove_silence(id);
    }

    /// Adds or replaces a maintenance window.
    pub(crate) fn put_window(&mut self, window: Window, now: i64) {
        self.mutes.put_window(window);
        self.mutes_changed(now);
    }

    /// Removes a maintenance window.
    pub(crate) fn remove_window(&mut self, name: &str, now: i64) -> bool {
        let known = self.mutes.remove_window(name);
        self.mutes_changed(now);
        known
    }

    /// Maintenance windows by name.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &Maintenance> {
        self.mutes.windows().values().map(|window| &window.maintenance)
    }

    pub(super) fn mutes_changed(&mut self, now: i64) {
        self.mutes_moved = true;
        self.settle(now);
    }

    /// An incident began to fire, goes on to, or is over: others may be inhibited by it.
    pub(super) fn note_source(&mut self, key: &str) {
        if !self.mutes.inhibits() {
            return;
        }
        let Some(incident) = look(&self.groups, &self.cold, key) else {
            return;
        };
        let alert = &incident.alert;
        // What is only practised keeps no real alert from being told.
        if is_drill_rule(&alert.rule_id) {
            return;
        }
        let firing = alert.fired_at.is_some() && incident.is_open();
        self.mutes_moved |= self.mutes.source(key, &alert.id, &alert.labels, firing);
    }

    /// Asks anew for every firing incident what mutes it.
    pub(super) fn remute(&mut self, now: i64) {
        self.mute_due = self.mutes.next_change(now);
        let mut moved = Vec::new();
        let idle = self.mutes.is_idle();
        let stirred = self.resting(|key, cold| {
            if !cold.is_open() || !cold.fired() || (idle && !cold.muted) {
                return false;
            }
            // Which reasons it had is only asked where it has some.
            !self.mutes.reasons(key, &cold.labels(), now).is_empty() || cold.muted
        });
        for key in stirred {
            self.warm(&key);
        }
        for (key, slot) in &mut self.groups {
            let incident = &mut slot.incident;
            if !incident.is_open() || incident.alert.fired_at.is_none() {
                continue;
            }
            let reasons = self.mutes.reasons(key, &incident.alert.labels, now);
            if reasons != incident.alert.muted_by {
                incident.mute(reasons, now);
                moved.push(key.clone());
            }
        }
        for key in moved {
            self.reschedule(&key);
            self.news_of(&key, now);
            self.changes.written.insert(key.to_string());
        }
    }
}
