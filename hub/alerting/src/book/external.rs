//! Alerts that others decide: they live like all others, and go by the routing tree.

use std::sync::Arc;

use super::{Book, group_key};
use crate::{
    external::Posted,
    incident::{Incident, Step, Terms},
};

impl Book {
    /// Takes posted alerts in.
    pub(crate) fn external(&mut self, posted: &[Posted], now: i64) {
        for one in posted {
            self.external_alert(one, now);
        }
        self.settle(now);
    }

    fn external_alert(&mut self, posted: &Posted, now: i64) {
        let signal = &posted.signal;
        let key = group_key(signal);
        self.warm(&key);
        let last = self.groups.get(key.as_str()).map(|slot| &slot.incident);
        let open = last.is_some_and(Incident::is_open);
        if !open && !signal.met {
            return;
        }
        let rule = Arc::new(posted.rule.clone());
        let Some(known) = self.register.terms(&self.options, &signal.rule_id) else {
            return;
        };
        let asks = known.asks;
        if open {
            let apply = |incident: &mut Incident, terms: &Terms<'_>| {
                let terms = Terms { rule: &rule, ..*terms };
                let step = incident.signal(&terms, signal, now);
                match posted.again_until {
                    Some(until) if incident.is_open() => incident.heard(&terms, until, now).or(step),
                    _ => step,
                }
            };
            return self.apply(&key, now, apply);
        }
        if last.is_some_and(|last| last.has_seen(signal, asks)) {
            return;
        }
        if self.open >= self.options.max_open {
            self.changes.refused += 1;
            return;
        }
        let terms = Terms { rule: &rule, ..known };
        let (mut incident, step) = Incident::open(&terms, key.clone(), last.map(|last| &last.memory), signal, now);
        if let Some(until) = posted.again_until {
            incident.heard(&terms, until, now);
        }
        let fired = incident.alert.fired_at.map(|_| incident.alert.level);
        self.insert(key.clone(), incident);
        self.changes.fired.extend(fired);
        self.follow(&key, step, now);
    }
}

impl Step {
    /// The step of more consequence.
    fn or(self, other: Self) -> Self {
        if matches!(self, Self::Ignored | Self::Touched) && other != Self::Ignored {
            other
        } else {
            self
        }
    }
}
