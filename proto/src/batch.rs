//! A batch of events as columns, the same for wire frames and stored chunks. Nothing is decoded until it is asked for.

mod check;
mod integers;
mod layout;
mod lookup;
mod overflow;
mod render;
mod shapes;
mod values;

pub use integers::Integers;
pub(crate) use layout::{Layout, MAX_CHUNK_COLUMNS};
pub(crate) use shapes::Shapes;
pub(crate) use values::{TextValues, Values};

use crate::{
    bitmap::Bitmap,
    column::{
        layout::{self as format, Payload},
        read,
        streams::{Streams, inflate},
        varint::Reader,
    },
    event::{Severity, time::is_representable},
    frame::{CODEC_RAW, FrameHeader},
    path::Path,
};
use bytes::Bytes;
use std::sync::OnceLock;
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

impl ColumnKind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Null,
        Self::EmptyObject,
        Self::EmptyArray,
        Self::Bool,
        Self::Int,
        Self::Float,
        Self::Number,
        Self::Text,
        Self::Array,
        Self::Object,
    ];
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
    layout: Layout,
    streams: Streams,
    shapes: OnceLock<Result<Shapes, DecodeError>>,
}

impl Batch {
    pub(crate) fn new(layout: Layout, streams: Streams) -> Self {
        Self {
            layout,
            streams,
            shapes: OnceLock::new(),
        }
    }

    pub(crate) fn from_frame(header: &FrameHeader, payload: Bytes) -> Result<Self, DecodeError> {
        let raw = match header.codec {
            CODEC_RAW => payload,
            _ => Bytes::from(inflate(&payload, header.raw_len as usize, "payload")?),
        };
        let batch = Self::from_payload(raw)?;
        let layout = &batch.layout;
        if (layout.count as u32, layout.min_ts, layout.max_ts) != (header.count, header.min_ts, header.max_ts) {
            return Err(DecodeError::Malformed("frame header"));
        }
        Ok(batch)
    }

    pub(crate) fn from_payload(raw: Bytes) -> Result<Self, DecodeError> {
        let payload: Payload<'_> = format::read(&raw, "payload")?;
        let layout = Layout::read(&payload.directory, layout::MAX_FRAME_COLUMNS)?;
        if payload.streams.len() != payload.directory.streams() {
            return Err(DecodeError::Malformed("streams"));
        }
        // The slices borrow from `raw`; their places in it are what can be kept beside it.
        let start = raw.as_ptr().addr();
        let ranges = payload.streams.iter().map(|stream| {
            let at = stream.as_ptr().addr().saturating_sub(start);
            at..at + stream.len()
        });
        let ranges = ranges.collect();
        Ok(Self::new(layout, Streams::Flat { raw, ranges }))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn stream(&self, index: usize) -> Result<&[u8], DecodeError> {
        self.streams.get(index)
    }

    pub(crate) fn shapes(&self) -> Result<&Shapes, DecodeError> {
        let read = || {
            let (lists, ids) = (self.stream(format::SHAPES)?, self.stream(format::SHAPE_IDS)?);
            Shapes::read(&self.layout, lists, ids)
        };
        self.shapes.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.layout.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.layout.count == 0
    }

    /// The earliest timestamp.
    pub fn min_ts(&self) -> i64 {
        self.layout.min_ts
    }

    /// The latest timestamp.
    pub fn max_ts(&self) -> i64 {
        self.layout.max_ts
    }

    /// The timestamp of every row, in milliseconds since 1970.
    pub fn timestamps(&self) -> Result<Vec<i64>, DecodeError> {
        let mut values = read::ints(self.stream(format::TIMESTAMPS)?, self.len())?;
        let (min, max) = (self.min_ts(), self.max_ts());
        let (mut at, mut fits) = (min, is_representable(min) && is_representable(max));
        for value in &mut values {
            at = at.wrapping_add(*value);
            fits &= (min..=max).contains(&at);
            *value = at;
        }
        if fits || values.is_empty() {
            Ok(values)
        } else {
            Err(DecodeError::Malformed("timestamps"))
        }
    }

    /// The id of every row.
    pub fn ids(&self) -> Result<Vec<Uuid>, DecodeError> {
        self.ids_at(&self.timestamps()?)
    }

    /// The id of every row, for whoever has read the timestamps already.
    pub(crate) fn ids_at(&self, timestamps: &[i64]) -> Result<Vec<Uuid>, DecodeError> {
        let (tails, rest) = self.stream(format::ID_TAILS)?.as_chunks::<10>();
        if tails.len() != self.len() || !rest.is_empty() {
            return Err(DecodeError::Truncated("ids"));
        }
        let mut deltas = Reader::new(self.stream(format::ID_DELTAS)?, "ids");
        let mut ids = Vec::with_capacity(tails.len());
        for (tail, timestamp) in tails.iter().zip(timestamps) {
            // The first 48 bits of a v7 are its time, close to the event's; those of any other id are kept the same way.
            let head = timestamp.wrapping_add(deltas.next_signed()?);
            if !(0..1 << 48).contains(&head) {
                return Err(DecodeError::Malformed("ids"));
            }
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(head << 16).to_be_bytes());
            bytes[6..].copy_from_slice(tail);
            ids.push(Uuid::from_bytes(bytes));
        }
        deltas.end()?;
        Ok(ids)
    }

    /// The severity of every row as its ordinal, which is checked to be one.
    pub fn severities(&self) -> Result<Vec<u8>, DecodeError> {
        let ordinals = self.stream(format::SEVERITIES)?;
        if ordinals.len() != self.len() {
            return Err(DecodeError::Truncated("severities"));
        }
        if ordinals
            .iter()
            .any(|ordinal| Severity::from_ordinal(*ordinal).is_none())
        {
            return Err(DecodeError::Malformed("severities"));
        }
        Ok(ordinals.to_vec())
    }

    /// Every column of the events' optional fields. A path may occur with several kinds.
    pub fn paths(&self) -> impl Iterator<Item = (Path, ColumnKind)> + '_ {
        self.layout
            .columns
            .iter()
            .map(|column| (self.layout.path(column.node), column.kind))
    }
}
