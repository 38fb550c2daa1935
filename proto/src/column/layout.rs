//! The directory of a batch and its bincode form: the only place that knows bincode.
//!
//! A frame's payload is [`Payload`]: the directory and each stream's bytes. A chunk has [`ChunkHead`] instead, in
//! which a stream is a place in a compressed block. Streams stand in a fixed order: timestamps, id deltas, id tails,
//! severities, shapes, shape ids, then those of `type`, of `source`, and of each column as its [`Encoding`] says.

use crate::{batch::DecodeError, frame::MAX_RAW};
use bincode::{BorrowDecode, Encode, config};

/// Streams before those of `type`.
pub(crate) const FIXED_STREAMS: usize = 6;
pub(crate) const TIMESTAMPS: usize = 0;
pub(crate) const ID_DELTAS: usize = 1;
pub(crate) const ID_TAILS: usize = 2;
pub(crate) const SEVERITIES: usize = 3;
pub(crate) const SHAPES: usize = 4;
pub(crate) const SHAPE_IDS: usize = 5;

/// One key of an attribute path. Parents stand before their children.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Node<'a> {
    /// One more than the parent's place; zero below the event itself.
    pub(crate) parent: u32,
    pub(crate) key: &'a str,
}

/// How the values of a column stand in streams.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) enum Encoding {
    /// No streams: the kind says it all.
    Flag,
    /// One: packed bits.
    Bits,
    /// One: zigzag varints.
    Varint,
    /// One: zigzag varints of the value times a power of ten.
    Decimal(u8),
    /// One: little-endian `f64`.
    Double,
    /// Two: lengths, bytes.
    Plain,
    /// Three: lengths and bytes of the entries, then an id a row of this many bytes.
    Dictionary { entries: u32, width: u8 },
}

impl Encoding {
    /// How many streams it takes.
    pub(crate) fn streams(self) -> usize {
        match self {
            Self::Flag => 0,
            Self::Bits | Self::Varint | Self::Decimal(_) | Self::Double => 1,
            Self::Plain => 2,
            Self::Dictionary { .. } => 3,
        }
    }

    /// The dictionary encoding of so many entries.
    pub(crate) fn dictionary(entries: u32) -> Self {
        Self::Dictionary {
            entries,
            width: id_width(entries),
        }
    }
}

/// Bytes of an index into so many entries. A single entry needs none.
pub(crate) fn id_width(entries: u32) -> u8 {
    match entries {
        0..=1 => 0,
        2..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// The smallest and largest value of a numeric column.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) enum Bounds {
    Int(i64, i64),
    Float(f64, f64),
}

impl Bounds {
    pub(crate) fn of_ints(values: &[i64]) -> Option<Self> {
        let bounds = values.iter().copied().min().zip(values.iter().copied().max());
        bounds.map(|(min, max)| Self::Int(min, max))
    }

    pub(crate) fn of_floats(values: &[f64]) -> Option<Self> {
        let bounds = values
            .iter()
            .copied()
            .reduce(f64::min)
            .zip(values.iter().copied().reduce(f64::max));
        bounds.map(|(min, max)| Self::Float(min, max))
    }

    /// What both cover together.
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a, b), Self::Int(c, d)) => Self::Int(a.min(c), b.max(d)),
            (a, b) => {
                let ((a, b), (c, d)) = (a.floats(), b.floats());
                Self::Float(a.min(c), b.max(d))
            }
        }
    }

    pub(crate) fn floats(self) -> (f64, f64) {
        match self {
            Self::Int(min, max) => (min as f64, max as f64),
            Self::Float(min, max) => (min, max),
        }
    }
}

/// One column: the values of one kind at one path.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Column {
    pub(crate) node: u32,
    pub(crate) kind: u8,
    pub(crate) encoding: Encoding,
    /// How many rows have a value.
    pub(crate) present: u32,
    pub(crate) bounds: Option<Bounds>,
}

/// What the streams mean.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Directory<'a> {
    pub(crate) count: u32,
    pub(crate) min_ts: i64,
    pub(crate) max_ts: i64,
    /// Distinct lists of columns; each row has one.
    pub(crate) shapes: u32,
    pub(crate) kind: Encoding,
    pub(crate) source: Encoding,
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) columns: Vec<Column>,
}

impl Directory<'_> {
    /// How many streams there must be.
    pub(crate) fn streams(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.encoding.streams()).sum();
        FIXED_STREAMS + self.kind.streams() + self.source.streams() + columns
    }
}

/// A frame's payload.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Payload<'a> {
    pub(crate) directory: Directory<'a>,
    pub(crate) streams: Vec<&'a [u8]>,
}

/// A compressed run of a chunk's body.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Block {
    pub(crate) stored: u32,
    pub(crate) raw: u32,
}

/// Where a stream of a chunk is: blocks are filled in the order of the streams, so a length is enough.
#[derive(Clone, Copy, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct Place {
    pub(crate) block: u32,
    pub(crate) len: u32,
}

/// The head of a chunk.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) struct ChunkHead<'a> {
    pub(crate) directory: Directory<'a>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) streams: Vec<Place>,
}

/// Appends the bincode form of a payload or head.
pub(crate) fn write<T: Encode>(value: &T, out: &mut Vec<u8>) {
    if let Err(error) = bincode::encode_into_std_write(value, out, config::standard()) {
        unreachable!("writing to memory does not fail: {error}");
    }
}

/// Reads a payload or head that borrows from the bytes, all of which it must use.
pub(crate) fn read<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8], what: &'static str) -> Result<T, DecodeError> {
    let config = config::standard().with_limit::<MAX_RAW>();
    match bincode::borrow_decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        _ => Err(DecodeError::Malformed(what)),
    }
}
