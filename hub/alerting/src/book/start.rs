//! The start: stored incidents are taken up part by part, and most of very many rest at once.

use std::collections::{BTreeSet, HashMap};

use super::Book;
use crate::{
    documents::Read,
    incident::{Incident, SYSTEM},
};

impl Book {
    /// Takes up stored incidents, newest first.
    pub(crate) fn take_up(&mut self, incidents: Vec<Read>, now: i64) {
        let mut packed = HashMap::new();
        for Read { incident, document } in incidents {
            self.take_one_up(incident, document.as_deref(), &mut packed, now);
        }
        self.shelve_packed();
        loop {
            self.rest();
            if !self.tired {
                break;
            }
        }
    }

    /// `packed`: groups of which one was packed that is not shelved yet, and whether it has fired.
    fn take_one_up(
        &mut self,
        mut incident: Incident,
        mut document: Option<&str>,
        packed: &mut HashMap<String, bool>,
        now: i64,
    ) {
        if !incident.is_open() {
            self.history.add_older(&incident.alert);
        }
        self.rejoin(&incident);
        let key = incident.alert.group_key.clone();
        // One that has fired lets those before it go.
        let newer = self.cold.get(&key).map(|newer| newer.fired_at().is_some());
        match newer.or_else(|| packed.get(&key).copied()) {
            Some(true) => return,
            Some(false) => {
                self.shelve_packed();
                packed.clear();
            }
            None => {}
        }
        self.warm(&key);
        if let Some(newer) = self.groups.get_mut(key.as_str()) {
            if newer.incident.alert.fired_at.is_none() && newer.before.is_none() {
                newer.before = Some(Box::new(incident));
            }
            return;
        }
        if let Some(terms) = self.register.terms(&self.options, &incident.alert.rule_id)
            && incident.restarted(&terms, now + self.options.restart_grace.ms())
        {
            document = None;
        }
        // When there are many it is packed as it was read, and never unpacked.
        if self.many() && self.take_up_packed(&incident, document) {
            packed.insert(key, incident.alert.fired_at.is_some());
            return;
        }
        self.insert(key.clone(), incident);
        self.note_source(&key);
    }

    /// All stored incidents are there: those whose rule is gone are over.
    pub(crate) fn taken_up(&mut self, now: i64) {
        let warm = self.groups.keys().map(|key| key.split('{').next().unwrap_or_default());
        let cold = self.cold.iter().map(|packed| packed.rule_id());
        let orphans = warm.chain(cold).filter(|rule_id| !self.register.is_at_work(rule_id));
        let orphans: BTreeSet<String> = orphans.map(str::to_owned).collect();
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

    fn as_read(incident: Incident) -> Read {
        let document = Some(serde_json::to_string(&incident).unwrap());
        Read { incident, document }
    }

    #[test]
    fn stored_alerts_are_taken_up_in_parts_as_they_are_all_at_once() {
        let (now, incidents) = (T0 + 4 * MINUTE, incidents());
        assert_eq!(incidents.len(), MANY + 1);
        let mut whole = Book::load(Options::default(), "", stored(), incidents.clone(), now);
        let mut parts = Book::new(Options::default(), "", stored(), now);
        let mut read = Book::new(Options::default(), "", stored(), now);
        for part in incidents.chunks(1000) {
            parts.take_up(part.iter().cloned().map(Read::from).collect(), now);
            assert!(parts.groups.len() < MANY / 2, "{} are unpacked", parts.groups.len());
            read.take_up(part.iter().cloned().map(as_read).collect(), now);
        }
        parts.taken_up(now);
        read.taken_up(now);
        for book in [&mut whole, &mut parts, &mut read] {
            assert!(book.groups.len() < MANY / 2, "{} are unpacked", book.groups.len());
            assert_eq!(book.open, MANY);
            let open = book.open_groups();
            assert_eq!(open.map(|group| group.labels).collect::<BTreeSet<_>>().len(), MANY);
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

    /// What waits while the hub catches up waits also when it rests, and what it was read from is not what it is then.
    #[test]
    fn a_pending_alert_that_rests_from_the_start_waits_for_analytics() {
        let until = T0 + 20 * MINUTE;
        let grace = Options::default().restart_grace.ms();
        let mut book = Book::new(Options::default(), "", stored(), until);
        book.take_up(incidents().into_iter().map(as_read).collect(), until);
        book.taken_up(until);
        book.take_changes();
        book.tick(until + grace - 1);
        assert!(book.outlines().all(|alert| alert.state == AlertState::Pending));
        assert_eq!(book.due(), Some(until + grace));
        while book.due() == Some(until + grace) {
            book.tick(until + grace);
            book.take_changes();
            book.rest();
        }
        assert_eq!(
            book.outlines()
                .filter(|alert| alert.state == AlertState::Firing)
                .count(),
            MANY
        );
    }

    #[test]
    fn older_alerts_of_a_group_are_found_behind_its_newest_also_within_one_part() {
        let now = T0 + 4 * MINUTE;
        let all: Vec<Read> = incidents().into_iter().map(as_read).collect();
        let oldest = all.last().unwrap().incident.clone();
        let at = all
            .iter()
            .position(|read| read.incident.alert.group_key == oldest.alert.group_key);
        let newest = all[at.unwrap()].clone();
        assert!(oldest.alert.fired_at.is_some() && newest.incident.alert.fired_at.is_none());
        let (before, mut last): (Vec<_>, Vec<_>) = all.into_iter().partition(|read| {
            let key = &read.incident.alert.group_key;
            *key != oldest.alert.group_key
        });
        // The two lie side by side, when most rest already.
        last.sort_by(|a, b| b.incident.alert.id.cmp(&a.incident.alert.id));
        let mut book = Book::new(Options::default(), "", stored(), now);
        book.take_up(before, now);
        book.take_up(last, now);
        book.taken_up(now);
        let slot = &book.groups[oldest.alert.group_key.as_str()];
        assert_eq!(slot.incident.alert.id, newest.incident.alert.id);
        assert_eq!(slot.before.as_ref().unwrap().alert.id, oldest.alert.id);
        assert_eq!((book.open, book.history().iter().len()), (MANY, 1));
    }

    #[test]
    fn alerts_without_a_rule_are_over_also_when_they_rest() {
        let mut book = Book::new(Options::default(), "", Stored::default(), T0);
        book.take_up(incidents().into_iter().map(as_read).collect(), T0 + 4 * MINUTE);
        assert!(book.groups.len() < MANY / 2);
        book.taken_up(T0 + 4 * MINUTE);
        assert_eq!(book.outlines().count(), 0);
    }
}
