//! Numbers of groups that hold over batches, the same for all rules that group by the same attributes: what a rule knows of a group is found by its number, without
//! a search, and labels are kept once for all rules. Nothing of it is saved: it only says faster what the groups' labels say.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hashbrown::{HashTable, hash_table::Entry};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    grouping::{self, Key},
    table::Table,
};

/// Groups that are numbered; beyond that numbering begins anew.
const MOST: usize = 1 << 20;

/// Tells numberings apart; 0 is none.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// The labels of a group, shared by the rules that have it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels(Arc<[String]>);

impl Labels {
    pub(crate) fn new(labels: impl Iterator<Item = String>) -> Self {
        Self(labels.collect())
    }
}

impl Deref for Labels {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::<String>::deserialize(deserializer)?.into()))
    }
}

/// The numbers of all groups by one list of attributes.
#[derive(Debug)]
pub(crate) struct Numbering {
    epoch: u64,
    /// By the fingerprint of the labels, which is a hash already.
    numbers: HashTable<(Key, u32)>,
    labels: Vec<Labels>,
}

impl Numbering {
    pub(crate) fn new() -> Self {
        Self {
            epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
            numbers: HashTable::new(),
            labels: Vec::new(),
        }
    }

    /// Tells it from others, and from what it was before it began anew.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Makes sure that so many groups can be numbered, if need be by beginning anew.
    pub(crate) fn make_room(&mut self, groups: usize) {
        if self.labels.len().saturating_add(groups) > MOST {
            *self = Self::new();
        }
    }

    /// The number of the group with this fingerprint.
    pub(crate) fn number(&mut self, fingerprint: u128, labels: impl FnOnce() -> Labels) -> u32 {
        let (key, hash) = (grouping::key(fingerprint), grouping::hash);
        match self.numbers.entry(hash(key), |one| one.0 == key, |one| hash(one.0)) {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(place) => {
                let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
                place.insert((key, next));
                self.labels.push(labels());
                next
            }
        }
    }

    /// The labels of the group with this number.
    pub(crate) fn labels(&self, number: u32) -> Option<&Labels> {
        self.labels.get(number as usize)
    }
}

/// Slots of the panes that were used last, by the groups' numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    epoch: u64,
    panes: Vec<(i64, Table)>,
}

/// Panes that are remembered: the one under way, and its neighbour.
const PANES: usize = 2;

impl Recent {
    /// Numbers are of this numbering from now on; what is known by another is forgotten.
    pub(crate) fn begin(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.panes.clear();
        }
    }

    /// What is known of a pane; for a new one the oldest is forgotten.
    pub(crate) fn pane(&mut self, start: i64) -> &mut Table {
        let place = match self.panes.iter().position(|(pane, _)| *pane == start) {
            Some(place) => place,
            None => {
                if self.panes.len() >= PANES
                    && let Some(oldest) = (0..self.panes.len()).min_by_key(|place| self.panes[*place].0)
                {
                    self.panes.swap_remove(oldest);
                }
                self.panes.push((start, Table::default()));
                self.panes.len() - 1
            }
        };
        &mut self.panes[place].1
    }

    /// The pane is gone, and its slots with it.
    pub(crate) fn forget(&mut self, start: i64) {
        self.panes.retain(|(pane, _)| *pane != start);
    }
}

/// Makes a list at least so long without taking much more memory than is needed: there are as many of these lists as there are rules.
pub(crate) fn fill_lean<T: Clone>(list: &mut Vec<T>, len: usize, item: T) {
    if list.len() >= len {
        return;
    }
    if list.capacity() < len {
        list.reserve_exact((len - list.len()).max(list.len() / 4));
    }
    list.resize(len, item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hold_over_batches_and_slots_as_long_as_their_pane() {
        let mut numbering = Numbering::new();
        let labels = |text: &str| Labels::new([text.to_owned()].into_iter());
        assert_eq!(
            [10, 20].map(|print| numbering.number(print, || labels("first"))),
            [0, 1]
        );
        assert_eq!(
            [30, 20].map(|print| numbering.number(print, || labels("second"))),
            [2, 1]
        );
        assert_eq!(
            [1, 2].map(|number| &*numbering.labels(number).unwrap()[0]),
            ["first", "second"]
        );
        assert!(numbering.labels(3).is_none());

        let mut recent = Recent::default();
        recent.begin(numbering.epoch());
        recent.pane(0).insert(1, 7);
        recent.pane(60).insert(1, 8);
        assert_eq!(
            (recent.pane(0).get(1), recent.pane(60).get(1), recent.pane(60).get(0)),
            (Some(7), Some(8), None)
        );
        recent.pane(120).insert(5, 9);
        assert_eq!((recent.pane(120).get(5), recent.pane(60).get(1)), (Some(9), Some(8)));
        recent.forget(60);
        assert_eq!(recent.pane(60).get(1), None);
        let before = numbering.epoch();
        numbering.make_room(10);
        assert_eq!(numbering.epoch(), before);
        numbering.make_room(MOST);
        recent.begin(numbering.epoch());
        assert_eq!(recent.pane(120).get(5), None, "by another numbering");
    }
}
