//! Which series each row of a batch belongs to.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use super::{Device, GroupKey};
use crate::{
    batch::{DecodeError, Dict},
    filter::Columns,
};

/// The series of one batch by one list of keys, by small numbers that hold within the batch.
#[derive(Debug)]
pub(super) struct RowGroups {
    dicts: Vec<Option<Rc<Dict>>>,
    ids: Ids,
}

#[derive(Debug)]
enum Ids {
    One,
    Single(Rc<Dict>),
    Several {
        rows: Vec<u32>,
        combinations: Vec<Box<[u32]>>,
    },
}

impl RowGroups {
    /// Reads the attributes of the keys.
    ///
    /// # Errors
    /// When a column does not decode.
    pub(super) fn new(columns: &mut Columns<'_>, keys: &[GroupKey]) -> Result<Self, DecodeError> {
        let mut dicts = Vec::with_capacity(keys.len());
        for key in keys {
            dicts.push(match key {
                GroupKey::Attribute(path) => columns.labels(path)?,
                GroupKey::Device(path) => {
                    let rows = columns.batch().len();
                    Some(Rc::new(devices(columns.labels(path)?.as_deref(), rows)))
                }
            });
        }
        let ids = match dicts.as_slice() {
            all if all.iter().all(Option::is_none) => Ids::One,
            [Some(dict)] => Ids::Single(Rc::clone(dict)),
            _ => several(&dicts, columns.batch().len()),
        };
        Ok(Self { dicts, ids })
    }

    /// How many numbers there may be.
    pub(super) fn len(&self) -> usize {
        match &self.ids {
            Ids::One => 1,
            Ids::Single(dict) => dict.values.len() + 1,
            Ids::Several { combinations, .. } => combinations.len(),
        }
    }

    /// The number of a row's series.
    pub(super) fn of(&self, row: usize) -> usize {
        match &self.ids {
            Ids::One => 0,
            Ids::Single(dict) => (dict.ids[row] as usize).min(dict.values.len()),
            Ids::Several { rows, .. } => rows[row] as usize,
        }
    }

    /// The labels of a series; an absent attribute is the empty text.
    pub(super) fn labels(&self, group: usize) -> Arc<[String]> {
        let label = |(position, dict): (usize, &Option<Rc<Dict>>)| {
            let id = match &self.ids {
                Ids::One => None,
                Ids::Single(_) => Some(group),
                Ids::Several { combinations, .. } => Some(combinations[group][position] as usize),
            };
            dict.as_ref()
                .zip(id)
                .and_then(|(dict, id)| dict.values.get(id))
                .cloned()
                .unwrap_or_default()
        };
        self.dicts.iter().enumerate().map(label).collect()
    }
}

/// The kinds of device behind user agents; each different user agent is read once.
fn devices(agents: Option<&Dict>, rows: usize) -> Dict {
    const KINDS: [Device; 5] = [
        Device::Mobile,
        Device::Tablet,
        Device::Desktop,
        Device::Bot,
        Device::Unknown,
    ];
    let number = |device: Device| {
        KINDS
            .iter()
            .zip(0..)
            .find(|(kind, _)| **kind == device)
            .map_or(4, |(_, id)| id)
    };
    let of_value: Vec<u32> = agents
        .map(|dict| dict.values.iter().map(|text| number(Device::of(text))).collect())
        .unwrap_or_default();
    let of_row = |row: usize| {
        let id = agents
            .and_then(|dict| dict.ids.get(row))
            .copied()
            .unwrap_or(Dict::ABSENT);
        of_value.get(id as usize).copied().unwrap_or(4)
    };
    Dict {
        values: KINDS.iter().map(|kind| kind.name().to_owned()).collect(),
        ids: (0..rows).map(of_row).collect(),
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
