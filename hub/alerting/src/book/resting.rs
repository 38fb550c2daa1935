//! Incidents that nobody has touched for a while rest, packed; whoever touches one warms it first.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use streamflow_model::{Alert, AlertState, Level, rule::SELF};

use super::{Book, Slot};
use crate::{handle::Shown, id::AlertId, incident::Incident, packed::Packed};

/// Up to so many incidents memory is no concern, and all of them stay at hand however long nobody touches them.
const FEW: usize = 4096;
/// Of more, so many stay at hand.
const WARM: usize = 512;
/// Incidents that are packed at once, so that nothing waits long behind it.
const AT_ONCE: usize = 1024;
/// Between names and values of labels.
const SEPARATOR: char = '\u{1f}';

/// An incident at rest, and what is asked of all incidents again and again.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) packed: Arc<Packed>,
    pub(super) due: Option<i64>,
    fired_at: Option<i64>,
    labels: Box<str>,
    state: AlertState,
    level: Level,
    pub(super) muted: bool,
    pub(super) follows_policy: bool,
    acknowledged: bool,
}

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

impl Cold {
    /// `None` for labels that cannot be kept like this.
    fn of(slot: &Slot, packed: Packed) -> Option<Self> {
        let incident = &slot.incident;
        let alert = &incident.alert;
        let labels: Vec<&str> = alert
            .labels
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()])
            .collect();
        if labels.iter().any(|text| text.contains(SEPARATOR)) {
            return None;
        }
        Some(Self {
            packed: Arc::new(packed),
            due: slot.due,
            fired_at: alert.fired_at.map(|at| at.0),
            state: alert.state,
            muted: !alert.muted_by.is_empty(),
            follows_policy: incident.policy().is_some(),
            acknowledged: alert.acknowledged_at.is_some(),
            level: alert.level,
            labels: labels.join(&SEPARATOR.to_string()).into(),
        })
    }

    /// Whether it goes on.
    pub(super) fn is_open(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Whether it has ever fired.
    pub(super) const fn fired(&self) -> bool {
        self.fired_at.is_some()
    }

    /// The alert's labels.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut texts = self.labels.split(SEPARATOR).map(str::to_owned);
        let mut labels = BTreeMap::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            labels.insert(name, value);
        }
        labels
    }
}

/// The newest incident of a group, which may rest.
pub(super) fn look<'a>(
    warm: &'a HashMap<Arc<str>, Box<Slot>>,
    cold: &'a HashMap<Arc<str>, Cold>,
    key: &str,
) -> Option<Cow<'a, Incident>> {
    if let Some(slot) = warm.get(key) {
        return Some(Cow::Borrowed(&slot.incident));
    }
    cold.get(key)?.packed.incident().map(Cow::Owned)
}

impl Book {
    /// An incident that rests is at hand again.
    pub(super) fn warm(&mut self, key: &str) {
        let Some((key, cold)) = self.cold.remove_entry(key) else {
            return;
        };
        if let Some(incident) = cold.packed.incident() {
            let slot = Slot {
                incident,
                due: cold.due,
                before: None,
            };
            self.groups.insert(key, Box::new(slot));
        }
    }

    /// The incident with this id is at hand.
    pub(crate) fn warm_id(&mut self, id: &str) {
        if let Some(key) = self.ids.get(&AlertId::of(id)).cloned() {
            self.warm(&key);
        }
    }

