//! Answers by path: the values of every kind at a path brought together.

use super::{Batch, Bools, ColumnKind, DecodeError, Dict, Numbers, TextValues, Values, layout::Place};
use crate::{
    bitmap::Bitmap,
    event::{Severity, time::Rfc3339},
    path::Path,
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde_json::Value;
use std::hash::BuildHasher;

/// Gathers texts by row into a dictionary.
struct Gather {
    dict: Dict,
    /// Places in the dictionary by their values' hashes.
    known: HashTable<u32>,
    hasher: RandomState,
    /// Is every value of the dictionary known?
    indexed: bool,
    any: bool,
}

impl Gather {
    fn new(rows: usize) -> Self {
        let dict = Dict {
            values: Vec::new(),
            ids: vec![Dict::ABSENT; rows],
        };
        Self {
            dict,
            known: HashTable::new(),
            hasher: RandomState::default(),
            indexed: true,
            any: false,
        }
    }

    /// Takes a column's own dictionary over as it is. Nothing may have been put before.
    fn adopt(&mut self, texts: &TextValues<'_>, ids: &[u32], rows: &Bitmap) {
        self.dict.values = texts.strings.iter().map(str::to_owned).collect();
        self.indexed = false;
        self.any = !ids.is_empty();
        if ids.len() == self.dict.ids.len() {
            self.dict.ids.copy_from_slice(ids);
        } else {
            rows.iter_ones().zip(ids).for_each(|(row, id)| self.dict.ids[row] = *id);
        }
    }

    fn id(&mut self, text: &str) -> u32 {
        let (values, hasher) = (&mut self.dict.values, &self.hasher);
        if !self.indexed {
            for (value, id) in values.iter().zip(0..) {
                let hash = |id: &u32| hasher.hash_one(values[*id as usize].as_str());
                self.known.insert_unique(hasher.hash_one(value.as_str()), id, hash);
            }
            self.indexed = true;
        }
        let hash = hasher.hash_one(text);
        if let Some(id) = self.known.find(hash, |id| values[*id as usize] == text) {
            return *id;
        }
        if self.known.is_empty() {
            // A column without a dictionary of its own has nearly as many values as rows.
            let most = self.dict.ids.len().min(1024);
            self.known.reserve(most, |_| 0);
            values.reserve(most);
        }
        let id = values.len() as u32;
        values.push(text.to_owned());
        let rehash = |id: &u32| hasher.hash_one(values[*id as usize].as_str());
        self.known.insert_unique(hash, id, rehash);
        id
    }

    fn put_id(&mut self, row: usize, id: u32) {
        if let Some(slot) = self.dict.ids.get_mut(row) {
            *slot = id;
            self.any = true;
        }
    }

    fn put(&mut self, row: usize, text: &str) {
        let id = self.id(text);
        self.put_id(row, id);
    }

    fn finish(self) -> Option<Dict> {
        self.any.then_some(self.dict)
    }
}

impl Batch {
    /// The values at a path as text: strings as they are, numbers, booleans and arrays as JSON. `null` counts as absent.
    /// `None` when no row has one. Works for `type`, `source`, `severity`, `timestamp` and `id` too.
    pub fn dict(&self, path: &Path) -> Result<Option<Dict>, DecodeError> {
        self.gather(path, |kind| {
            !matches!(kind, ColumnKind::Null | ColumnKind::EmptyObject | ColumnKind::Object)
        })
    }

    /// As [`Batch::dict`], of the strings at the path alone.
    pub fn strings(&self, path: &Path) -> Result<Option<Dict>, DecodeError> {
        self.gather(path, |kind| kind == ColumnKind::Text)
    }

    /// Whether an event may have this type; `false` is certain. Much cheaper than asking which.
    pub fn may_have_kind(&self, kind: &str) -> Result<bool, DecodeError> {
        let texts = self.text_values(self.layout.kind, self.len())?;
        Ok(texts.strings.iter().any(|text| text == kind))
    }

    fn gather(&self, path: &Path, wanted: impl Fn(ColumnKind) -> bool) -> Result<Option<Dict>, DecodeError> {
        match (path.root(), path.keys().is_empty()) {
            ("type", true) => return self.fixed(self.layout.kind),
            ("source", true) => return self.fixed(self.layout.source),
            ("severity", true) => {
                let ids = self.severities()?.into_iter().map(u32::from).collect();
                let values = Severity::ALL.map(|severity| severity.to_string()).to_vec();
                return Ok((!self.is_empty()).then_some(Dict { values, ids }));
            }
            ("timestamp", true) => return self.shown(self.timestamps()?.into_iter().map(Rfc3339)),
            ("id", true) => return self.shown(self.ids()?.into_iter()),
            _ => {}
        }
        let columns: Vec<usize> = self
            .columns_at(path)
            .filter(|(_, kind)| wanted(*kind))
            .map(|(index, _)| index)
            .collect();
        let mut gather = Gather::new(self.len());
        for &column in &columns {
            let rows = self.rows_of(column)?;
            let values = self.values(column)?;
            if let Values::Text(texts) = &values
                && let Some(ids) = &texts.ids
            {
                if columns.len() == 1 {
                    gather.adopt(texts, ids, &rows);
                    continue;
                }
                // Entry by entry: a string is looked up once however many rows have it.
                let known: Vec<u32> = texts.strings.iter().map(|text| gather.id(text)).collect();
                for (row, id) in rows.iter_ones().zip(ids) {
                    gather.put_id(row, known[*id as usize]);
                }
                continue;
            }
            for (dense, row) in rows.iter_ones().enumerate() {
                match &values {
                    Values::Flag => gather.put(row, "[]"),
                    Values::Bits(bits) => gather.put(row, if bits.get(dense) { "true" } else { "false" }),
                    Values::Ints(ints) => gather.put(row, &ints[dense].to_string()),
                    Values::Floats(floats) => gather.put(row, &Value::from(floats[dense]).to_string()),
                    Values::Text(texts) => gather.put(row, texts.get(dense)),
                }
            }
        }
        self.each_overflow(path, |row, value| {
            match value {
                Value::String(text) if wanted(ColumnKind::Text) => gather.put(row, &text),
                Value::Bool(_) if wanted(ColumnKind::Bool) => gather.put(row, &value.to_string()),
                Value::Number(_) if wanted(ColumnKind::Int) => gather.put(row, &value.to_string()),
                Value::Array(_) if wanted(ColumnKind::Array) => gather.put(row, &value.to_string()),
                _ => {}
            };
        })?;
        Ok(gather.finish())
    }

    pub(super) fn columns_at(&self, path: &Path) -> impl Iterator<Item = (usize, ColumnKind)> {
        let node = self.layout.find(path);
        node.into_iter()
            .flat_map(|node| self.layout.columns_at(node))
            .map(|(index, column)| (index, column.kind))
    }

    fn fixed(&self, place: Place) -> Result<Option<Dict>, DecodeError> {
        let texts = self.text_values(place, self.len())?;
        if let Some(ids) = texts.ids {
            let values = texts.strings.iter().map(str::to_owned).collect();
            return Ok((!ids.is_empty()).then_some(Dict { values, ids }));
        }
        self.shown(texts.strings.iter())
    }

    fn shown(&self, values: impl Iterator<Item = impl ToString>) -> Result<Option<Dict>, DecodeError> {
        let mut gather = Gather::new(self.len());
        for (row, value) in values.enumerate() {
            gather.put(row, &value.to_string());
        }
        Ok(gather.finish())
    }

    /// The numbers at a path, `timestamp` (in milliseconds) included; `None` when no row has one.
    pub fn numbers(&self, path: &Path) -> Result<Option<Numbers>, DecodeError> {
        if path.root() == "timestamp" && path.keys().is_empty() {
            let values = self.timestamps()?.into_iter().map(|at| at as f64).collect();
            return Ok((!self.is_empty()).then(|| Numbers {
                values,
                present: Bitmap::new(self.len(), true),
            }));
        }
        let columns: Vec<usize> = self
            .columns_at(path)
            .filter(|(_, kind)| kind.is_number())
            .map(|(index, _)| index)
            .collect();
        let mut numbers = Numbers {
            values: vec![0.0; self.len()],
            present: Bitmap::new(self.len(), false),
        };
        for column in columns {
            let rows = self.rows_of(column)?;
            let slots = &mut numbers.values;
            match self.values(column)? {
                Values::Ints(ints) => scatter(slots, &rows, ints.iter().map(|value| *value as f64)),
                Values::Floats(floats) => scatter(slots, &rows, floats.iter().copied()),
                Values::Text(texts) => {
                    let parse = |dense| texts.get(dense).parse::<f64>().unwrap_or(f64::NAN);
                    scatter(slots, &rows, (0..rows.len()).map(parse));
                }
                Values::Flag | Values::Bits(_) => {}
            }
            numbers.present = numbers.present.or(&rows);
        }
        self.each_overflow(path, |row, value| {
            if let (Some(number), Some(slot)) = (value.as_f64(), numbers.values.get_mut(row)) {
                *slot = number;
                numbers.present.set(row, true);
            }
        })?;
        Ok((!numbers.present.is_empty()).then_some(numbers))
    }

    /// The booleans at a path; `None` when no row has one.
    pub fn bools(&self, path: &Path) -> Result<Option<Bools>, DecodeError> {
        let mut bools = Bools {
            values: Bitmap::new(self.len(), false),
            present: Bitmap::new(self.len(), false),
        };
        for (column, kind) in self.columns_at(path) {
            if let (ColumnKind::Bool, Values::Bits(bits)) = (kind, self.values(column)?) {
                bools.present = self.rows_of(column)?;
                for (dense, row) in bools.present.iter_ones().enumerate() {
                    bools.values.set(row, bits.get(dense));
                }
            }
        }
        self.each_overflow(path, |row, value| {
            if let Some(value) = value.as_bool() {
                bools.values.set(row, value);
                bools.present.set(row, true);
            }
        })?;
        Ok((!bools.present.is_empty()).then_some(bools))
    }

    /// Rows that have anything at a path, `null` and objects included.
    pub fn present(&self, path: &Path) -> Result<Bitmap, DecodeError> {
        let always = ["type", "source", "severity", "timestamp", "id"];
        if always.contains(&path.root()) {
            return Ok(Bitmap::new(self.len(), path.keys().is_empty()));
        }
        let mut rows = match self.layout.find(path) {
            None => Bitmap::new(self.len(), false),
            Some(node) => {
                let within: Vec<bool> = self
                    .layout
                    .columns
                    .iter()
                    .map(|column| self.layout.is_within(column.node, node))
                    .collect();
                self.shapes()?
                    .rows(|columns| columns.iter().any(|column| within[*column as usize]))
            }
        };
        self.each_overflow(path, |row, _| rows.set(row, true))?;
        Ok(rows)
    }

    /// Bounds of the numbers at a path without decoding them; `None` when they are not known or there are no numbers.
    pub fn range(&self, path: &Path) -> Option<(f64, f64)> {
        let root = self
            .layout
            .nodes
            .iter()
            .position(|node| node.parent.is_none() && node.key == path.root())?;
        if self
            .layout
            .columns_at(root)
            .any(|(_, column)| column.kind == ColumnKind::Object)
        {
            return None;
        }
        let node = self.layout.find(path)?;
        let numeric = self
            .layout
            .columns_at(node)
            .filter(|(_, column)| column.kind.is_number());
        let mut all = numeric.map(|(_, column)| column.bounds);
        let first = all.next()??;
        all.try_fold(first, |sum, bounds| Some(sum.merge(bounds?)))
            .map(|bounds| bounds.floats())
    }
}

fn scatter(slots: &mut [f64], rows: &Bitmap, values: impl Iterator<Item = f64>) {
    if rows.is_full() {
        slots.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
        return;
    }
    for (row, value) in rows.iter_ones().zip(values) {
        slots[row] = value;
    }
}
