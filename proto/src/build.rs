//! Events in, one frame out: writes JSON straight into columns.

mod edit;
mod encode;
mod fast;
mod look;
mod mint;
mod number;
mod retain;
mod rules;
mod scan;
mod schema;
mod shapes;
mod slow;
mod store;
mod table;
mod text;

pub use edit::{Assign, AssignValues, Edit, EditError, GivenUp, MAX_EDITS};
pub(crate) use encode::{Streams, TAIL, put_bits, put_floats, put_ids, put_shape, put_timestamps};
pub(crate) use text::{TextColumn, write_ids};

use crate::{
    batch::ColumnKind,
    chunk::{self, EncodeError, EncodedChunk},
    event::{Event, MAX_OBJECT, Rejection, Severity},
    frame::{self, Frame, FrameHeader},
};
use fast::{Found, Order};
use look::Look;
use mint::Mint;
use schema::{NONE, roots};
use std::fmt;
use store::Store;
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

/// From this [`BatchBuilder::approx_bytes`] on a batch that becomes a chunk is full.
const CHUNK_BYTES: usize = 6 * 1024 * 1024;

/// A type that others must not give their events, and what they are told.
type Reserved = (&'static str, fn() -> Rejection);

/// A time step, an id, a severity and a shape id take at most 10 + 8 + 10 + 1 + 4.
const ROW_BYTES: usize = 33;

/// Collects events into columns.
pub struct BatchBuilder {
    store: Store,
    max_object: usize,
    full_events: usize,
    full_bytes: usize,
    reserved: Option<Reserved>,
    timestamps: Vec<i64>,
    ids: Vec<Uuid>,
    severities: Vec<u8>,
    shapes: Vec<u32>,
    kinds: TextColumn,
    sources: TextColumn,
    mint: Mint,
    order: Order,
    gave_id: bool,
    streams: Vec<u8>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("len", &self.len())
            .field("bytes", &self.approx_bytes())
            .finish_non_exhaustive()
    }
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// From this [`BatchBuilder::approx_bytes`] on a batch is full: what one more event could add still fits a frame.
    pub const FULL_BYTES: usize = 640 * 1024;
    /// With this many events a batch is full.
    pub const FULL_EVENTS: usize = frame::MAX_COUNT as usize;

    /// An empty batch.
    pub fn new() -> Self {
        Self::with_columns(store::MAX_ATTRIBUTE_COLUMNS, MAX_OBJECT)
    }

    /// A batch whose frame stays as it is: for a reader close by that compresses it with others later, as the hub's own
    /// inbox is. Compressing costs about as much as reading the JSON.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        Self {
            compressor: None,
            ..self
        }
    }

    /// A batch that becomes a chunk without being a frame first ([`BatchBuilder::finish_chunk`]), and so may be larger than a frame: it is full with this many
    /// events.
    #[must_use]
    pub fn of_chunks(mut self, events: usize) -> Self {
        self.full_events = events.min(Self::FULL_EVENTS);
        self.full_bytes = CHUNK_BYTES;
        self.store.max_kept = 2 * store::MAX_KEPT_BYTES;
        self.uncompressed()
    }

    /// A batch that refuses events of one type.
    #[must_use]
    pub fn refusing(mut self, kind: &'static str, why: fn() -> Rejection) -> Self {
        self.reserved = Some((kind, why));
        self
    }

    /// A batch whose objects are all kept as JSON text, of any length: for what would need too many columns.
    pub(crate) fn without_columns() -> Self {
        Self::with_columns(0, usize::MAX)
    }

    fn with_columns(max_columns: usize, max_object: usize) -> Self {
        Self {
            store: Store::new(max_columns),
            max_object,
            full_events: Self::FULL_EVENTS,
            full_bytes: Self::FULL_BYTES,
            reserved: None,
            timestamps: Vec::new(),
            ids: Vec::new(),
            severities: Vec::new(),
            shapes: Vec::new(),
            kinds: TextColumn::default(),
            sources: TextColumn::default(),
            mint: Mint::new(),
            order: Order::default(),
            gave_id: false,
            streams: Vec::new(),
            raw: Vec::new(),
            packed: Vec::new(),
            compressor: zstd::bulk::Compressor::new(1).ok(),
        }
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Whether an event of this type may be among them; `false` is certain.
    pub fn has_kind(&self, kind: &str) -> bool {
        self.kinds.entries().any(|entry| entry == kind)
    }

    /// An upper bound of the payload's size if the batch were finished now and did not compress at all.
    pub fn approx_bytes(&self) -> usize {
        self.store.bytes
    }

    /// Must the batch be finished before the next event? Pushing into a full batch is refused.
    pub fn is_full(&self) -> bool {
        self.len() >= self.full_events || self.approx_bytes() >= self.full_bytes
    }

    /// Do the events so far fit one frame?
    pub fn fits_frame(&self) -> bool {
        self.approx_bytes() <= Self::FULL_BYTES
    }

    /// Takes one event object as JSON text. A rejected event leaves no trace.
    pub fn push_json(&mut self, json: &[u8], now_ms: i64) -> Result<Uuid, Rejection> {
        let look = Look::at(json);
        if !look.ascii && simdutf8::basic::from_utf8(json).is_err() {
            // says where
            std::str::from_utf8(json).map_err(rules::not_utf8)?;
        }
        self.attempt(|builder| {
            let found = builder.read_event(json, look)?;
            if let Some((kind, why)) = builder.reserved
                && found.kind.bytes() == kind.as_bytes()
            {
                return Err(why());
            }
            builder.gave_id = found.id.is_some();
            let id = found.id.unwrap_or_else(|| builder.mint.mint(now_ms));
            let timestamp = found.timestamp.unwrap_or(now_ms);
            rules::timestamp(timestamp)?;
            let severity = found.severity.unwrap_or_default();
            builder.commit(id, timestamp, severity, found.kind.bytes(), found.source.bytes());
            Ok(id)
        })
    }

    /// Whether the event last taken by [`BatchBuilder::push_json`] brought an id of its own.
    pub fn last_gave_id(&self) -> bool {
        self.gave_id
    }

    fn read_event<'a>(&mut self, json: &'a [u8], look: Look) -> Result<Found<'a>, Rejection> {
        // An event no longer than the limit of `data` cannot have a longer `data`.
        if json.len() <= MAX_OBJECT {
            if let Some(found) = fast::event(&mut self.store, json, look, &mut self.order) {
                return Ok(found);
            }
            self.restart();
        }
        let json = std::str::from_utf8(json).map_err(rules::not_utf8)?;
        slow::event(&mut self.store, json, self.max_object)
    }

    /// Takes one event as a row.
    pub fn push_event(&mut self, event: &Event) -> Result<(), Rejection> {
        rules::kind(&event.kind)?;
        rules::source(&event.source)?;
        rules::timestamp(event.timestamp)?;
        rules::tags(&event.tags)?;
        let texts = [&event.correlation_id, &event.session_id, &event.user_id];
        self.attempt(|builder| {
            for (root, json) in [(roots::DATA, &event.data), (roots::METADATA, &event.metadata)] {
                if let Some(json) = json {
                    builder.read_object(root, json.get())?;
                }
            }
            if !event.tags.is_empty() {
                slow::put_tags(&mut builder.store, &event.tags);
            }
            for (root, text) in (roots::CORRELATION_ID..).zip(texts) {
                if let Some(text) = text {
                    rules::text(roots::NAMES[root as usize], text)?;
                    slow::put_text(&mut builder.store, root, text);
                }
            }
            let (kind, source) = (event.kind.as_bytes(), event.source.as_bytes());
            builder.commit(event.id, event.timestamp, event.severity, kind, source);
            Ok(())
        })
    }

    /// Takes a log record that is a JSON object; it becomes the event's `data`.
    pub fn push_log(&mut self, head: &Head<'_>, data: &[u8]) -> Result<Uuid, Rejection> {
        let data = std::str::from_utf8(data).map_err(rules::not_utf8)?;
        self.push_head(head, |builder| builder.read_object(roots::DATA, data))
    }

    /// Takes a record of plain fields, which become the event's `data`. Dots in names are part of the name.
    pub fn push_fields(&mut self, head: &Head<'_>, fields: &[(&str, Scalar<'_>)]) -> Result<Uuid, Rejection> {
        let value_len = |value: &Scalar<'_>| if let Scalar::Str(text) = value { text.len() } else { 8 };
        let len = fields
            .iter()
            .map(|(name, value)| name.len() + value_len(value) + 6)
            .sum();
        if len > MAX_OBJECT {
            return Err(rules::too_large("data", len));
        }
        self.push_head(head, |builder| {
            let start = builder.store.shape.len();
            if builder.write_fields(fields).is_some() {
                return Ok(());
            }
            builder.store.rewind(start);
            let object: serde_json::Map<String, serde_json::Value> = fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_json()))
                .collect();
            builder.read_object(roots::DATA, &serde_json::Value::Object(object).to_string())
        })
    }

    /// Writes fields; `None` when a name stands twice or columns run out.
    fn write_fields(&mut self, fields: &[(&str, Scalar<'_>)]) -> Option<()> {
        let store = &mut self.store;
        let mut previous = NONE;
        for (name, value) in fields {
            previous = store.enter(roots::DATA, previous, name)?;
            match *value {
                Scalar::Bool(value) => store.bool(previous, value),
                Scalar::Int(value) => store.int(previous, value),
                Scalar::Float(value) if value.is_finite() => store.float(previous, value),
                Scalar::Str(value) => store.text(previous, ColumnKind::Text, value),
                Scalar::Null | Scalar::Float(_) => store.flag(previous, ColumnKind::Null),
            }
            .ok()?;
        }
        if fields.is_empty() {
            store.flag(roots::DATA, ColumnKind::EmptyObject).ok()?;
        }
        Some(())
    }

    fn push_head(
        &mut self,
        head: &Head<'_>,
        data: impl FnOnce(&mut Self) -> Result<(), Rejection>,
    ) -> Result<Uuid, Rejection> {
        rules::kind(head.kind)?;
        rules::source(head.source)?;
        rules::timestamp(head.timestamp_ms)?;
        self.attempt(|builder| {
            data(builder)?;
            if let Some(metadata) = head.metadata {
                let metadata = std::str::from_utf8(metadata).map_err(rules::not_utf8)?;
                builder.read_object(roots::METADATA, metadata)?;
            }
            let id = head.id.unwrap_or_else(|| builder.mint.mint(head.timestamp_ms));
            let (kind, source) = (head.kind.as_bytes(), head.source.as_bytes());
            builder.commit(id, head.timestamp_ms, head.severity, kind, source);
            Ok(id)
        })
    }

    fn read_object(&mut self, root: u32, json: &str) -> Result<(), Rejection> {
        let start = self.store.shape.len();
        if json.len() <= MAX_OBJECT {
            if fast::object(&mut self.store, json, root).is_some() {
                return Ok(());
            }
            self.store.rewind(start);
            self.store.turn();
        }
        slow::object(&mut self.store, root, json, self.max_object)
    }

    /// Runs one push; whatever it wrote is taken back when it fails.
    fn attempt<T>(&mut self, push: impl FnOnce(&mut Self) -> Result<T, Rejection>) -> Result<T, Rejection> {
        if self.is_full() {
            return Err(rules::batch_full());
        }
        self.store.begin();
        let bytes = self.store.bytes;
        let done = push(self);
        if done.is_err() {
            self.restart();
            self.store.bytes = bytes;
        }
        done
    }

    fn restart(&mut self) {
        self.store.rewind(0);
        self.store.begin();
    }

    fn commit(&mut self, id: Uuid, timestamp: i64, severity: Severity, kind: &[u8], source: &[u8]) {
        let shape = self.store.commit();
        self.shapes.push(shape);
        self.timestamps.push(timestamp);
        self.ids.push(id);
        self.severities.push(severity as u8);
        let state = &self.store.state;
        let texts = self.kinds.push_utf8(kind, state) + self.sources.push_utf8(source, state);
        self.store.bytes += ROW_BYTES + texts;
    }

    /// Encodes the events into a frame and empties the builder, which keeps its memory for the next batch.
    pub fn finish(&mut self, seq: u64) -> Frame {
        let (memory, mut raw) = (std::mem::take(&mut self.streams), std::mem::take(&mut self.raw));
        let mut streams = Streams::over(memory);
        let (min_ts, max_ts) = self.encode(&mut streams, &mut raw);
        let memory = streams.into_memory();
        let payload = raw.get(frame::HEADER_LEN..).unwrap_or(&[]);
        let packed = self.compress(payload);
        let header = FrameHeader {
            version: frame::VERSION,
            codec: if packed { frame::CODEC_ZSTD } else { frame::CODEC_RAW },
            flags: 0,
            payload_len: 0,
            crc: 0,
            count: self.len() as u32,
            raw_len: payload.len() as u32,
            seq,
            min_ts,
            max_ts,
        };
        let frame = if packed {
            Frame::seal(header, &self.packed)
        } else {
            // Large payloads are worth giving the buffer away rather than copying it.
            let mut bytes = std::mem::take(&mut raw);
            bytes.shrink_to_fit();
            Frame::seal_in_place(header, bytes)
        };
        (self.streams, self.raw) = (memory, raw);
        self.clear();
        frame
    }

    /// Encodes the events into a chunk, compressed at a zstd `level`, and empties the builder, which keeps its memory for the next batch.
    pub fn finish_chunk(&mut self, level: i32) -> Result<EncodedChunk, EncodeError> {
        let mut streams = Streams::over(std::mem::take(&mut self.streams));
        let directory = self.directory(&mut streams);
        let index = self.index(&directory);
        let chunk = chunk::seal(directory, &streams, index, &self.ids, level);
        self.streams = streams.into_memory();
        self.clear();
        chunk
    }

    /// Compresses into `packed` and says whether that made it smaller.
    fn compress(&mut self, raw: &[u8]) -> bool {
        let Some(compressor) = &mut self.compressor else {
            return false;
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        compressor
            .compress_to_buffer(raw, &mut self.packed)
            .is_ok_and(|packed| packed < raw.len())
    }

    fn clear(&mut self) {
        self.store.clear();
        self.timestamps.clear();
        self.ids.clear();
        self.severities.clear();
        self.shapes.clear();
        self.kinds.clear();
        self.sources.clear();
        self.mint.reseed();
    }
}

impl Scalar<'_> {
    fn to_json(self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Float(value) => value.into(),
            Self::Str(value) => value.into(),
        }
    }
}

#[cfg(test)]
mod tests;