    /// An incident that is the newest of its group, which may rest.
    pub(super) fn look_id(&self, id: AlertId) -> Option<Cow<'_, Incident>> {
        let incident = self.ids.get(&id).and_then(|key| look(&self.groups, &self.cold, key));
        incident.filter(|incident| AlertId::of(&incident.alert.id) == id)
    }

    /// What a group asks about an alert.
    pub(super) fn brief(&self, id: AlertId) -> Option<Brief> {
        let key = self.ids.get(&id)?;
        if let Some(cold) = self.cold.get(key) {
            return Some(Brief {
                muted: cold.muted,
                acknowledged: cold.acknowledged,
                level: cold.level,
            });
        }
        let incident = self.incident(key);
        let incident = incident.filter(|incident| AlertId::of(&incident.alert.id) == id);
        incident.map(|incident| Brief {
            muted: !incident.alert.muted_by.is_empty(),
            acknowledged: incident.alert.acknowledged_at.is_some(),
            level: incident.alert.level,
        })
    }

    /// Keys of incidents that rest and of which this holds.
    pub(super) fn resting(&self, is: impl Fn(&str, &Cold) -> bool) -> Vec<Arc<str>> {
        let meant = self.cold.iter().filter(|(key, cold)| is(key, cold));
        meant.map(|(key, _)| key.clone()).collect()
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
        let cold = self
            .cold
            .values()
            .filter(|cold| cold.is_open() && meant(&cold.labels()));
        warm.chain(cold.filter_map(|cold| cold.packed.read().map(Cow::Owned)))
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
        let cold = self.cold.iter().filter(|(_, cold)| cold.is_open());
        let cold = cold.map(|(key, cold)| Outline {
            state: cold.state,
            level: cold.level,
            rule_id: key.split('{').next().unwrap_or_default(),
            rule_name: Cow::Owned(cold.labels().remove("alertname").unwrap_or_default()),
            fired_at: cold.fired_at,
        });
        warm.chain(cold)
    }

    /// All alerts that are not over, as everybody may see them; those that rest stay packed.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (AlertId, Shown)> {
        let warm = self.groups.values().filter(|slot| slot.incident.is_open());
        let warm = warm.map(|slot| {
            let alert = Arc::new(slot.incident.alert.clone());
            (AlertId::of(&alert.id), Shown::Plain(alert))
        });
        let cold = self.ids.iter().filter_map(|(id, key)| {
            let cold = self.cold.get(key).filter(|cold| cold.is_open())?;
            let shown = if key.starts_with(SELF) {
                // The hub asks for those by which it tells of itself every few seconds.
                Shown::Plain(Arc::new(cold.packed.read()?))
            } else {
                Shown::Packed(cold.state, Arc::clone(&cold.packed))
            };
            Some((*id, shown))
        });
        warm.chain(cold)
    }

    /// Whether [`Self::rest`] has more to do.
    pub(crate) const fn is_tired(&self) -> bool {
        self.tired
    }

    /// Lets some incidents rest, when there are many. What has changed since [`Self::take_changes`] must not be asked for before
    /// the next change. Answers the open alerts among them, by id.
    pub(crate) fn rest(&mut self) -> Vec<(AlertId, Arc<Packed>)> {
        let many = self.groups.len() + self.cold.len() > FEW;
        let surplus = if many {
            self.groups.len().saturating_sub(WARM)
        } else {
            0
        };
        let mut resting = Vec::new();
        self.tired = false;
        if surplus == 0 {
            return resting;
        }
        // Those that other groups and moments still hold on to stay.
        let calm = self.groups.iter().filter(|(_, slot)| slot.before.is_none());
        let keys: Vec<Arc<str>> = calm.take(surplus.min(AT_ONCE)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some((id, cold)) = self.groups.get(&key).and_then(|slot| {
                let cold = Cold::of(slot, self.packer.pack(&slot.incident)?)?;
                Some((AlertId::of(&slot.incident.alert.id), cold))
            }) else {
                continue;
            };
            self.groups.remove(&key);
            self.tired = surplus > AT_ONCE;
            if cold.is_open() {
                resting.push((id, Arc::clone(&cold.packed)));
            }
            self.cold.insert(key, cold);
        }
        // A table that has held everything is large.
        if self.groups.capacity() > 8 * FEW && self.groups.len() <= FEW {
            self.groups.shrink_to(2 * FEW);
        }
        resting
    }

    /// Lets everything rest that can.
    #[cfg(test)]
    pub(crate) fn rest_all(&mut self) {
        let keys: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for key in keys {
            if let Some(slot) = self.groups.get(&key).filter(|slot| slot.before.is_none()) {
                let cold = Cold::of(slot, self.packer.pack(&slot.incident).unwrap()).unwrap();
                self.groups.remove(&key);
                self.cold.insert(key, cold);
            }
        }
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
        assert_eq!((resting, book.groups.len()), (MANY - WARM, WARM));
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
