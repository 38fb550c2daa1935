//! Events as columns: a row is a number, a field is looked up once and then read by row.

mod dict;

use std::cell::Cell;

use crate::bindings::channel::streamflow::plugin::types::{Batch, Column, ColumnData, TextColumn};

pub use crate::bindings::channel::streamflow::plugin::types::Severity;
pub use dict::Dict;

const NS_PER_MS: i64 = 1_000_000;

/// A part of the log, or of what an agent has read. Of type, source, severity and time those are there that the manifest's `[input] envelope` names, all of
/// them when it has none; other fields are there when `fields` names them.
#[derive(Debug)]
pub struct Events {
    batch: Batch,
    /// What was read of the envelope although the manifest does not name it: the call fails, in words.
    unnamed: Cell<Option<&'static str>>,
}

impl Events {
    /// Out of columns as the hub hands them over.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(batch: Batch) -> Self {
        Self {
            batch,
            unnamed: Cell::new(None),
        }
    }

    /// Whether the manifest names all that was read.
    ///
    /// # Errors
    /// What it does not name.
    #[doc(hidden)]
    pub fn all_named(&self) -> Result<(), String> {
        match self.unnamed.get() {
            None => Ok(()),
            Some(name) => Err(format!("plugin.toml does not name `{name}` in [input] envelope")),
        }
    }

    /// A column of the envelope has no such row: there is no column, or no event.
    #[cold]
    fn absent(&self, name: &'static str, column: usize) {
        if column < self.len() {
            self.unnamed.set(Some(name));
        }
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batch.count as usize
    }

    /// None at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.batch.count == 0
    }

    /// Numbers of all rows.
    #[must_use]
    pub const fn rows(&self) -> std::ops::Range<usize> {
        0..self.len()
    }

    /// When it happened, ms since 1970.
    #[must_use]
    #[inline]
    pub fn time_ms(&self, row: usize) -> i64 {
        let Some(ns) = self.batch.time.get(row) else {
            self.absent("timestamp", self.batch.time.len());
            return 0;
        };
        ns.div_euclid(NS_PER_MS)
    }

    /// Its type.
    #[must_use]
    #[inline]
    pub fn kind(&self, row: usize) -> &str {
        let kinds = &self.batch.kind;
        let Some(number) = kinds.index.get(row) else {
            self.absent("type", kinds.index.len());
            return "";
        };
        dict(kinds).get(*number as usize).unwrap_or_default()
    }

    /// Where it comes from.
    #[must_use]
    #[inline]
    pub fn source(&self, row: usize) -> &str {
        self.sources().get(self.source_number(row)).unwrap_or_default()
    }

    /// Each source that these events come from, once: whoever looks something up by source can do so once for each, and not for each row.
    #[must_use]
    #[inline]
    pub fn sources(&self) -> Dict<'_> {
        let sources = &self.batch.source;
        if sources.index.is_empty() {
            self.absent("source", 0);
        }
        dict(sources)
    }

    /// The number of the row's source in [`Self::sources`].
    #[must_use]
    #[inline]
    pub fn source_number(&self, row: usize) -> usize {
        let index = &self.batch.source.index;
        let Some(number) = index.get(row) else {
            self.absent("source", index.len());
            return usize::MAX;
        };
        *number as usize
    }

    /// How bad it is.
    #[must_use]
    #[inline]
    pub fn severity(&self, row: usize) -> Severity {
        match self.batch.severity.get(row) {
            Some(0) => Severity::Low,
            Some(2) => Severity::High,
            Some(3) => Severity::Critical,
            Some(_) => Severity::Medium,
            None => {
                self.absent("severity", self.batch.severity.len());
                Severity::Medium
            }
        }
    }

    /// A field of numbers.
    ///
    /// # Errors
    /// When the manifest does not name it, or as something else.
    pub fn floats(&self, path: &str) -> Result<Floats<'_>, String> {
        let column = self.column(path)?;
        match &column.data {
            ColumnData::Float(values) => Ok(Values::new(values, column)),
            _ => Err(other(path, "float")),
        }
    }

    /// A field of whole numbers.
    ///
    /// # Errors
    /// When the manifest does not name it, or as something else.
    pub fn integers(&self, path: &str) -> Result<Integers<'_>, String> {
        let column = self.column(path)?;
        match &column.data {
            ColumnData::Integer(values) => Ok(Values::new(values, column)),
            _ => Err(other(path, "integer")),
        }
    }

    /// A field of truth values.
    ///
    /// # Errors
    /// When the manifest does not name it, or as something else.
    pub fn booleans(&self, path: &str) -> Result<Booleans<'_>, String> {
        let column = self.column(path)?;
        match &column.data {
            ColumnData::Boolean(values) => Ok(Booleans(Values::new(values, column))),
            _ => Err(other(path, "boolean")),
        }
    }

    /// A field of strings.
    ///
    /// # Errors
    /// When the manifest does not name it, or as something else.
    pub fn texts(&self, path: &str) -> Result<Texts<'_>, String> {
        let column = self.column(path)?;
        match &column.data {
            ColumnData::Text(texts) => Ok(Texts {
                texts,
                present: column.present.as_deref(),
            }),
            _ => Err(other(path, "text")),
        }
    }

    fn column(&self, path: &str) -> Result<&Column, String> {
        let named = self.batch.columns.iter().find(|column| column.path == path);
        named.ok_or_else(|| format!("plugin.toml does not name `{path}` in [input] fields"))
    }
}

