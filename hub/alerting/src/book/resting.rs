//! Incidents that nobody has touched for a while rest, packed; whoever touches one warms it first.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use streamflow_model::{Alert, AlertState, Level, rule::SELF};

use super::{Book, Slot, cold::Cold};
use crate::{handle::Shown, id::AlertId, incident::Incident, packed::Packed};

/// Up to so many incidents memory is no concern, and all of them stay at hand however long nobody touches them.
const FEW: usize = 4096;
/// Of more, incidents that are packed at once, so that nothing waits long behind it.
const AT_ONCE: usize = 1024;
/// Fewer at hand are not worth a shelf.
const TOO_FEW: usize = 128;

/// What totals ask about an open alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline<'a> {
    /// Where it stands.
    pub(crate) state: AlertState,
    /// Severity.
    pub(crate) level: Level,
    /// Its rule.
    pub(crate) rule_id: &'a str,
    /// Its rule's name.
    pub(crate) rule_name: Cow<'a, str>,
    /// When it began to fire, ms.
    pub(crate) fired_at: Option<i64>,
}

/// What a group asks about an alert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brief {
    pub(super) muted: bool,
    pub(super) acknowledged: bool,
    pub(super) level: Level,
}

/// The newest incident of a group, which may rest.
fn look<'a>(warm: &'a HashMap<Arc<str>, Box<Slot>>, cold: &'a Cold, key: &str) -> Option<Cow<'a, Incident>> {
    if let Some(slot) = warm.get(key) {
        return Some(Cow::Borrowed(&slot.incident));
    }
    cold.get(key)?.incident().map(Cow::Owned)
}

impl Book {
    /// An incident that rests is at hand again.
    pub(super) fn warm(&mut self, key: &str) {
        let Some(packed) = self.cold.remove(key) else { return };
        if let Some(incident) = packed.incident() {
            let slot = Slot {
                incident,
                due: packed.due(),
                before: None,
            };
            let key: Arc<str> = key.into();
            self.ids.insert(*packed.id(), Arc::clone(&key));
            self.groups.insert(key, Box::new(slot));
        }
    }

    /// Key of the group whose newest incident this is.
    pub(super) fn key_of(&self, id: AlertId) -> Option<Arc<str>> {
        let rests = || self.cold.by_id(id).map(|packed| packed.key().into());
        self.ids.get(&id).cloned().or_else(rests)
    }

    /// The incident with this id is at hand.
    pub(crate) fn warm_id(&mut self, id: &str) {
        if let Some(packed) = self.cold.by_id(AlertId::of(id)) {
            self.warm(&packed.key());
        }
    }

