//! Events in, one frame out: writes JSON straight into columns.

use crate::{
    event::{Event, Rejection, Severity},
    frame::{self, Frame, FrameHeader},
};
use uuid::Uuid;

/// What stands around a log line's own fields.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The event's `type`.
    pub kind: &'a str,
    /// The event's `source`.
    pub source: &'a str,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// How much it matters.
    pub severity: Severity,
    /// Minted when absent.
    pub id: Option<Uuid>,
    /// A JSON object as text.
    pub metadata: Option<&'a [u8]>,
}

/// One value of [`BatchBuilder::push_fields`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite number; others are stored as `null`, as JSON has no name for them.
    Float(f64),
    /// A string.
    Str(&'a str),
}

/// Collects events into columns.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    count: usize,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An upper bound of the frame's size if it were finished now and did not compress at all.
    pub fn approx_bytes(&self) -> usize {
        0
    }

    /// Must the batch be finished before the next event? Pushing into a full batch is refused.
    pub fn is_full(&self) -> bool {
        false
    }

    /// Takes one event object as JSON text. A rejected event leaves no trace.
    pub fn push_json(&mut self, _json: &[u8], _now_ms: i64) -> Result<Uuid, Rejection> {
        Err(Rejection::new("event", ""))
    }

    /// Takes one event as a row.
    pub fn push_event(&mut self, _event: &Event) -> Result<(), Rejection> {
        Err(Rejection::new("event", ""))
    }

    /// Takes a log record that is a JSON object; it becomes the event's `data`.
    pub fn push_log(&mut self, _head: &Head<'_>, _data: &[u8]) -> Result<Uuid, Rejection> {
        Err(Rejection::new("event", ""))
    }

    /// Takes a record of plain fields, which become the event's `data`. Dots in names are part of the name.
    pub fn push_fields(&mut self, _head: &Head<'_>, _fields: &[(&str, Scalar<'_>)]) -> Result<Uuid, Rejection> {
        Err(Rejection::new("event", ""))
    }

    /// Encodes the events into a frame and empties the builder, which keeps its memory for the next batch.
    pub fn finish(&mut self, seq: u64) -> Frame {
        let header = FrameHeader {
            version: frame::VERSION,
            codec: frame::CODEC_ZSTD,
            flags: 0,
            payload_len: 0,
            crc: 0,
            count: self.count as u32,
            raw_len: 0,
            seq,
            min_ts: 0,
            max_ts: 0,
        };
        Frame::seal(header, &[])
    }
}