fn other(path: &str, kind: &str) -> String {
    format!("plugin.toml does not name `{path}` with type = \"{kind}\"")
}

pub(crate) fn dict(column: &TextColumn) -> Dict<'_> {
    Dict::new(&column.texts, &column.ends)
}

fn text(column: &TextColumn, row: usize) -> &str {
    let index = column.index.get(row).copied().unwrap_or(u32::MAX);
    dict(column).get(index as usize).unwrap_or_default()
}

fn has(present: Option<&[u8]>, row: usize) -> bool {
    present.is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1))
}

/// Values by row.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a, T> {
    values: &'a [T],
    present: Option<&'a [u8]>,
}

/// Numbers by row.
pub type Floats<'a> = Values<'a, f64>;
/// Whole numbers by row.
pub type Integers<'a> = Values<'a, i64>;

impl<'a, T: Copy> Values<'a, T> {
    fn new(values: &'a [T], column: &'a Column) -> Self {
        Self {
            values,
            present: column.present.as_deref(),
        }
    }

    /// The value of a row, if it has one of this type.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<T> {
        has(self.present, row).then(|| self.values.get(row).copied()).flatten()
    }

    /// The rows that have a value, with it: the fastest way through a column.
    pub fn iter(&self) -> impl Iterator<Item = (usize, T)> + use<'a, T> {
        let present = self.present;
        let rows = self.values.iter().copied().enumerate();
        rows.filter(move |(row, _)| has(present, *row))
    }
}

/// Truth values by row.
#[derive(Debug, Clone, Copy)]
pub struct Booleans<'a>(Values<'a, u8>);

impl Booleans<'_> {
    /// The value of a row, if it has one of this type.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<bool> {
        self.0.get(row).map(|value| value != 0)
    }
}

/// Strings by row.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    texts: &'a TextColumn,
    present: Option<&'a [u8]>,
}

impl<'a> Texts<'a> {
    /// The value of a row, if it has one of this type.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        has(self.present, row).then(|| text(self.texts, row))
    }

    /// Each text that there is, once: whoever computes something from a text can do so once for each, and not for each row.
    #[must_use]
    pub fn dict(&self) -> Dict<'a> {
        dict(self.texts)
    }

    /// The number of the row's text in [`Self::dict`].
    #[must_use]
    pub fn number(&self, row: usize) -> Option<usize> {
        let index = *self.texts.index.get(row)? as usize;
        (index < self.texts.ends.len() && has(self.present, row)).then_some(index)
    }
}
