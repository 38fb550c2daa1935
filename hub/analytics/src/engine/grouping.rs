//! Which group each row of a batch belongs to, by small numbers that hold within the batch.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher},
    rc::Rc,
    sync::LazyLock,
};

use streamflow_proto::{
    batch::{DecodeError, Dict},
    filter::Columns,
    path::Path,
};

use super::numbering::{Labels, Numbering, Numbers};

/// Groups of one batch by one list of attributes. A row without an attribute has the empty label.
#[derive(Debug)]
pub(crate) struct LocalGroups {
    ids: Ids,
    dicts: Vec<Option<Rc<Dict>>>,
    /// Of each group, worked out once for all rules.
    fingerprints: Vec<u128>,
    /// Their numbers beyond this batch.
    numbers: Option<Numbers>,
}

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

#[derive(Debug)]
enum Ids {
    /// No attributes, or none that the batch has.
    One,
    /// One attribute: its dictionary's ids, with one more for rows without it.
    Single(Rc<Dict>),
    /// Several: dense numbers of the combinations that occur.
    Several {
        rows: Vec<u32>,
        combinations: Vec<Box<[u32]>>,
    },
}

impl LocalGroups {
    pub(crate) fn new(columns: &mut Columns<'_>, paths: &[Path]) -> Result<Self, DecodeError> {
        let dicts: Vec<Option<Rc<Dict>>> = paths
            .iter()
            .map(|path| columns.labels(path))
            .collect::<Result<_, _>>()?;
        let ids = match dicts.as_slice() {
            all if all.iter().all(Option::is_none) => Ids::One,
            [Some(dict)] => Ids::Single(Rc::clone(dict)),
            _ => several(&dicts, columns.batch().len()),
        };
        let mut groups = Self {
            ids,
            dicts,
            fingerprints: Vec::new(),
            numbers: None,
        };
        groups.fingerprints = (0..groups.len())
            .map(|group| fingerprint(groups.labels(group)))
            .collect();
        Ok(groups)
    }

    /// The same with numbers that hold beyond this batch.
    pub(crate) fn numbered(mut self, numbering: &mut Numbering) -> Self {
        let labels = |group: usize| Labels::new(self.labels(group).map(str::to_owned));
        self.numbers = Some(numbering.of(&self.fingerprints, labels));
        self
    }

    /// Numbers that hold beyond this batch, if there are any.
    pub(crate) const fn numbers(&self) -> Option<&Numbers> {
        self.numbers.as_ref()
    }

    /// The labels of a group to keep.
    pub(crate) fn kept_labels(&self, group: usize) -> Labels {
        match &self.numbers {
            Some(numbers) => numbers.labels(group).clone(),
            None => Labels::new(self.labels(group).map(str::to_owned)),
        }
    }

    /// The fingerprint of a group's labels.
    pub(crate) fn fingerprint(&self, group: usize) -> u128 {
        self.fingerprints[group]
    }

    /// How many numbers there may be.
    pub(crate) fn len(&self) -> usize {
        match &self.ids {
            Ids::One => 1,
            Ids::Single(dict) => dict.values.len() + 1,
            Ids::Several { combinations, .. } => combinations.len(),
        }
    }

    /// The number of a row's group.
    pub(crate) fn of(&self, row: usize) -> usize {
        match &self.ids {
            Ids::One => 0,
            Ids::Single(dict) => (dict.ids[row] as usize).min(dict.values.len()),
            Ids::Several { rows, .. } => rows[row] as usize,
        }
    }

    /// The labels of a group, in the order of the attributes.
    pub(crate) fn labels(&self, group: usize) -> impl Iterator<Item = &str> + Clone {
        self.dicts.iter().enumerate().map(move |(position, dict)| {
            let id = match &self.ids {
                Ids::One => None,
                Ids::Single(_) => Some(group),
                Ids::Several { combinations, .. } => Some(combinations[group][position] as usize),
            };
            dict.as_ref()
                .zip(id)
                .and_then(|(dict, id)| dict.values.get(id))
                .map_or("", String::as_str)
        })
    }
}

fn several(dicts: &[Option<Rc<Dict>>], len: usize) -> Ids {
    let mut seen: HashMap<Box<[u32]>, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut combinations = Vec::new();
    let mut combination = vec![Dict::ABSENT; dicts.len()];
    let mut rows = Vec::with_capacity(len);
    for row in 0..len {
        for (slot, dict) in combination.iter_mut().zip(dicts) {
            *slot = dict.as_ref().map_or(Dict::ABSENT, |dict| dict.ids[row]);
        }
        let next = u32::try_from(combinations.len()).unwrap_or(u32::MAX);
        let id = match seen.get(combination.as_slice()) {
            Some(id) => *id,
            None => {
                seen.insert(combination.clone().into(), next);
                combinations.push(combination.clone().into());
                next
            }
        };
        rows.push(id);
    }
    Ids::Several { rows, combinations }
}