    /// An incident that is the newest of its group, which may rest.
    pub(super) fn look_id(&self, id: AlertId) -> Option<Cow<'_, Incident>> {
        let incident = match self.cold.by_id(id) {
            Some(packed) => packed.incident().map(Cow::Owned),
            None => self.ids.get(&id).and_then(|key| look(&self.groups, &self.cold, key)),
        };
        incident.filter(|incident| AlertId::of(&incident.alert.id) == id)
    }

    /// What a group asks about an alert.
    pub(super) fn brief(&self, id: AlertId) -> Option<Brief> {
        if let Some(packed) = self.cold.by_id(id) {
            return Some(Brief {
                muted: packed.is_muted(),
                acknowledged: packed.is_acknowledged(),
                level: packed.level(),
            });
        }
        let incident = self.incident(self.ids.get(&id)?);
        let incident = incident.filter(|incident| AlertId::of(&incident.alert.id) == id);
        incident.map(|incident| Brief {
            muted: !incident.alert.muted_by.is_empty(),
            acknowledged: incident.alert.acknowledged_at.is_some(),
            level: incident.alert.level,
        })
    }

    /// Keys of incidents that rest and of which this holds.
    pub(super) fn resting(&self, is: impl Fn(&Packed) -> bool) -> Vec<Arc<str>> {
        let meant = self.cold.iter().filter(|packed| is(packed));
        meant.map(|packed| packed.key().into()).collect()
    }

    /// Alerts that are not over.
    #[cfg(test)]
    pub(crate) fn open_alerts(&self) -> impl Iterator<Item = Cow<'_, Alert>> {
        self.open_with(|_| true).into_iter()
    }

    /// Alerts that are not over and whose labels are meant: the others need not be unpacked.
    pub(crate) fn open_with(&self, meant: impl Fn(&BTreeMap<String, String>) -> bool) -> Vec<Cow<'_, Alert>> {
        let warm = self.groups.values().map(|slot| &slot.incident);
        let warm = warm.filter(|incident| incident.is_open() && meant(&incident.alert.labels));
        let warm = warm.map(|incident| Cow::Borrowed(&incident.alert));
        let cold = self.cold.iter();
        let cold = cold.filter(|packed| packed.is_open() && meant(&packed.labels()));
        warm.chain(cold.filter_map(|packed| packed.read().map(Cow::Owned)))
            .collect()
    }

    /// What totals ask about alerts that are not over.
    pub(crate) fn outlines(&self) -> impl Iterator<Item = Outline<'_>> {
        let warm = self.groups.values().map(|slot| &slot.incident);
        let warm = warm.filter(|incident| incident.is_open()).map(|incident| Outline {
            state: incident.alert.state,
            level: incident.alert.level,
            rule_id: &incident.alert.rule_id,
            rule_name: Cow::Borrowed(&incident.alert.rule_name),
            fired_at: incident.alert.fired_at.map(|at| at.0),
        });
        let cold = self.cold.iter().filter(|packed| packed.is_open());
        let cold = cold.map(|packed| Outline {
            state: packed.state(),
            level: packed.level(),
            rule_id: packed.rule_id(),
            rule_name: Cow::Owned(packed.labels().remove("alertname").unwrap_or_default()),
            fired_at: packed.fired_at(),
        });
        warm.chain(cold)
    }

    /// All alerts that are not over, as everybody may see them; those that rest stay packed.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Shown> {
        let warm = self.groups.values().filter(|slot| slot.incident.is_open());
        let warm = warm.map(|slot| Shown::plain(Arc::new(slot.incident.alert.clone())));
        let cold = self.cold.iter().filter(|packed| packed.is_open());
        let cold = cold.filter_map(|packed| {
            if packed.rule_id().starts_with(SELF) {
                // The hub asks for those by which it tells of itself every few seconds.
                return packed.read().map(|alert| Shown::plain(Arc::new(alert)));
            }
            Some(Shown::Packed(packed.clone()))
        });
        warm.chain(cold)
    }

    /// Whether [`Self::rest`] has more to do.
    pub(crate) const fn is_tired(&self) -> bool {
        self.tired
    }

    /// Whether there are so many that most of them rest.
    pub(super) fn many(&self) -> bool {
        self.groups.len() + self.cold.len() > FEW
    }

    /// Lets some incidents rest, when there are many. What has changed since [`Self::take_changes`] must not be asked for before
    /// the next change. Answers the open alerts that rest now, or rest in another place.
    pub(crate) fn rest(&mut self) -> Vec<Packed> {
        self.tired = false;
        let mut resting = if self.many() && self.groups.len() >= TOO_FEW {
            self.lay_some_down()
        } else {
            Vec::new()
        };
        resting.extend(self.cold.close_gaps(&mut self.packer));
        resting.retain(Packed::is_open);
        resting
    }

    fn lay_some_down(&mut self) -> Vec<Packed> {
        // Those that other groups and moments still hold on to stay.
        let calm = self.groups.iter().filter(|(_, slot)| slot.before.is_none());
        let keys = calm.take(AT_ONCE).map(|(key, _)| key.clone());
        let resting = self.lay_down(keys.collect());
        self.tired = resting.len() == AT_ONCE && self.groups.len() >= TOO_FEW;
        // A table that has held everything is large.
        if self.groups.capacity() > 8 * FEW && self.groups.len() <= FEW {
            self.groups.shrink_to(2 * FEW);
            self.ids.shrink_to(2 * FEW);
        }
        resting
    }

    /// Packs these, and puts them in the place of what is at hand.
    fn lay_down(&mut self, mut keys: Vec<Arc<str>>) -> Vec<Packed> {
        keys.retain(|key| {
            let slot = self.groups.get(key);
            slot.is_some_and(|slot| self.packer.pack(&slot.incident, slot.due).is_some())
        });
        let resting = self.packer.shelve();
        for (key, packed) in keys.iter().zip(&resting) {
            self.groups.remove(key);
            self.ids.remove(packed.id());
            self.cold.insert(packed.clone());
        }
        resting
    }

    /// Takes a stored incident up that is the only one of its group, and packs it at once; `document` is what it was read from. It is to be found after
    /// [`Self::shelve_packed`]. Answers whether it could be packed.
    pub(super) fn take_up_packed(&mut self, incident: &Incident, document: Option<&str>) -> bool {
        let terms = self.register.terms(&self.options, &incident.alert.rule_id);
        let due = terms
            .filter(|_| incident.is_open())
            .and_then(|terms| incident.due(&terms));
        let packed = match document {
            Some(document) => self.packer.pack_document(incident, due, document.as_bytes()),
            None => self.packer.pack(incident, due),
        };
        if packed.is_none() {
            return false;
        }
        self.open += usize::from(incident.is_open());
        self.timers
            .extend(due.map(|due| (due, AlertId::of(&incident.alert.id))));
        self.note_new_source(incident);
        true
    }

    /// Puts down what was packed as it was taken up.
    pub(super) fn shelve_packed(&mut self) {
        let packed = self.packer.shelve();
        packed.into_iter().for_each(|packed| self.cold.insert(packed));
    }

    /// Lets everything rest that can.
    #[cfg(test)]
    pub(crate) fn rest_all(&mut self) {
        let calm = self.groups.iter().filter(|(_, slot)| slot.before.is_none());
        let keys: Vec<Arc<str>> = calm.map(|(key, _)| key.clone()).collect();
        let calm = keys.len();
        assert_eq!(self.lay_down(keys).len(), calm);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_model::Signal;

    use super::*;
    use crate::sample::{self, MINUTE, T0, book, rule, signal};

    const MANY: usize = 6000;

    fn signals(window: i64, value: f64) -> Vec<Signal> {
        let of = |n: usize| {
            let mut signal = signal(window, value);
            signal.labels.insert("source".to_owned(), format!("web-{n}"));
            signal
        };
        (0..MANY).map(of).collect()
    }

    fn routed() -> Book {
        let draft = json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1m"}});
        let (routing, compiled) = sample::routing(draft);
        let mut book = book(vec![rule(json!({"channels": []}))]);
        book.set_routing(routing, compiled, T0);
        book
    }

    #[test]
    fn a_large_group_is_told_of_at_once_and_noted_in_parts_and_most_of_it_rests() {
        let mut book = routed();
        book.signals(&signals(0, 60.0), T0);
        let changes = book.take_changes();
        let [told] = changes.outgoing.as_slice() else {
            panic!("{}", changes.outgoing.len());
        };
        assert!(told.notice.title.starts_with("6000 firing"), "{}", told.notice.title);
        assert!(told.notice.body.ends_with("and 5980 more"), "{}", told.notice.body);
        assert_eq!((told.notice.members.len(), told.notice.omitted), (500, 5500));
        assert_eq!(book.due(), Some(T0), "the rest is noted at once");
        assert_eq!(changes.written.len(), MANY, "all of them have begun to fire");
        let mut noted = 1000;
        while book.due() == Some(T0) {
            book.tick(T0);
            let changes = book.take_changes();
            assert_eq!((changes.outgoing.len(), changes.written.len()), (0, 1000));
            noted += changes.written.len();
        }
        assert_eq!(noted, MANY);

        let mut resting = 0;
        loop {
            resting += book.rest().len();
            if !book.is_tired() {
                break;
            }
        }
        assert_eq!((resting, book.groups.len()), (MANY, 0));
        assert_eq!(book.open_alerts().count(), MANY);

        book.signals(&signals(1, 1.0), T0 + MINUTE);
        book.tick(T0 + MINUTE);
        let changes = book.take_changes();
        assert!(
            changes.outgoing[0].notice.title.starts_with("6000 resolved"),
            "{}",
            changes.outgoing[0].notice.title
        );
        assert_eq!(book.open_alerts().count(), 0);
    }
}
