//! Which group each row of a batch belongs to, by small numbers that hold within the batch.

use std::{
    cell::{Cell, OnceCell},
    hash::{BuildHasher, Hash, Hasher},
    sync::LazyLock,
};

use streamflow_proto::{batch::DecodeError, filter::Columns, groups::RowGroups, path::Path};

use super::numbering::{Labels, Numbering};

/// Groups of one batch by one list of attributes. A row without an attribute has the empty label.
#[derive(Debug)]
pub(crate) struct LocalGroups {
    rows: RowGroups,
    /// Of each group that was asked for, worked out once for all rules; 0 before.
    fingerprints: OnceCell<Vec<Cell<u128>>>,
    /// Of each group that was asked for, its number beyond this batch.
    numbers: Vec<Cell<u32>>,
    /// Those numbers are of this numbering.
    epoch: u64,
}

/// No number yet.
const NONE: u32 = u32::MAX;

/// Two seeds that nobody outside the process knows.
static SEEDS: LazyLock<[foldhash::quality::RandomState; 2]> = LazyLock::new(Default::default);

/// Stands for a list of labels within this process: with 128 seeded bits no two lists in use share one.
pub(crate) fn fingerprint<'a>(labels: impl Iterator<Item = &'a str>) -> u128 {
    let mut hashers = [SEEDS[0].build_hasher(), SEEDS[1].build_hasher()];
    for label in labels {
        hashers.iter_mut().for_each(|hasher| label.hash(hasher));
    }
    u128::from(hashers[0].finish()) << 64 | u128::from(hashers[1].finish())
}

/// A fingerprint in parts: as one number it would take twelve bytes more of each entry, for its alignment.
pub(crate) type Key = [u32; 4];

#[expect(clippy::cast_possible_truncation, reason = "the parts of a number")]
pub(crate) const fn key(fingerprint: u128) -> Key {
    [
        fingerprint as u32,
        (fingerprint >> 32) as u32,
        (fingerprint >> 64) as u32,
        (fingerprint >> 96) as u32,
    ]
}

/// The hash of a fingerprint: it is one already.
pub(crate) const fn hash(key: Key) -> u64 {
    (key[1] as u64) << 32 | key[0] as u64
}

impl LocalGroups {
    pub(crate) fn new(columns: &mut Columns<'_>, paths: &[Path]) -> Result<Self, DecodeError> {
        let dicts = paths.iter().map(|path| columns.labels(path));
        let dicts = dicts.collect::<Result<_, _>>()?;
        Ok(Self {
            rows: RowGroups::new(dicts, columns.batch().len()),
            fingerprints: OnceCell::new(),
            numbers: Vec::new(),
            epoch: 0,
        })
    }

    /// The same, ready to have numbers that hold beyond this batch.
    pub(crate) fn numbered(mut self, numbering: &mut Numbering) -> Self {
        numbering.make_room(self.len());
        self.epoch = numbering.epoch();
        self.numbers = vec![Cell::new(NONE); self.len()];
        self
    }

    /// The number of a group beyond this batch, in the numbering for which it was made ready.
    pub(crate) fn number(&self, group: usize, numbering: &mut Numbering) -> u32 {
        let known = &self.numbers[group];
        if known.get() == NONE {
            known.set(numbering.number(self.fingerprint(group), || self.own_labels(group)));
        }
        known.get()
    }

    /// The numbering of its numbers.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The labels of a group to keep, shared with whoever keeps them by the same numbering.
    pub(crate) fn kept_labels(&self, group: usize, numbering: &Numbering) -> Labels {
        let number = self.numbers.get(group).map_or(NONE, Cell::get);
        let shared = numbering.labels(number).cloned();
        shared.unwrap_or_else(|| self.own_labels(group))
    }

    fn own_labels(&self, group: usize) -> Labels {
        Labels::new(self.labels(group).map(str::to_owned))
    }

    /// The fingerprint of a group's labels.
    pub(crate) fn fingerprint(&self, group: usize) -> u128 {
        let fingerprints = self.fingerprints.get_or_init(|| vec![Cell::new(0); self.len()]);
        let known = &fingerprints[group];
        if known.get() == 0 {
            known.set(fingerprint(self.labels(group)));
        }
        known.get()
    }

    /// How many numbers there may be.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of a row's group.
    #[inline]
    pub(crate) fn of(&self, row: usize) -> usize {
        self.rows.of(row)
    }

    /// The labels of a group, in the order of the attributes.
    pub(crate) fn labels(&self, group: usize) -> impl Iterator<Item = &str> + Clone {
        self.rows.labels(group)
    }
}
