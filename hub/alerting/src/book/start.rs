//! The start: stored incidents are taken up part by part, and most of very many rest at once.

use std::collections::BTreeSet;

use super::Book;
use crate::incident::{Incident, SYSTEM};

impl Book {
    /// Takes up stored incidents, newest first.
    pub(crate) fn take_up(&mut self, incidents: Vec<Incident>, now: i64) {
        for mut incident in incidents {
            let key = incident.alert.group_key.clone();
            if !incident.is_open() {
                self.history.add_older(&incident.alert);
            }
            self.rejoin(&incident);
            // One that has fired lets those before it go.
            if self.cold.get(key.as_str()).is_some_and(|newer| newer.fired()) {
                continue;
            }
            self.warm(&key);
            if let Some(newer) = self.groups.get_mut(key.as_str()) {
                if newer.incident.alert.fired_at.is_none() && newer.before.is_none() {
                    newer.before = Some(Box::new(incident));
                }
                continue;
            }
            if let Some(terms) = self.register.terms(&self.options, &incident.alert.rule_id) {
                incident.restarted(&terms, now + self.options.restart_grace.ms());
            }
            self.insert(key.clone(), incident);
            self.note_source(&key);
        }
        loop {
            self.rest();
            if !self.tired {
                break;
            }
        }
    }

    /// All stored incidents are there: those whose rule is gone are over.
    pub(crate) fn taken_up(&mut self, now: i64) {
        let mut orphans: BTreeSet<String> = BTreeSet::new();
        for key in self.groups.keys().chain(self.cold.keys()) {
            let rule_id = key.split('{').next().unwrap_or_default();
            if !self.register.is_at_work(rule_id) && !orphans.contains(rule_id) {
                orphans.insert(rule_id.to_owned());
            }
        }
        for rule_id in orphans {
            self.close_all(&rule_id, SYSTEM, "its rule is gone", now);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_model::AlertState;

    use super::*;
    use crate::{
        book::Stored,
        options::Options,
        sample::{MINUTE, T0, book, rule, signal},
    };

    const MANY: usize = 9000;

    fn stored() -> Stored {
        Stored {
            rules: vec![rule(json!({"for": "1m"}))],
            ..Stored::default()
        }
    }

    /// Incidents as they lie in the store.
    fn incidents() -> Vec<Incident> {
        let mut book = book(vec![rule(json!({"for": "1m"}))]);
        let of = |n: usize, window: i64, value: f64| {
            let mut signal = signal(window, value);
            signal.labels.insert("source".to_owned(), format!("web-{n}"));
            signal
        };
        let mut all = Vec::new();
        let mut keep = |book: &mut Book| {
            let written = book.take_changes().written;
            all.extend(written.iter().filter_map(|key| book.incident(key).cloned()));
        };
        // One that has fired and is over, and whose group is pending again.
        book.signals(&[of(0, 0, 60.0)], T0);
        book.tick(T0 + MINUTE);
        book.signals(&[of(0, 1, 1.0)], T0 + 2 * MINUTE);
        keep(&mut book);
        let again: Vec<_> = (0..MANY).map(|n| of(n, 3, 60.0)).collect();
        book.signals(&again, T0 + 4 * MINUTE);
        keep(&mut book);
        all.sort_by(|a, b| b.alert.id.cmp(&a.alert.id));
        all
    }

    #[test]
    fn stored_alerts_are_taken_up_in_parts_as_they_are_all_at_once() {
        let (now, incidents) = (T0 + 4 * MINUTE, incidents());
        assert_eq!(incidents.len(), MANY + 1);
        let mut whole = Book::load(Options::default(), "", stored(), incidents.clone(), now);
        let mut parts = Book::new(Options::default(), "", stored(), now);
        for part in incidents.chunks(1000) {
            parts.take_up(part.to_vec(), now);
        }
        parts.taken_up(now);
        for book in [&mut whole, &mut parts] {
            assert!(book.groups.len() < MANY / 2, "{} are unpacked", book.groups.len());
            assert_eq!((book.open_alerts().count(), book.outlines().count()), (MANY, MANY));
            assert_eq!((book.shown().count(), book.history().iter().len()), (MANY, 1));
            book.tick(T0 + 5 * MINUTE - 1);
            assert!(book.outlines().all(|alert| alert.state == AlertState::Pending));
            while book.due().is_some_and(|due| due <= T0 + 6 * MINUTE) {
                book.tick(T0 + 6 * MINUTE);
                book.take_changes();
                book.rest();
            }
            assert!(
                book.outlines()
                    .all(|alert| alert.state == AlertState::Firing && alert.fired_at.is_some())
            );
        }
    }

    #[test]
    fn alerts_without_a_rule_are_over_also_when_they_rest() {
        let mut book = Book::new(Options::default(), "", Stored::default(), T0);
        book.take_up(incidents(), T0 + 4 * MINUTE);
        assert!(book.groups.len() < MANY / 2);
        book.taken_up(T0 + 4 * MINUTE);
        assert_eq!(book.outlines().count(), 0);
    }
}
