//! Which series each row of a batch belongs to.

use std::rc::Rc;

use super::{Device, GroupKey};
use crate::{
    batch::{DecodeError, Dict},
    filter::Columns,
    groups::RowGroups,
};

/// The series of one batch by one list of keys.
///
/// # Errors
/// When a column does not decode.
pub(super) fn series(columns: &mut Columns<'_>, keys: &[GroupKey]) -> Result<RowGroups, DecodeError> {
    let rows = columns.batch().len();
    let mut dicts = Vec::with_capacity(keys.len());
    for key in keys {
        dicts.push(match key {
            GroupKey::Attribute(path) => columns.labels(path)?,
            GroupKey::Device(path) => Some(Rc::new(devices(columns.labels(path)?.as_deref(), rows))),
        });
    }
    Ok(RowGroups::new(dicts, rows))
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
