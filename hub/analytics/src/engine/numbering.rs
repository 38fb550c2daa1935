//! Numbers of groups that hold over batches, the same for all rules that group by the same attributes: what a rule knows of a group is found by its number, without
//! a search, and labels are kept once for all rules. Nothing of it is saved: it only says faster what the groups' labels say.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    numbers: HashMap<u128, u32, foldhash::fast::RandomState>,
    labels: Vec<Labels>,
}

/// The numbers of one batch's groups.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// They are of this numbering.
    pub(crate) epoch: u64,
    /// By the group's number within the batch.
    of: Vec<(u32, Labels)>,
}

impl Numbering {
    pub(crate) fn new() -> Self {
        Self {
            epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
            numbers: HashMap::default(),
            labels: Vec::new(),
        }
    }

    /// Numbers the groups with these fingerprints.
    pub(crate) fn of(&mut self, fingerprints: &[u128], labels: impl Fn(usize) -> Labels) -> Numbers {
        if self.labels.len().saturating_add(fingerprints.len()) > MOST {
            *self = Self::new();
        }
        let of = fingerprints.iter().enumerate().map(|(group, fingerprint)| {
            let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(*fingerprint).or_insert(next);
            if number == next {
                self.labels.push(labels(group));
            }
            (number, self.labels[number as usize].clone())
        });
        Numbers {
            of: of.collect(),
            epoch: self.epoch,
        }
    }
}

impl Numbers {
    /// The number of a group of the batch.
    pub(crate) fn number(&self, group: usize) -> u32 {
        self.of[group].0
    }

    /// Its labels.
    pub(crate) fn labels(&self, group: usize) -> &Labels {
        &self.of[group].1
    }
}

/// Slots of the panes that were used last, by the groups' numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    epoch: u64,
    panes: Vec<(i64, Vec<u32>)>,
}

/// No slot is known.
const NONE: u32 = u32::MAX;
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

    /// The slot of a group in a pane, if it is known.
    pub(crate) fn find(&self, start: i64, number: u32) -> Option<u32> {
        let (_, slots) = self.panes.iter().find(|(pane, _)| *pane == start)?;
        slots.get(number as usize).copied().filter(|slot| *slot != NONE)
    }

    /// Takes note of one.
    pub(crate) fn note(&mut self, start: i64, number: u32, slot: u32) {
        let place = match self.panes.iter().position(|(pane, _)| *pane == start) {
            Some(place) => place,
            None => {
                if self.panes.len() >= PANES
                    && let Some(oldest) = (0..self.panes.len()).min_by_key(|place| self.panes[*place].0)
                {
                    self.panes.swap_remove(oldest);
                }
                self.panes.push((start, Vec::new()));
                self.panes.len() - 1
            }
        };
        let slots = &mut self.panes[place].1;
        fill_lean(slots, number as usize + 1, NONE);
        slots[number as usize] = slot;
    }

    /// The pane is gone, and its slots with it.
    pub(crate) fn forget(&mut self, start: i64) {
        self.panes.retain(|(pane, _)| *pane != start);
    }
}

/// Appends without taking much more memory than is needed: there are as many of these lists as there are rules.
pub(crate) fn push_lean<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(8));
    }
    list.push(item);
}

/// Makes a list at least so long, in the same way.
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
        let labels = |group: usize| Labels::new([format!("g{group}")].into_iter());
        let first = numbering.of(&[10, 20], labels);
        let second = numbering.of(&[30, 20], |group| labels(group + 10));
        assert_eq!((first.number(1), second.number(1)), (1, 1));
        assert_eq!((second.number(0), &*second.labels(0)[0]), (2, "g10"));
        assert_eq!(&*second.labels(1)[0], "g1");

        let mut recent = Recent::default();
        recent.begin(first.epoch);
        recent.note(0, 1, 7);
        recent.note(60, 1, 8);
        assert_eq!(
            (recent.find(0, 1), recent.find(60, 1), recent.find(60, 0)),
            (Some(7), Some(8), None)
        );
        recent.note(120, 5, 9);
        assert_eq!((recent.find(0, 1), recent.find(120, 5)), (None, Some(9)));
        recent.forget(60);
        assert_eq!(recent.find(60, 1), None);
        recent.begin(Numbering::new().epoch);
        assert_eq!(recent.find(120, 5), None);
    }
}
