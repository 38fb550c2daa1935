//! Which entry of a dictionary has a hash: open addressing, eight bytes a place, half of the places free.
//!
//! Beside hashbrown's table, that other dictionaries of a batch have: hash and entry come with one read, and no text is hashed anew when it grows.

/// Places at first.
const FEW: usize = 16;

/// Entries by their hash. Whoever asks compares the entries themselves.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The upper half of the hash, and one more than the entry; zero where there is none. A power of two, or none at all.
    places: Vec<u64>,
    used: usize,
}

/// Where an entry would stand at best.
#[inline]
fn home(place: u64) -> usize {
    (place >> 32) as usize
}

impl Table {
    /// The entry with this hash that is the one.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let last = self.places.len().checked_sub(1)?;
        let mut at = home(hash) & last;
        loop {
            let place = *self.places.get(at)?;
            let entry = (place as u32).checked_sub(1)?;
            if home(place) == home(hash) && is_it(entry) {
                return Some(entry);
            }
            at = (at + 1) & last;
        }
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, hash: u64, entry: u32) {
        if self.places.len() <= 2 * self.used {
            self.grow();
        }
        self.used += 1;
        self.put(hash >> 32 << 32 | u64::from(entry + 1));
    }

    fn put(&mut self, new: u64) {
        let last = self.places.len() - 1;
        let mut at = home(new) & last;
        while self.places[at] != 0 {
            at = (at + 1) & last;
        }
        self.places[at] = new;
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.places);
        self.places = vec![0; (2 * old.len()).max(FEW)];
        old.into_iter()
            .filter(|place| *place != 0)
            .for_each(|place| self.put(place));
    }

    /// Takes the entry away that was added last: nothing has had to give way to it.
    pub(super) fn remove_last(&mut self, hash: u64, entry: u32) {
        let Some(last) = self.places.len().checked_sub(1) else {
            return;
        };
        let mut at = home(hash) & last;
        while self.places[at] != 0 {
            if self.places[at] as u32 == entry + 1 {
                self.places[at] = 0;
                self.used -= 1;
                return;
            }
            at = (at + 1) & last;
        }
    }

    /// Forgets the entries and keeps the memory.
    pub(super) fn clear(&mut self) {
        if self.used > 0 {
            self.places.fill(0);
            self.used = 0;
        }
    }

    /// Bytes of memory kept.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Hashes of few different upper halves, so that entries give way to one another, also past the last place.
        #[test]
        fn entries_are_found_by_hash_and_comparison(
            steps in prop::collection::vec((prop_oneof![0_u64..4, 12_u64..18, Just(u64::from(u32::MAX))], any::<u32>(), 0_u8..12), 0..200),
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let mut last = None;
            for (entry, (upper, lower, step)) in (0..).zip(steps) {
                let hash = upper << 32 | u64::from(lower);
                match (step, last) {
                    (0, _) => {
                        table.clear();
                        model.clear();
                        last = None;
                    }
                    (1 | 2, Some((hash, entry))) => {
                        table.remove_last(hash, entry);
                        model.remove(&entry);
                        last = None;
                    }
                    _ => {
                        table.insert(hash, entry);
                        model.insert(entry, hash);
                        last = Some((hash, entry));
                    }
                }
                prop_assert_eq!(table.used, model.len());
                for (entry, hash) in &model {
                    prop_assert_eq!(table.find(*hash, |found| found == *entry), Some(*entry));
                }
                prop_assert_eq!(table.find(hash, |found| !model.contains_key(&found)), None);
            }
        }
    }
}
