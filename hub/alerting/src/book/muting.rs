//! Silences, maintenance windows and inhibition at work on the incidents.

use streamflow_model::{Maintenance, Silence, drill::is_drill_rule};

use super::Book;
use crate::{
    incident::Incident,
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
        if let Some(slot) = self.groups.get(key) {
            self.mutes_moved |= note(&mut self.mutes, &slot.incident);
        } else if let Some(packed) = self.cold.get(key)
            && !is_drill_rule(packed.rule_id())
        {
            let firing = packed.fired_at().is_some() && packed.is_open();
            let (id, labels) = (packed.id().to_string(), packed.labels());
            self.mutes_moved |= self.mutes.source(key, &id, &labels, firing);
        }
    }

    /// The same of one that is not in the book yet.
    pub(super) fn note_new_source(&mut self, incident: &Incident) {
        if self.mutes.inhibits() {
            self.mutes_moved |= note(&mut self.mutes, incident);
        }
    }

    /// Asks anew for every firing incident what mutes it.
    pub(super) fn remute(&mut self, now: i64) {
        self.mute_due = self.mutes.next_change(now);
        let mut moved = Vec::new();
        let idle = self.mutes.is_idle();
        let stirred = self.resting(|packed| {
            let fires = packed.is_open() && packed.fired_at().is_some();
            if !fires || (idle && !packed.is_muted()) {
                return false;
            }
            // Which reasons it had is only asked where it has some.
            packed.is_muted() || !self.mutes.reasons(&packed.key(), &packed.labels(), now).is_empty()
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

/// Notes whether an incident inhibits others; answers whether that has changed.
fn note(mutes: &mut Mutes, incident: &Incident) -> bool {
    let alert = &incident.alert;
    // What is only practised keeps no real alert from being told.
    if is_drill_rule(&alert.rule_id) {
        return false;
    }
    let firing = alert.fired_at.is_some() && incident.is_open();
    mutes.source(&alert.group_key, &alert.id, &alert.labels, firing)
}
