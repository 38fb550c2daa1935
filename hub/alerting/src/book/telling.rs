//! Who is told of an incident: the channels that its rule names, or those of its routes together with others.

use std::mem;

use super::Book;
use crate::{
    held::{Cause, Gate, Held, Meant},
    outbox::Outgoing,
};

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
        self.mark_some(now);
        // Of very many that fire at once some wait for the next changes; their groups tell of all of them together.
        if self.timers.first().is_none_or(|(due, _)| *due > now) {
            self.look_at_bundles(now);
        }
    }

    /// Tells of an alert that fires, unless something mutes it.
    pub(super) fn tell_firing(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let incident = &mut slot.incident;
        self.changes.written.insert(key.to_owned());
        let reasons = self.mutes.reasons(key, &incident.alert.labels, now);
        if !reasons.is_empty() {
            for reason in &reasons {
                let (gate, name) = Gate::of_reason(reason);
                self.changes.held.push(Held::one(gate, name, &incident.alert.id));
            }
            incident.hold_back(reasons, now);
            return self.reschedule(key);
        }
        incident.alert.muted_by.clear();
        incident.told_of(now);
        // An alert that others decide has no rule here, and goes by the routes.
        let rule = self.register.rule(&incident.alert.rule_id).cloned();
        let draft = rule.as_ref().map(|rule| &rule.draft);
        let mut policy = draft.and_then(|draft| draft.escalation.clone());
        let named = draft.map(|draft| draft.channels.as_slice()).unwrap_or_default();
        if named.is_empty() {
            let (routes, by_route) = self.route(key, now);
            if routes == 0 && policy.is_none() && by_route.is_none() {
                self.hold_alert(key, Gate::Unrouted);
            }
            policy = policy.or(by_route);
        } else {
            let again = self
                .groups
                .get(key)
                .is_some_and(|slot| slot.incident.memory.notices > 0);
            let cause = if again { Cause::Again } else { Cause::Fired };
            let channels = self.register.meant(named, now);
            self.tell_channels(key, &channels, cause, now);
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
        let channels = self.register.meant(&step.channels, now);
        self.tell_channels(key, &channels, Cause::Escalation, now);
    }

    /// Tells of an alert that is over, those who were told that it fires.
    pub(super) fn tell_over(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let told: Vec<Meant> = slot.incident.memory.told.iter().cloned().map(Meant::channel).collect();
        if !told.is_empty() {
            self.tell_channels(key, &told, Cause::Over, now);
        }
        self.leave_bundles(key, now);
    }

    /// A notification of its own for each of these channels.
    pub(super) fn tell_channels(&mut self, key: &str, meant: &[Meant], cause: Cause, now: i64) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let incident = &mut slot.incident;
        let firing = incident.is_open();
        incident.memory.notices += 1;
        for Meant { channel: name, oncall } in meant {
            let known = self.register.channels().get(name);
            let gate = match known {
                None => Some(Gate::Missing),
                Some(channel) if !channel.enabled => Some(Gate::Disabled),
                Some(channel) if firing && incident.alert.level < channel.level => Some(Gate::Level),
                Some(_) => None,
            };
            let (Some(channel), None) = (known, gate) else {
                let held = gate.map(|gate| Held::one(gate, name, &incident.alert.id));
                self.changes.held.extend(held);
                continue;
            };
            let open_at = self.register.open_at(name, now);
            if open_at > now {
                let held = Held::one(Gate::ActiveHours, name, &incident.alert.id);
                self.changes.held.push(held.for_ms(open_at - now));
            }
            let outgoing = Outgoing::about(incident, channel, &self.external_url, now);
            let outgoing = outgoing
                .because(cause, oncall.as_ref())
                .not_before(open_at)
                .worded(channel, &mut self.changes.template_failures);
            self.changes.outgoing.push(outgoing);
            if firing && !incident.memory.told.contains(name) {
                incident.memory.told.push(name.clone());
            }
        }
    }

    /// Notes that something keeps an alert from being told of.
    pub(super) fn hold_alert(&mut self, key: &str, gate: Gate) {
        if let Some(slot) = self.groups.get(key) {
            let alert = &slot.incident.alert;
            self.changes.held.push(Held::one(gate, &alert.rule_name, &alert.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        book::TIMERS,
        sample::{self, MINUTE, T0, book, rule, signal},
    };

    #[test]
    fn a_group_whose_alerts_fire_in_parts_is_told_of_once() {
        let draft = json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1m"}});
        let (routing, compiled) = sample::routing(draft);
        let mut book = book(vec![rule(json!({"channels": [], "for": "1m"}))]);
        book.set_routing(routing, compiled, T0);
        let of = |n: usize| {
            let mut signal = signal(0, 60.0);
            signal.labels.insert("source".to_owned(), format!("web-{n}"));
            signal
        };
        let signals: Vec<_> = (0..TIMERS + 500).map(of).collect();
        book.signals(&signals, T0);
        assert!(book.take_changes().outgoing.is_empty(), "they are pending");
        let mut told = Vec::new();
        while book.due().is_some_and(|due| due <= T0 + MINUTE) {
            book.tick(T0 + MINUTE);
            told.extend(book.take_changes().outgoing);
        }
        let [one] = told.as_slice() else {
            panic!("{} messages", told.len());
        };
        assert!(one.notice.title.starts_with("1500 firing"), "{}", one.notice.title);
    }
}
