//! A batch of events as columns, the same for wire frames and stored chunks. Nothing is decoded until it is asked for.

use crate::{bitmap::Bitmap, event::Event, frame::FrameHeader, path::Path};
use bytes::Bytes;
use uuid::Uuid;

/// Why a batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes or values than stated.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// Values that contradict each other.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A number beyond what is allowed.
    #[error("{what} is {value}, allowed is {max}")]
    Limit {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        max: u64,
    },
    /// A zstd stream that does not inflate to the stated length.
    #[error("{0} does not inflate to its stated length")]
    Inflate(&'static str),
    /// There is no such event.
    #[error("row {row} of {count}")]
    NoSuchRow {
        /// Asked for.
        row: usize,
        /// Rows there are.
        count: usize,
    },
}

/// What a column holds. A path has one column for each kind of value seen there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ColumnKind {
    /// `null`.
    Null,
    /// `{}`.
    EmptyObject,
    /// `[]`.
    EmptyArray,
    /// `true` or `false`.
    Bool,
    /// An integer that fits an `i64`.
    Int,
    /// A number with a fraction or exponent that an `f64` holds exactly as written.
    Float,
    /// Any other number, as its text.
    Number,
    /// A string.
    Text,
    /// A non-empty array, as its JSON text.
    Array,
    /// A whole `data` or `metadata` object as JSON text: the overflow of batches with too many columns.
    Object,
}

/// The values of a path as text: a dictionary and each row's place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dict {
    /// The distinct values.
    pub values: Vec<String>,
    /// For each row an index into `values`, or [`Dict::ABSENT`].
    pub ids: Vec<u32>,
}

impl Dict {
    /// The id of rows that have no value.
    pub const ABSENT: u32 = u32::MAX;

    /// The value of a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let id = *self.ids.get(row)?;
        self.values.get(id as usize).map(String::as_str)
    }
}

/// The numbers of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// One for each row; 0.0 where there is none.
    pub values: Vec<f64>,
    /// Rows that have a number.
    pub present: Bitmap,
}

/// The booleans of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bools {
    /// Rows that are true.
    pub values: Bitmap,
    /// Rows that have a boolean.
    pub present: Bitmap,
}

/// A batch of events as columns.
#[derive(Debug)]
pub struct Batch {
    count: usize,
    min_ts: i64,
    max_ts: i64,
}

impl Batch {
    pub(crate) fn from_frame(header: &FrameHeader, _payload: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { count: header.count as usize, min_ts: header.min_ts, max_ts: header.max_ts })
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The earliest timestamp.
    pub fn min_ts(&self) -> i64 {
        self.min_ts
    }

    /// The latest timestamp.
    pub fn max_ts(&self) -> i64 {
        self.max_ts
    }

    /// The timestamp of every row, in milliseconds since 1970.
    pub fn timestamps(&self) -> Result<Vec<i64>, DecodeError> {
        Err(DecodeError::Truncated("timestamps"))
    }

    /// The id of every row.
    pub fn ids(&self) -> Result<Vec<Uuid>, DecodeError> {
        Err(DecodeError::Truncated("ids"))
    }

    /// The severity of every row as its ordinal, which is checked to be one.
    pub fn severities(&self) -> Result<Vec<u8>, DecodeError> {
        Err(DecodeError::Truncated("severities"))
    }

    /// The values at a path as text: strings as they are, numbers, booleans and arrays as JSON. `null` counts as absent.
    /// `None` when no row has one. Works for `type`, `source` and `severity` too.
    pub fn dict(&self, _path: &Path) -> Result<Option<Dict>, DecodeError> {
        Ok(None)
    }

    /// As [`Batch::dict`], of the strings at the path alone.
    pub fn strings(&self, _path: &Path) -> Result<Option<Dict>, DecodeError> {
        Ok(None)
    }

    /// The numbers at a path, `timestamp` included; `None` when no row has one.
    pub fn numbers(&self, _path: &Path) -> Result<Option<Numbers>, DecodeError> {
        Ok(None)
    }

    /// The booleans at a path; `None` when no row has one.
    pub fn bools(&self, _path: &Path) -> Result<Option<Bools>, DecodeError> {
        Ok(None)
    }

    /// Rows that have anything at a path, `null` and objects included.
    pub fn present(&self, _path: &Path) -> Result<Bitmap, DecodeError> {
        Ok(Bitmap::new(self.count, false))
    }

    /// The smallest and largest number at a path without decoding it; `None` when that is not known.
    pub fn range(&self, _path: &Path) -> Option<(f64, f64)> {
        None
    }

    /// One event as a row.
    pub fn event(&self, row: usize) -> Result<Event, DecodeError> {
        Err(DecodeError::NoSuchRow { row, count: self.count })
    }

    /// Events as rows, in row order. Each column is decoded once.
    pub fn events(&self, _rows: &Bitmap) -> Result<Vec<Event>, DecodeError> {
        Ok(Vec::new())
    }

    /// Every column of the events' optional fields. A path may occur with several kinds.
    pub fn paths(&self) -> impl Iterator<Item = (Path, ColumnKind)> + '_ {
        std::iter::empty()
    }
}
