//! The distinct column lists of the batch being built.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Column lists, numbered as they first occur.
#[derive(Debug, Default)]
pub(super) struct ShapeTable {
    items: Vec<u32>,
    ends: Vec<u32>,
    index: HashTable<u32>,
    last: u32,
}

fn slice<'a>(items: &'a [u32], ends: &[u32], shape: usize) -> &'a [u32] {
    let start = shape.checked_sub(1).map_or(0, |before| ends[before] as usize);
    &items[start..ends[shape] as usize]
}

impl ShapeTable {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, shape: usize) -> &[u32] {
        slice(&self.items, &self.ends, shape)
    }

    /// The number of a list. Most events are shaped like the one before.
    pub(super) fn intern(&mut self, shape: &[u32], state: &RandomState) -> u32 {
        let (items, ends) = (&self.items, &self.ends);
        if !ends.is_empty() && slice(items, ends, self.last as usize) == shape {
            return self.last;
        }
        let hash = state.hash_one(shape);
        if let Some(id) = self.index.find(hash, |id| slice(items, ends, *id as usize) == shape) {
            self.last = *id;
            return self.last;
        }
        self.last = self.ends.len() as u32;
        self.items.extend_from_slice(shape);
        self.ends.push(self.items.len() as u32);
        let (items, ends) = (&self.items, &self.ends);
        self.index
            .insert_unique(hash, self.last, |id| state.hash_one(slice(items, ends, *id as usize)));
        self.last
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.ends.clear();
        self.index.clear();
        self.last = 0;
    }
}
