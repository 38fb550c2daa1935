//! Who is told of an incident: the channels that its rule names, or those of its routes together with others.

use std::mem;

use super::Book;
use crate::outbox::Outgoing;

impl Book {
    /// After every change: what fired together is told of together, so that one alert can inhibit another of the same moment.
    pub(super) fn settle(&mut self, now: i64) {
        loop {
            if mem::take(&mut self.mutes_moved) {
                self.remute(now);
            }
            while let Some(key) = self.untold.pop_first() {
                self.tell_firing(&key, now);
            }
            self.run_timers(now);
            if self.untold.is_empty() && !self.mutes_moved {
                break;
            }
        }
        self.look_at_bundles(now);
    }

    /// Tells of an alert that fires, unless something mutes it.
    pub(super) fn tell_firing(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let incident = &mut slot.incident;
        self.changes.written.insert(key.to_owned());
        let reasons = self.mutes.reasons(key, &incident.alert.labels, now);
        if !reasons.is_empty() {
            incident.hold_back(reasons, now);
            return self.reschedule(key);
        }
        incident.alert.muted_by.clear();
        incident.told_of(now);
        // An alert that others decide has no rule here, and goes by the routes.
        let rule = self.register.rules().get(&incident.alert.rule_id).cloned();
        let draft = rule.as_ref().map(|rule| &rule.draft);
        let mut policy = draft.and_then(|draft| draft.escalation.clone());
        let named = draft.map(|draft| draft.channels.as_slice()).unwrap_or_default();
        if named.is_empty() {
            policy = policy.or(self.route(key, now));
        } else {
            let channels = self.register.expand(named, now);
            self.tell_channels(key, &channels, now);
        }
        if let (Some(slot), Some(policy)) = (self.groups.get_mut(key), policy) {
            slot.incident.begin_policy(&policy, now);
        }
        self.reschedule(key);
    }

    /// Takes a step of the alert's escalation policy.
    pub(super) fn page(&mut self, key: &str, step: usize, now: i64) {
        let policy = self.groups.get(key).and_then(|slot| slot.incident.policy());
        let policy = policy.and_then(|name| self.register.escalations().get(name));
        let Some(step) = policy.and_then(|policy| policy.steps.get(step)) else {
            return;
        };
        let channels = self.register.expand(&step.channels, now);
        self.tell_channels(key, &channels, now);
    }

    /// Tells of an alert that is over, those who were told that it fires.
    pub(super) fn tell_over(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let told = slot.incident.memory.told.clone();
        if !told.is_empty() {
            self.tell_channels(key, &told, now);
        }
        self.leave_bundles(key, now);
    }

    /// A notification of its own for each of these channels.
    pub(super) fn tell_channels(&mut self, key: &str, names: &[String], now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let incident = &mut slot.incident;
        let firing = incident.is_open();
        incident.memory.notices += 1;
        for name in names {
            let channel = self.register.channels().get(name).filter(|channel| channel.enabled);
            let Some(channel) = channel.filter(|channel| !firing || incident.alert.level >= channel.level) else {
                continue;
            };
            let outgoing = Outgoing::about(incident, channel, &self.external_url, now);
            let outgoing = outgoing
                .not_before(self.register.open_at(name, now))
                .worded(channel, &mut self.changes.template_failures);
            self.changes.outgoing.push(outgoing);
            if firing && !incident.memory.told.contains(name) {
                incident.memory.told.push(name.clone());
            }
        }
    }
}
