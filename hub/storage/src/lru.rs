//! A cache bounded by what its values cost in bytes; the value that was not used for the longest time goes first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

/// Keyed by place in the log. The lock is held for map operations only.
#[derive(Debug)]
pub struct Lru<V> {
    inner: Mutex<Inner<V>>,
    budget: usize,
}

#[derive(Debug)]
struct Inner<V> {
    entries: HashMap<u64, Entry<V>, foldhash::fast::RandomState>,
    by_use: BTreeMap<u64, u64>,
    clock: u64,
    cost: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    cost: usize,
    used: u64,
}

impl<V: Clone> Lru<V> {
    /// Empty, for values that cost `budget` bytes together.
    pub fn new(budget: usize) -> Self {
        let inner = Inner {
            entries: HashMap::default(),
            by_use: BTreeMap::new(),
            clock: 0,
            cost: 0,
        };
        Self {
            inner: Mutex::new(inner),
            budget,
        }
    }

    /// A value, which becomes the most recently used.
    pub fn get(&self, key: u64) -> Option<V> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let entry = inner.entries.get_mut(&key)?;
        inner.clock += 1;
        inner.by_use.remove(&entry.used);
        inner.by_use.insert(inner.clock, key);
        entry.used = inner.clock;
        Some(entry.value.clone())
    }

    /// Keeps a value; one that costs more than the whole budget is not kept.
    pub fn put(&self, key: u64, value: V, cost: usize) {
        if cost > self.budget {
            return;
        }
        let mut inner = self.lock();
        inner.remove(key);
        inner.clock += 1;
        let used = inner.clock;
        inner.by_use.insert(used, key);
        inner.cost += cost;
        inner.entries.insert(key, Entry { value, cost, used });
        while inner.cost > self.budget {
            let Some((_, oldest)) = inner.by_use.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            inner.remove(oldest);
        }
    }

    /// Forgets what the test says.
    pub fn forget(&self, mut gone: impl FnMut(u64) -> bool) {
        let mut inner = self.lock();
        let keys: Vec<u64> = inner.entries.keys().copied().filter(|key| gone(*key)).collect();
        for key in keys {
            inner.remove(key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Inner<V> {
    fn remove(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.by_use.remove(&entry.used);
            self.cost -= entry.cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_goes_first() {
        let cache = Lru::new(30);
        for key in 1..=3 {
            cache.put(key, key, 10);
        }
        assert_eq!(cache.get(1), Some(1));
        cache.put(4, 4, 10);
        assert_eq!((cache.get(1), cache.get(2), cache.get(4)), (Some(1), None, Some(4)));
        cache.put(5, 5, 31);
        assert_eq!(cache.get(5), None);
        cache.forget(|key| key < 4);
        assert_eq!((cache.get(1), cache.get(4)), (None, Some(4)));
    }
}
