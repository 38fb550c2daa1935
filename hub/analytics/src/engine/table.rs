//! Small numbers by small numbers: a list while many of them are there, a map while few are, so that its size follows what it holds and not the largest number.

use std::collections::HashMap;

use super::numbering::fill_lean;

/// Nothing is there.
pub(crate) const NONE: u32 = u32::MAX;
/// A list of this length is never a map: it would gain nothing.
const SHORT: usize = 1024;
/// A list becomes a map when fewer than one place in so many is taken …
const LIST_PER_ENTRY: usize = 8;
/// … and a map becomes a list when more than one in so many would be.
const MAP_PER_ENTRY: usize = 4;

/// Slots by group, or by the group's number.
#[derive(Debug, Clone)]
pub(crate) enum Table {
    List { slots: Vec<u32>, len: usize },
    Map { slots: Map, end: usize },
}

type Map = HashMap<u32, u32, foldhash::fast::RandomState>;

impl Default for Table {
    fn default() -> Self {
        Self::List {
            slots: Vec::new(),
            len: 0,
        }
    }
}

impl Table {
    /// What is there.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<u32> {
        match self {
            Self::List { slots, .. } => slots.get(number as usize).copied().filter(|slot| *slot != NONE),
            Self::Map { slots, .. } => slots.get(&number).copied(),
        }
    }

    /// What is there for each of these, [`NONE`] where nothing is, behind what the list holds.
    pub(crate) fn get_all(&self, numbers: &[u32], into: &mut Vec<u32>) {
        match self {
            Self::List { slots, .. } => {
                into.extend(
                    numbers
                        .iter()
                        .map(|number| *slots.get(*number as usize).unwrap_or(&NONE)),
                );
            }
            Self::Map { slots, .. } => into.extend(numbers.iter().map(|number| *slots.get(number).unwrap_or(&NONE))),
        }
    }

    /// Puts it there, where nothing is.
    pub(crate) fn insert(&mut self, number: u32, slot: u32) {
        let wanted = number as usize + 1;
        match self {
            Self::List { slots, len } => {
                *len += 1;
                if wanted > SHORT && wanted > *len * LIST_PER_ENTRY {
                    let taken = (0..).zip(&*slots).filter(|(_, slot)| **slot != NONE);
                    let mut map: Map = taken.map(|(number, slot)| (number, *slot)).collect();
                    map.insert(number, slot);
                    let end = wanted.max(slots.len());
                    *self = Self::Map { slots: map, end };
                } else {
                    fill_lean(slots, wanted, NONE);
                    slots[number as usize] = slot;
                }
            }
            Self::Map { slots, end } => {
                slots.insert(number, slot);
                *end = wanted.max(*end);
                if slots.len() * MAP_PER_ENTRY > *end {
                    let mut list = vec![NONE; *end];
                    slots.iter().for_each(|(number, slot)| list[*number as usize] = *slot);
                    let len = slots.len();
                    *self = Self::List { slots: list, len };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_into_it_in_little_room(
            numbers in prop::collection::vec(prop_oneof![0_u32..3000, 0_u32..200_000, 5000_u32..5400], 0..1500),
        ) {
            let (mut table, mut wanted) = (Table::default(), BTreeMap::new());
            for (number, slot) in numbers.into_iter().zip(0..) {
                if wanted.insert(number, slot).is_none() {
                    table.insert(number, slot);
                } else {
                    wanted.insert(number, table.get(number).unwrap());
                }
                if let Table::List { slots, len } = &table {
                    prop_assert_eq!(*len, wanted.len());
                    prop_assert!(slots.len() <= SHORT.max(len * LIST_PER_ENTRY), "{} for {len}", slots.len());
                }
            }
            for number in (0..6000).chain(wanted.keys().copied()) {
                prop_assert_eq!(table.get(number), wanted.get(&number).copied());
            }
            let asked: Vec<u32> = (0..6000).chain(wanted.keys().copied()).collect();
            let mut found = vec![7];
            table.get_all(&asked, &mut found);
            let each = asked.iter().map(|number| table.get(*number).unwrap_or(NONE));
            prop_assert_eq!(&found[1..], each.collect::<Vec<_>>());
        }
    }
}
