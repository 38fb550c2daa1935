//! The groups of one rule or query over time: labels by number, bounded in how many there are.

use std::collections::{HashMap, HashSet};

use hashbrown::{HashTable, hash_table::Entry};
use serde::{Deserialize, Serialize};
use streamflow_proto::aggregate::push_lean;

use super::{
    grouping::{self, Key, hash, key},
    numbering::Labels,
};

/// What every label of the group of all surplus groups is.
pub(crate) const OTHER: &str = "other";

/// What alerting was last told of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// Nothing yet: it may have an open alert from before.
    Unknown,
    /// That the condition holds.
    Met,
    /// That it does not.
    Unmet,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) labels: Labels,
    pub(crate) standing: Standing,
    /// End of the newest window of which something was said.
    pub(crate) told_until: i64,
    /// Values of it that are in progress.
    cells: u32,
    /// Of a sliding window that is judged while it runs: its newest pane, and what its panes add up to so far.
    pub(crate) running: (i64, f64),
}

/// All groups; the numbers of dropped groups are used again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    /// Group of all surplus groups.
    other: Option<u32>,
    /// By the fingerprint of the labels.
    #[serde(skip)]
    index: HashTable<(Key, u32)>,
}

/// Puts a new group where there is room.
fn insert(slots: &mut Vec<Option<Group>>, free: &mut Vec<u32>, labels: Labels) -> u32 {
    let group = Group {
        labels,
        standing: Standing::Unknown,
        told_until: i64::MIN,
        cells: 0,
        running: (i64::MIN, 0.0),
    };
    if let Some(id) = free.pop() {
        slots[id as usize] = Some(group);
        return id;
    }
    push_lean(slots, Some(group));
    u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
}

impl Groups {
    /// The group with these labels; a new one while there are fewer than `cap`, else the group `other`. The second value says that it was surplus.
    pub(crate) fn intern(&mut self, fingerprint: u128, labels: impl FnOnce() -> Labels, cap: usize) -> (u32, bool) {
        let key = key(fingerprint);
        if self.index.len() >= cap {
            let known = self.index.find(hash(key), |one| one.0 == key).map(|one| one.1);
            return known.map_or_else(|| (self.other(labels().len()), true), |id| (id, false));
        }
        let id = match self.index.entry(hash(key), |one| one.0 == key, |one| hash(one.0)) {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(place) => {
                let id = insert(&mut self.slots, &mut self.free, labels());
                place.insert((key, id));
                id
            }
        };
        (id, false)
    }

    /// The group of all surplus groups.
    pub(crate) fn other(&mut self, labels: usize) -> u32 {
        if let Some(id) = self.other {
            return id;
        }
        let labels = Labels::new(std::iter::repeat_n(OTHER.to_owned(), labels));
        let id = insert(&mut self.slots, &mut self.free, labels);
        self.other = Some(id);
        id
    }

    /// Takes note that the group's alert is open, told of up to `told_until`.
    pub(crate) fn owe(&mut self, labels: &[&str], told_until: i64) {
        let surplus = !labels.is_empty() && labels.iter().all(|label| *label == OTHER);
        let id = if surplus {
            self.other(labels.len())
        } else {
            let each = || labels.iter().copied();
            let kept = || Labels::new(each().map(str::to_owned));
            self.intern(grouping::fingerprint(each()), kept, usize::MAX).0
        };
        if let Some(group) = self.get_mut(id) {
            group.standing = Standing::Met;
            group.told_until = group.told_until.max(told_until);
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Group> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Group> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// One more value of the group is in progress.
    pub(crate) fn hold(&mut self, id: u32) {
        if let Some(group) = self.get_mut(id) {
            group.cells += 1;
        }
    }

    /// One value of the group is in progress no more; [`Self::release`] it when nothing more will be said of it.
    pub(crate) fn let_go(&mut self, id: u32) {
        if let Some(group) = self.get_mut(id) {
            group.cells = group.cells.saturating_sub(1);
        }
    }

    /// How many groups are told apart.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The position among the labels that has the most different values, and how many it has: what made the groups so many.
    pub(crate) fn most_varied(&self) -> Option<(usize, usize)> {
        let mut seen: Vec<HashSet<&str, foldhash::fast::RandomState>> = Vec::new();
        for group in self.slots.iter().flatten() {
            seen.resize_with(seen.len().max(group.labels.len()), HashSet::default);
            for (values, label) in seen.iter_mut().zip(group.labels.iter()) {
                values.insert(label);
            }
        }
        let sizes = seen.iter().map(HashSet::len).enumerate();
        sizes.reduce(|most, next| if next.1 > most.1 { next } else { most })
    }

    /// The labels of a group; none when there is no such group.
    pub(crate) fn labels(&self, id: u32) -> &[String] {
        self.get(id).map_or(&[], |group| &group.labels[..])
    }

    /// Groups of whose alert alerting may hold open, in the order of their numbers.
    pub(crate) fn met(&self) -> Vec<u32> {
        let ids = self
            .slots
            .iter()
            .zip(0..)
            .filter(|(slot, _)| slot.as_ref().is_some_and(|group| group.standing == Standing::Met));
        ids.map(|(_, id)| id).collect()
    }

    /// Forgets a group that holds nothing and is owed nothing.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(group) = self.get(id) else { return };
        if group.cells > 0 || group.standing == Standing::Met {
            return;
        }
        if self.other == Some(id) {
            self.other = None;
        } else {
            let key = key(group.fingerprint());
            if let Ok(known) = self.index.find_entry(hash(key), |one| one.0 == key) {
                known.remove();
            }
        }
        self.slots[id as usize] = None;
        self.free.push(id);
    }

    /// Builds the index of groups that were read from a checkpoint. Labels that several rules have are kept once, in `known`.
    pub(crate) fn reindex(&mut self, known: &mut HashMap<u128, Labels, foldhash::fast::RandomState>) {
        for group in self.slots.iter_mut().flatten() {
            group.labels = known
                .entry(group.fingerprint())
                .or_insert_with(|| group.labels.clone())
                .clone();
        }
        let named = self.slots.iter().zip(0..).filter(|(_, id)| self.other != Some(*id));
        for (slot, id) in named {
            if let Some(group) = slot {
                let key = key(group.fingerprint());
                self.index.insert_unique(hash(key), (key, id), |one| hash(one.0));
            }
        }
    }
}

impl Group {
    fn fingerprint(&self) -> u128 {
        grouping::fingerprint(self.labels.iter().map(String::as_str))
    }
}
