//! Incidents at rest, by their group and by their id.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use crate::{id::AlertId, packed::Packed};

/// Incidents that nobody has touched for a while, when there are many. What they are found by is in them, and here are only their places.
#[derive(Default)]
pub(super) struct Cold {
    groups: HashTable<Arc<Packed>>,
    ids: HashTable<Arc<Packed>>,
    hasher: RandomState,
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Packed>> {
        self.groups.iter()
    }

    /// The newest of a group.
    pub(super) fn get(&self, key: &str) -> Option<&Arc<Packed>> {
        let parts = parts(key);
        self.groups
            .find(self.hasher.hash_one(parts), |packed| packed.key_parts() == parts)
    }

    pub(super) fn by_id(&self, id: AlertId) -> Option<&Arc<Packed>> {
        self.ids.find(self.hasher.hash_one(id), |packed| *packed.id() == id)
    }

    /// Of a group of which none is here.
    pub(super) fn insert(&mut self, packed: Arc<Packed>) {
        let Self { groups, ids, hasher } = self;
        let hash = |packed: &Arc<Packed>| hasher.hash_one(packed.key_parts());
        groups.insert_unique(hash(&packed), Arc::clone(&packed), hash);
        let hash = |packed: &Arc<Packed>| hasher.hash_one(packed.id());
        ids.insert_unique(hash(&packed), packed, hash);
    }

    /// Takes out the newest of a group.
    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Packed>> {
        let parts = parts(key);
        let hash = self.hasher.hash_one(parts);
        let found = self.groups.find_entry(hash, |packed| packed.key_parts() == parts);
        let (packed, _) = found.ok()?.remove();
        let id = self.hasher.hash_one(packed.id());
        if let Ok(same) = self.ids.find_entry(id, |other| Arc::ptr_eq(other, &packed)) {
            same.remove();
        }
        Some(packed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        packed::Packer,
        sample::{T0, book, rule, signal},
    };

    #[test]
    fn incidents_are_found_by_their_group_and_by_their_id_until_they_are_taken_out() {
        let mut book = book(vec![rule(json!({}))]);
        let of = |n: usize| {
            let mut signal = signal(0, 60.0);
            signal.labels.insert("source".to_owned(), format!("web-{n}"));
            signal
        };
        book.signals(&(0..300).map(of).collect::<Vec<_>>(), T0);
        let (mut cold, mut packer) = (Cold::default(), Packer::default());
        let all: Vec<_> = book.take_changes().written.into_iter().collect();
        for key in &all {
            let packed = packer.pack(book.incident(key).unwrap(), None).unwrap();
            cold.insert(Arc::new(packed));
        }
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
    }
}
