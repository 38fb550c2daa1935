//! Incidents at rest, by their group and by their id, and the shelves on which they lie.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use crate::{
    id::AlertId,
    packed::{Packed, Packer, Shelf},
};

/// Gaps on all shelves that are no concern.
const GAPS: usize = 1024;
/// Shelves that are cleared at once, so that nothing waits long behind it.
const AT_ONCE: usize = 4;

/// Incidents that nobody has touched for a while, when there are many. What they are found by is with them, and here are only their places.
#[derive(Default)]
pub(super) struct Cold {
    groups: HashTable<Packed>,
    ids: HashTable<Packed>,
    hasher: RandomState,
    /// By number; how many are still on each.
    shelves: BTreeMap<u64, (Arc<Shelf>, usize)>,
    /// Places of all of them, gaps among them.
    places: usize,
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The rule, and what a group's key has behind it.
fn parts(key: &str) -> (&str, &str) {
    key.split_at(key.find('{').unwrap_or(key.len()))
}

impl Cold {
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Packed> {
        self.groups.iter()
    }

    /// The newest of a group.
    pub(super) fn get(&self, key: &str) -> Option<&Packed> {
        let parts = parts(key);
        self.groups
            .find(self.hasher.hash_one(parts), |packed| packed.key_parts() == parts)
    }

    pub(super) fn by_id(&self, id: AlertId) -> Option<&Packed> {
        self.ids.find(self.hasher.hash_one(id), |packed| *packed.id() == id)
    }

    /// Of a group of which none is here.
    pub(super) fn insert(&mut self, packed: Packed) {
        let shelf = packed.shelf();
        let (_, left) = self.shelves.entry(shelf.number()).or_insert_with(|| {
            self.places += shelf.len();
            (Arc::clone(shelf), 0)
        });
        *left += 1;
        let Self {
            groups, ids, hasher, ..
        } = self;
        let hash = |packed: &Packed| hasher.hash_one(packed.key_parts());
        groups.insert_unique(hash(&packed), packed.clone(), hash);
        let hash = |packed: &Packed| hasher.hash_one(packed.id());
        ids.insert_unique(hash(&packed), packed, hash);
    }

    /// Takes out the newest of a group.
    pub(super) fn remove(&mut self, key: &str) -> Option<Packed> {
        let parts = parts(key);
        let hash = self.hasher.hash_one(parts);
        let found = self.groups.find_entry(hash, |packed| packed.key_parts() == parts);
        let (packed, _) = found.ok()?.remove();
        let id = self.hasher.hash_one(packed.id());
        if let Ok(same) = self.ids.find_entry(id, |other| other.is(&packed)) {
            same.remove();
        }
        let number = packed.shelf().number();
        if let Some((_, left)) = self.shelves.get_mut(&number) {
            *left -= 1;
            if *left == 0 {
                self.places -= packed.shelf().len();
                self.shelves.remove(&number);
            }
        }
        Some(packed)
    }

    /// When there are many gaps, clears shelves that have some; answers what has moved.
    pub(super) fn close_gaps(&mut self, packer: &mut Packer) -> Vec<Packed> {
        if self.places <= self.len() + self.len() / 2 + GAPS {
            return Vec::new();
        }
        // On all of them less than two thirds are left, so there are some of these.
        let with_gaps = self.shelves.values().filter(|(shelf, left)| left * 4 < shelf.len() * 3);
        let with_gaps: Vec<Arc<Shelf>> = with_gaps.take(AT_ONCE).map(|(shelf, _)| Arc::clone(shelf)).collect();
        for packed in with_gaps.iter().flat_map(Shelf::all) {
            let left = self.by_id(*packed.id()).is_some_and(|known| known.is(&packed));
            if left && packer.put(&packed).is_some() {
                self.remove(&packed.key());
            }
        }
        let moved = packer.shelve();
        moved.iter().for_each(|packed| self.insert(packed.clone()));
        moved
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        book::Book,
        sample::{T0, book, rule, signal},
    };

    /// Alerts, and their keys.
    fn many(count: usize) -> (Book, Vec<String>) {
        let mut book = book(vec![rule(json!({}))]);
        let of = |n: usize| {
            let mut signal = signal(0, 60.0);
            signal.labels.insert("source".to_owned(), format!("web-{n}"));
            signal
        };
        book.signals(&(0..count).map(of).collect::<Vec<_>>(), T0);
        let keys = book.take_changes().written.into_iter().collect();
        (book, keys)
    }

    fn lay_down(cold: &mut Cold, packer: &mut Packer, book: &Book, keys: &[String]) {
        for key in keys {
            packer.pack(book.incident(key).unwrap(), None).unwrap();
        }
        packer.shelve().into_iter().for_each(|packed| cold.insert(packed));
    }

    #[test]
    fn incidents_are_found_by_their_group_and_by_their_id_until_they_are_taken_out() {
        let (book, all) = many(300);
        let (mut cold, mut packer) = (Cold::default(), Packer::default());
        all.chunks(7)
            .for_each(|keys| lay_down(&mut cold, &mut packer, &book, keys));
        for (nth, key) in all.iter().enumerate() {
            let id = AlertId::of(&book.incident(key).unwrap().alert.id);
            assert_eq!(cold.get(key).unwrap().key(), *key);
            assert_eq!(cold.by_id(id).unwrap().key(), *key);
            if nth % 2 == 0 {
                assert_eq!(cold.remove(key).unwrap().id(), &id);
                assert!(cold.remove(key).is_none() && cold.get(key).is_none() && cold.by_id(id).is_none());
            }
        }
        assert_eq!((cold.len(), cold.iter().count(), cold.ids.len()), (150, 150, 150));
        assert!(cold.get("r1").is_none() && cold.get("").is_none() && cold.by_id(AlertId::of("x")).is_none());
        assert_eq!((cold.shelves.len(), cold.places), (43, 300));
        all.iter().for_each(|key| drop(cold.remove(key)));
        assert_eq!(
            (cold.len(), cold.shelves.len(), cold.places),
            (0, 0, 0),
            "empty shelves go"
        );
    }

    #[test]
    fn shelves_with_gaps_are_cleared_and_what_was_on_them_is_found_where_it_lies_then() {
        let (book, all) = many(6000);
        let (mut cold, mut packer) = (Cold::default(), Packer::default());
        all.chunks(500)
            .for_each(|keys| lay_down(&mut cold, &mut packer, &book, keys));
        assert!(cold.close_gaps(&mut packer).is_empty(), "there are none");
        let (stay, go): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(nth, _)| nth % 3 == 0);
        go.iter().for_each(|(_, key)| drop(cold.remove(key)));
        assert_eq!((cold.len(), cold.places), (2000, 6000));
        let mut moved = 0;
        loop {
            let some = cold.close_gaps(&mut packer);
            if some.is_empty() {
                break;
            }
            moved += some.len();
            assert!(some.iter().all(|packed| cold.by_id(*packed.id()).unwrap().is(packed)));
        }
        assert!((668..=2000).contains(&moved), "{moved} of four shelves at a time");
        assert!(cold.places <= 2000 + 1000 + GAPS, "{} places", cold.places);
        assert_eq!((cold.len(), cold.ids.len()), (2000, 2000));
        for (_, key) in stay {
            let incident = book.incident(key).unwrap();
            assert_eq!(cold.get(key).unwrap().incident().as_ref(), Some(incident));
            assert_eq!(cold.by_id(AlertId::of(&incident.alert.id)).unwrap().key(), *key);
        }
    }
}
