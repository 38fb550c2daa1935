//! The most frequent values, by Space-Saving (Metwally, Agrawal, El Abbadi, 2005), merged as by Agarwal et al. (2012).
//!
//! With `m` counters and `n` values, every reported count is at least the true one and exceeds it by at most the `error` beside it, which is at most `n / m`;
//! a value that is not among the counters occurred at most [`TopValues::unseen`] times.

use std::{borrow::Cow, cmp::Reverse, fmt, hash::BuildHasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest value that is kept as it is; of longer ones the head and a checksum.
const MAX_VALUE: usize = 256;
/// Head of a longer value.
const HEAD: usize = 200;

/// One of the most frequent values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequent {
    /// The value as text.
    pub value: String,
    /// How often it occurred, at most.
    pub count: u64,
    /// By how much `count` may be too large.
    pub error: u64,
}

/// Ten counters for each of the `k` most frequent values, so that the error of a count is at most a tenth of `n / k`; and at least a hundred.
pub(super) const fn counters(k: u32) -> usize {
    let wanted = (k as usize).saturating_mul(10);
    if wanted < 100 { 100 } else { wanted }
}

/// Counters of the most frequent values.
#[derive(Clone)]
pub(super) struct TopValues {
    capacity: usize,
    values: Vec<String>,
    counts: Vec<u64>,
    errors: Vec<u64>,
    /// Counters by value.
    index: HashTable<u32>,
}

/// A value with what is worked out of it once for each entry of a dictionary.
pub(super) struct Hashed<'a> {
    value: Cow<'a, str>,
    hash: u64,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(value: &'a str) -> Self {
        let value: Cow<'a, str> = if value.len() <= MAX_VALUE {
            value.into()
        } else {
            let head = &value[..value.floor_char_boundary(HEAD)];
            format!("{head}…{:08x}", crc32c::crc32c(value.as_bytes())).into()
        };
        let hash = hash(&value);
        Self { value, hash }
    }
}

fn hash(value: &str) -> u64 {
    FixedState::with_seed(0).hash_one(value)
}

impl TopValues {
    /// Counters enough for the `k` most frequent.
    pub(super) fn new(k: u32) -> Self {
        Self::with_capacity(counters(k))
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            values: Vec::new(),
            counts: Vec::new(),
            errors: Vec::new(),
            index: HashTable::new(),
        }
    }

    pub(super) fn add(&mut self, item: &Hashed<'_>) {
        let values = &self.values;
        if let Some(at) = self.index.find(item.hash, |at| values[*at as usize] == item.value) {
            self.counts[*at as usize] += 1;
        } else if self.values.len() < self.capacity {
            self.push(item.value.clone().into_owned(), 1, 0);
        } else {
            self.replace_least(item);
        }
    }

    fn push(&mut self, value: String, count: u64, error: u64) {
        let at = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let hash = hash(&value);
        self.values.push(value);
        self.counts.push(count);
        self.errors.push(error);
        let values = &self.values;
        self.index
            .insert_unique(hash, at, |at| self::hash(&values[*at as usize]));
    }

    /// The first of the smallest counters is taken over by a new value.
    fn replace_least(&mut self, item: &Hashed<'_>) {
        let least = self.unseen();
        let Some(at) = self.counts.iter().position(|count| *count == least) else {
            return;
        };
        let old = hash(&self.values[at]);
        if let Ok(entry) = self.index.find_entry(old, |known| *known as usize == at) {
            entry.remove();
        }
        self.values[at].clear();
        self.values[at].push_str(&item.value);
        self.counts[at] = least + 1;
        self.errors[at] = least;
        let values = &self.values;
        self.index
            .insert_unique(item.hash, u32::try_from(at).unwrap_or(u32::MAX), |at| {
                hash(&values[*at as usize])
            });
    }

    /// How often a value that has no counter may have occurred.
    pub(super) fn unseen(&self) -> u64 {
        if self.values.len() < self.capacity {
            0
        } else {
            self.counts.iter().copied().min().unwrap_or(0)
        }
    }

    /// Adds up both sides' counters; a value that one side does not know may have occurred there as often as its smallest counter says.
    pub(super) fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (self.unseen(), other.unseen());
        let mut all: Vec<Frequent> = self
            .entries()
            .map(|entry| {
                let known = other.find(&entry.value);
                Frequent {
                    count: entry.count + known.map_or(theirs, |at| other.counts[at]),
                    error: entry.error + known.map_or(theirs, |at| other.errors[at]),
                    value: entry.value,
                }
            })
            .collect();
        let new = other.entries().filter(|entry| self.find(&entry.value).is_none());
        all.extend(new.map(|entry| Frequent {
            count: entry.count + mine,
            error: entry.error + mine,
            value: entry.value,
        }));
        sort(&mut all);
        *self = Self::with_capacity(self.capacity.max(other.capacity));
        for entry in all.into_iter().take(self.capacity) {
            self.push(entry.value, entry.count, entry.error);
        }
    }

    /// The most frequent ones, in the order of their counts, then of their names.
    pub(super) fn top(&self, k: u32) -> Vec<Frequent> {
        let mut all: Vec<Frequent> = self.entries().collect();
        sort(&mut all);
        all.truncate(k as usize);
        all
    }

    /// Count of the most frequent value.
    pub(super) fn most(&self) -> Option<u64> {
        self.counts.iter().copied().max()
    }

    fn find(&self, value: &str) -> Option<usize> {
        let found = self.index.find(hash(value), |at| self.values[*at as usize] == value);
        found.map(|at| *at as usize)
    }

    fn entries(&self) -> impl Iterator<Item = Frequent> {
        let rest = self.counts.iter().zip(&self.errors);
        self.values.iter().zip(rest).map(|(value, (count, error))| Frequent {
            value: value.clone(),
            count: *count,
            error: *error,
        })
    }
}

fn sort(all: &mut [Frequent]) {
    all.sort_by(|a, b| (Reverse(a.count), &a.value).cmp(&(Reverse(b.count), &b.value)));
}

impl fmt::Debug for TopValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopValues({} of {})", self.values.len(), self.capacity)
    }
}

impl Serialize for TopValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.capacity as u64, &self.values, &self.counts, &self.errors).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TopValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (capacity, values, counts, errors): (u64, Vec<String>, Vec<u64>, Vec<u64>) =
            Deserialize::deserialize(deserializer)?;
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        if values.len() > capacity || counts.len() != values.len() || errors.len() != values.len() {
            return Err(serde::de::Error::custom("counters that do not fit together"));
        }
        let mut read = Self::with_capacity(capacity);
        for ((value, count), error) in values.into_iter().zip(counts).zip(errors) {
            read.push(value, count, error);
        }
        Ok(read)
    }
}
