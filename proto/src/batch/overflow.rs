//! Values inside the JSON overflow column, for events whose keys did not fit a batch's columns.

use super::{Batch, ColumnKind, DecodeError, Values};
use crate::path::Path;
use serde_json::Value;

impl Batch {
    /// Calls back for each overflowing row with what is at a path; rows without anything there are left out.
    pub(crate) fn each_overflow(&self, path: &Path, mut found: impl FnMut(usize, Value)) -> Result<(), DecodeError> {
        if path.keys().is_empty() {
            return Ok(());
        }
        let root = self
            .layout
            .nodes
            .iter()
            .position(|node| node.parent.is_none() && node.key == path.root());
        let Some(root) = root else { return Ok(()) };
        for (index, _) in self
            .layout
            .columns_at(root)
            .filter(|(_, column)| column.kind == ColumnKind::Object)
        {
            let Values::Text(texts) = self.values(index)? else {
                continue;
            };
            for (dense, row) in self.rows_of(index)?.iter_ones().enumerate() {
                let mut value = parse(texts.get(dense))?;
                if path.keys().iter().all(|key| descend(&mut value, key)) {
                    found(row, value);
                }
            }
        }
        Ok(())
    }
}

/// Reads an overflow text. Numbers beyond `f64` make it unreadable as values, which leaves its event whole but not searchable.
pub(crate) fn parse(text: &str) -> Result<Value, DecodeError> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() => Ok(Value::Null),
        Err(_) => Err(DecodeError::Malformed("overflow")),
    }
}

fn descend(value: &mut Value, key: &str) -> bool {
    match value.get_mut(key) {
        Some(inner) => {
            *value = inner.take();
            true
        }
        None => false,
    }
}
