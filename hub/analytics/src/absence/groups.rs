//! The groups of one rule: when each was last heard, and through whom. Bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use streamflow_model::Instant;

use crate::engine::grouping::fingerprint;

/// Hosts remembered of a group, those that brought its events last.
const MAX_HOSTS: usize = 8;

/// What is known of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Heard from within the time allowed.
    Present,
    /// Silent for too long, as its hosts confirm.
    Absent,
    /// Not heard from, but its hosts are cut off or behind.
    Unknown,
}

/// A group that is not heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SilentGroup {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is absent, or nobody knows.
    pub presence: Presence,
    /// Time of its newest event; none when it was never heard.
    pub last_event: Option<Instant>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) labels: Vec<String>,
    /// Time of its newest event, or when waiting for it began.
    pub(crate) last: i64,
    /// When its newest event was stored, or when waiting for it began, wall clock ms.
    pub(crate) stored_at: i64,
    /// It was ever heard.
    pub(crate) heard: bool,
    /// Hosts that brought its events, with when the last was stored.
    hosts: Vec<(String, i64)>,
    pub(crate) presence: Presence,
    /// Alerting holds an alert open, as far as is known here.
    pub(crate) met: bool,
    /// End of what alerting was last told of, and how often that was.
    pub(crate) told: (i64, u32),
    wake: Option<i64>,
}

/// All groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    /// Groups that were forgotten for want of room, ever.
    pub(crate) evicted: u64,
    #[serde(skip)]
    derived: Derived,
}

/// What follows from the groups, rebuilt after a restart.
#[derive(Debug, Clone, Default)]
struct Derived {
    index: HashMap<u128, u32, foldhash::fast::RandomState>,
    /// Groups whose time is not over yet, by its end.
    timers: BTreeSet<(i64, u32)>,
    /// Groups whose time is over.
    overdue: BTreeSet<u32>,
    recency: BTreeSet<(i64, u32)>,
}

impl Group {
    /// Takes note of events that a host has brought.
    pub(crate) fn hear(&mut self, host: &str, newest: i64, stored_at: i64, silent_for: i64) {
        if self.heard {
            self.last = self.last.max(newest);
        } else {
            self.last = newest;
        }
        self.heard = true;
        self.stored_at = self.stored_at.max(stored_at);
        match self.hosts.iter_mut().find(|(known, _)| known == host) {
            Some((_, at)) => *at = stored_at.max(*at),
            None => self.hosts.push((host.to_owned(), stored_at)),
        }
        // A host that has long handed the group over to another is not waited for.
        let oldest = self.stored_at.saturating_sub(silent_for);
        self.hosts.retain(|(_, at)| *at >= oldest);
        if self.hosts.len() > MAX_HOSTS {
            self.hosts.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
            self.hosts.truncate(MAX_HOSTS);
        }
    }

    /// Hosts that lately brought its events.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|(host, _)| host.as_str())
    }

    fn fingerprint(&self) -> u128 {
        fingerprint(self.labels.iter().map(String::as_str))
    }
}

impl Groups {
    /// Rebuilds what is not in a checkpoint.
    pub(crate) fn reindex(&mut self) {
        let mut derived = Derived::default();
        for (slot, id) in self.slots.iter().zip(0..) {
            let Some(group) = slot else { continue };
            derived.index.insert(group.fingerprint(), id);
            derived.recency.insert((group.last, id));
            match group.wake {
                Some(at) => drop(derived.timers.insert((at, id))),
                None => drop(derived.overdue.insert(id)),
            }
        }
        self.derived = derived;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Group> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Group> {
        self.slots.iter().flatten()
    }

    /// The group with these labels, made when there is none. At the bound the one that has been silent for longest, and of which alerting awaits no word, is
    /// forgotten; `None` when there is no such group.
    pub(crate) fn intern<'a>(
        &mut self,
        labels: impl Iterator<Item = &'a str> + Clone,
        (last, stored_at): (i64, i64),
        cap: usize,
    ) -> Option<u32> {
        let hash = fingerprint(labels.clone());
        if let Some(id) = self.derived.index.get(&hash) {
            return Some(*id);
        }
        while self.len() >= cap {
            let mut oldest = self.derived.recency.iter().map(|(_, id)| *id);
            let oldest = oldest.find(|id| self.get(*id).is_some_and(|group| !group.met))?;
            self.remove(oldest);
            self.evicted += 1;
        }
        let group = Group {
            labels: labels.map(str::to_owned).collect(),
            last,
            stored_at,
            heard: false,
            hosts: Vec::new(),
            presence: Presence::Present,
            met: false,
            told: (i64::MIN, 0),
            wake: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(group);
                id
            }
            None => {
                self.slots.push(Some(group));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.derived.index.insert(hash, id);
        self.derived.recency.insert((last, id));
        self.derived.overdue.insert(id);
        Some(id)
    }

    /// Changes a group and sets when its time will be over; `None` when it is over.
    pub(crate) fn change<T>(&mut self, id: u32, change: impl FnOnce(&mut Group) -> (T, Option<i64>)) -> Option<T> {
        let group = self.slots.get_mut(id as usize)?.as_mut()?;
        let derived = &mut self.derived;
        derived.recency.remove(&(group.last, id));
        if let Some(at) = group.wake {
            derived.timers.remove(&(at, id));
        }
        let (answer, wake) = change(group);
        group.wake = wake;
        derived.recency.insert((group.last, id));
        match wake {
            Some(at) => {
                derived.timers.insert((at, id));
                derived.overdue.remove(&id);
            }
            None => drop(derived.overdue.insert(id)),
        }
        Some(answer)
    }

    /// Changes what does not move its time.
    pub(crate) fn update<T>(&mut self, id: u32, change: impl FnOnce(&mut Group) -> T) -> Option<T> {
        self.slots.get_mut(id as usize)?.as_mut().map(change)
    }

    /// Groups whose time is over, in the order in which it was: those that became so before `until`, and all from before.
    pub(crate) fn overdue(&mut self, until: i64, all: bool) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.derived.timers.first().copied().filter(|(at, _)| *at < until) {
            self.derived.timers.remove(&(at, id));
            if let Some(group) = self.slots.get_mut(id as usize).and_then(Option::as_mut) {
                group.wake = None;
            }
            due.push(id);
        }
        if all {
            let before = self.derived.overdue.iter().copied();
            due.extend(before.collect::<Vec<u32>>());
            due.sort_unstable_by_key(|id| (self.get(*id).map(|group| group.last), *id));
        }
        self.derived.overdue.extend(&due);
        due
    }

    pub(crate) fn remove(&mut self, id: u32) {
        let Some(group) = self.slots.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        let derived = &mut self.derived;
        derived.index.remove(&group.fingerprint());
        derived.recency.remove(&(group.last, id));
        derived.overdue.remove(&id);
        if let Some(at) = group.wake {
            derived.timers.remove(&(at, id));
        }
        self.free.push(id);
    }
}
