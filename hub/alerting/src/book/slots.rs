//! The newest incident of each group: what a step of it entails.

use std::{mem, sync::Arc};

use streamflow_model::{AlertState, Instant};

use super::{Book, Slot};
use crate::{
    held::Gate,
    id::AlertId,
    incident::{Incident, Step, Terms},
};

impl Book {
    pub(super) fn insert(&mut self, key: String, incident: Incident) {
        let open = incident.is_open();
        self.open += usize::from(open);
        let (at, before) = match self.groups.remove_entry(key.as_str()) {
            Some((at, slot)) => (at, Some(Box::new(slot.incident))),
            None => (Arc::from(key.as_str()), None),
        };
        if let Some(before) = &before {
            self.ids.remove(&AlertId::of(&before.alert.id));
            // Its end is of this same turn, and what is written by the key of the group is the new one.
            if self.changes.written.contains(&key) || self.changes.touched.contains(&key) {
                self.changes.replaced.push(Incident::clone(before));
            }
        }
        self.ids.insert(AlertId::of(&incident.alert.id), Arc::clone(&at));
        let slot = Slot {
            incident,
            due: None,
            before,
        };
        self.groups.insert(at, Box::new(slot));
        if open {
            self.reschedule(&key);
        }
    }

    pub(super) fn apply(&mut self, key: &str, now: i64, step: impl FnOnce(&mut Incident, &Terms<'_>) -> Step) {
        self.warm(key);
        // What is to be told of it is told before it changes again.
        if self.untold.remove(key) {
            self.tell_firing(key, now);
        }
        let Some(slot) = self.groups.get_mut(key) else { return };
        let Some(terms) = self.register.terms(&self.options, &slot.incident.alert.rule_id) else {
            return;
        };
        let fired_before = slot.incident.alert.fired_at;
        let step = if slot.incident.is_open() {
            step(&mut slot.incident, &terms)
        } else {
            Step::Ignored
        };
        if fired_before.is_none() && slot.incident.alert.fired_at.is_some() {
            self.changes.fired.push(slot.incident.alert.level);
            if slot.incident.waits() {
                self.hold_alert(key, Gate::Suppression);
            }
        }
        self.follow(key, step, now);
    }

    /// Books what a step of one incident entails.
    pub(super) fn follow(&mut self, key: &str, step: Step, now: i64) {
        match step {
            Step::Ignored => {}
            Step::Touched => drop(self.changes.touched.insert(key.to_owned())),
            Step::Changed => drop(self.changes.written.insert(key.to_owned())),
            Step::Tell => {
                self.changes.written.insert(key.to_owned());
                if self.groups.get(key).is_some_and(|slot| slot.incident.is_open()) {
                    self.untold.insert(key.to_owned());
                } else {
                    self.tell_over(key, now);
                }
            }
            Step::Page(step) => {
                self.changes.written.insert(key.to_owned());
                self.page(key, step, now);
            }
            Step::Gone => return self.forget(key, now),
        }
        if let Some(slot) = self
            .groups
            .get(key)
            .filter(|slot| step != Step::Ignored && !slot.incident.is_open())
        {
            self.open -= 1;
            self.history.add(&slot.incident.alert);
        }
        if let Some(slot) = self
            .groups
            .get_mut(key)
            .filter(|slot| slot.incident.alert.fired_at.is_some())
        {
            slot.before = None;
        }
        if matches!(step, Step::Changed | Step::Tell | Step::Page(_)) {
            self.note_source(key);
        }
        self.reschedule(key);
    }

    fn forget(&mut self, key: &str, now: i64) {
        let Some((at, slot)) = self.groups.remove_entry(key) else {
            return;
        };
        self.unschedule(slot.due, AlertId::of(&slot.incident.alert.id));
        self.open -= 1;
        self.changes.written.remove(key);
        self.changes.touched.remove(key);
        let Incident { mut alert, memory } = slot.incident;
        self.ids.remove(&AlertId::of(&alert.id));
        if let Some(mut before) = slot.before {
            before.memory.seen = memory.seen;
            self.ids.insert(AlertId::of(&before.alert.id), Arc::clone(&at));
            let slot = Slot {
                incident: *before,
                due: None,
                before: None,
            };
            self.groups.insert(at, Box::new(slot));
        }
        alert.state = AlertState::Resolved;
        alert.resolved_at = Some(Instant(now));
        self.changes.forgotten.push(alert);
    }

    pub(super) fn reschedule(&mut self, key: &str) {
        self.warm(key);
        let Some(slot) = self.groups.get_mut(key) else { return };
        let terms = self.register.terms(&self.options, &slot.incident.alert.rule_id);
        let due = terms
            .filter(|_| slot.incident.is_open())
            .and_then(|terms| slot.incident.due(&terms));
        let before = mem::replace(&mut slot.due, due);
        if before.or(due).is_some() {
            let id = AlertId::of(&slot.incident.alert.id);
            self.unschedule(before, id);
            self.timers.extend(due.map(|due| (due, id)));
        }
    }

    fn unschedule(&mut self, due: Option<i64>, id: AlertId) {
        if let Some(due) = due {
            self.timers.remove(&(due, id));
        }
    }
}
