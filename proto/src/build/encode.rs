//! The columns of a finished batch as streams and a directory.

use super::{
    BatchBuilder,
    schema::NONE,
    store::{Store, Values},
    text::write_ids,
};
use crate::batch::ColumnKind;
use crate::chunk::Index;
use crate::column::{
    layout::{self, Bounds, Column, Directory, Encoding, Node, Payload},
    read::scale,
    varint::{self, zigzag},
};
use crate::frame::HEADER_LEN;
use std::ops::Range;
use uuid::Uuid;

/// Streams in their order: those that are written here, and those that stand somewhere as they are and need not be copied.
#[derive(Debug, Default)]
pub(crate) struct Streams<'a> {
    bytes: Vec<u8>,
    parts: Vec<Part<'a>>,
}

#[derive(Debug)]
enum Part<'a> {
    Written(Range<usize>),
    Lent(&'a [u8]),
}

impl<'a> Streams<'a> {
    /// None yet, with the memory of others.
    pub(crate) fn over(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self {
            bytes,
            parts: Vec::new(),
        }
    }

    /// The memory, for others.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes one stream.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.parts.push(Part::Written(start..self.bytes.len()));
    }

    /// Adds a stream that stands there already.
    pub(crate) fn lend(&mut self, stream: &'a [u8]) {
        self.parts.push(Part::Lent(stream));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Written(range) => &self.bytes[range.clone()],
            Part::Lent(stream) => stream,
        })
    }
}

impl BatchBuilder {
    /// Writes the payload of the batch into `out` behind room for the header of a frame, using `streams` as scratch.
    pub(super) fn encode<'a>(&'a self, streams: &mut Streams<'a>, out: &mut Vec<u8>) -> (i64, i64) {
        let directory = self.directory(streams);
        let bounds = (directory.min_ts, directory.max_ts);
        // Lengths and the directory take some bytes for each stream and column.
        let around = 64 * (streams.len() + directory.columns.len() + directory.nodes.len());
        let bytes: usize = streams.iter().map(<[u8]>::len).sum();
        out.clear();
        out.reserve(HEADER_LEN + bytes + around);
        out.resize(HEADER_LEN, 0);
        layout::write(
            &Payload {
                directory,
                streams: streams.iter().collect(),
            },
            out,
        );
        bounds
    }

    /// Writes the streams of the batch and says what they are.
    pub(super) fn directory<'a>(&'a self, streams: &mut Streams<'a>) -> Directory<'a> {
        let bounds = (
            self.timestamps.iter().copied().min(),
            self.timestamps.iter().copied().max(),
        );
        let (min_ts, max_ts) = (bounds.0.unwrap_or(0), bounds.1.unwrap_or(0));
        streams.put(|out| put_timestamps(out, min_ts, &self.timestamps));
        put_ids(streams, &self.ids, &self.timestamps);
        streams.lend(&self.severities);
        let used = Used::of(&self.store);
        streams.put(|out| {
            for shape in 0..self.store.shapes.len() {
                put_shape(
                    out,
                    self.store
                        .shapes
                        .get(shape)
                        .iter()
                        .map(|column| used.columns[*column as usize]),
                );
            }
        });
        let shapes = self.store.shapes.len() as u32;
        streams.put(|out| write_ids(out, &self.shapes, shapes));
        let kind = self.kinds.encode_lent(streams);
        let source = self.sources.encode_lent(streams);
        let columns = self.columns(&used, streams);
        Directory {
            count: self.len() as u32,
            min_ts,
            max_ts,
            shapes,
            kind,
            source,
            nodes: used.nodes(&self.store),
            columns,
        }
    }

    /// What a search may ask the batch for.
    pub(super) fn index(&self, directory: &Directory<'_>) -> Index {
        let mut index = Index::new();
        index.severities(&self.severities);
        index.fixed("type", self.kinds.entries());
        index.fixed("source", self.sources.entries());
        let live = self.store.columns.iter().filter(|column| column.present > 0);
        for (column, written) in live.zip(&directory.columns) {
            let path = index.path(&directory.nodes, written.node);
            match (&column.values, column.kind) {
                (Values::Text(texts), ColumnKind::Text) => index.texts(path, texts, written.encoding),
                (Values::Text(texts), ColumnKind::Object) => {
                    texts.entries().for_each(|json| index.object(path, json));
                }
                _ => index.unlisted(path),
            }
        }
        index
    }

    fn columns<'a>(&'a self, used: &Used, streams: &mut Streams<'a>) -> Vec<Column> {
        let live = self.store.columns.iter().filter(|column| column.present > 0);
        let encode = |column: &'a super::store::Column| {
            let (encoding, bounds) = match &column.values {
                Values::Flag => (Encoding::Flag, None),
                Values::Bools(values) => {
                    streams.put(|out| put_bits(out, values));
                    (Encoding::Bits, None)
                }
                Values::Ints(values) => {
                    streams.put(|out| values.iter().for_each(|value| varint::write(out, zigzag(*value))));
                    (Encoding::Varint, Bounds::of_ints(values))
                }
                Values::Floats(values) => {
                    let mut encoding = Encoding::Double;
                    streams.put(|out| encoding = put_floats(out, values));
                    (encoding, Bounds::of_floats(values))
                }
                Values::Text(values) => (values.encode_lent(streams), None),
            };
            Column {
                node: used.nodes[column.node as usize],
                kind: column.kind as u8,
                encoding,
                present: column.present,
                bounds,
            }
        };
        live.map(encode).collect()
    }
}

/// The columns and keys that this batch has values in, renumbered without gaps.
struct Used {
    columns: Vec<u32>,
    nodes: Vec<u32>,
}

impl Used {
    fn of(store: &Store) -> Self {
        let mut nodes = vec![NONE; store.schema.nodes.len()];
        let mut next = 0;
        let columns = store.columns.iter().map(|column| {
            if column.present == 0 {
                return NONE;
            }
            let mut node = column.node;
            while node != NONE && nodes[node as usize] == NONE {
                nodes[node as usize] = 0;
                node = store.schema.nodes[node as usize].parent;
            }
            next += 1;
            next - 1
        });
        let columns = columns.collect();
        // Parents are older than their children, so numbering by age puts them first.
        nodes
            .iter_mut()
            .filter(|node| **node == 0)
            .zip(0..)
            .for_each(|(node, number)| *node = number);
        Self { columns, nodes }
    }

    fn nodes<'a>(&self, store: &'a Store) -> Vec<Node<'a>> {
        let used = self
            .nodes
            .iter()
            .zip(&store.schema.nodes)
            .filter(|(number, _)| **number != NONE);
        let parent = |parent: u32| {
            if parent == NONE {
                0
            } else {
                self.nodes[parent as usize] + 1
            }
        };
        used.map(|(_, node)| Node {
            parent: parent(node.parent),
            key: &node.key,
        })
        .collect()
    }
}

/// Writes times as steps, the first from `base`.
pub(crate) fn put_timestamps(out: &mut Vec<u8>, base: i64, timestamps: &[i64]) {
    let mut before = base;
    for timestamp in timestamps {
        varint::write(out, zigzag(timestamp.wrapping_sub(before)));
        before = *timestamp;
    }
}

/// Bytes of an id behind its time.
pub(crate) const TAIL: usize = 10;

/// Writes ids as their distance from the event's time, which is small for those of version 7, and the ten bytes after.
pub(crate) fn put_ids(streams: &mut Streams<'_>, ids: &[Uuid], timestamps: &[i64]) {
    streams.put(|out| {
        for (id, timestamp) in ids.iter().zip(timestamps) {
            varint::write(out, zigzag(((id.as_u128() >> 80) as i64).wrapping_sub(*timestamp)));
        }
    });
    streams.put(|out| {
        let start = out.len();
        out.resize(start + ids.len() * TAIL, 0);
        let (tails, _) = out.split_at_mut(start).1.as_chunks_mut::<TAIL>();
        for (tail, id) in tails.iter_mut().zip(ids) {
            if let Some(bytes) = id.as_bytes().last_chunk() {
                *tail = *bytes;
            }
        }
    });
}

/// Writes a column list.
pub(crate) fn put_shape(out: &mut Vec<u8>, columns: impl ExactSizeIterator<Item = u32>) {
    varint::write(out, columns.len() as u64);
    columns.for_each(|column| varint::write(out, u64::from(column)));
}

/// Packs booleans, lowest bit first.
pub(crate) fn put_bits(out: &mut Vec<u8>, values: &[bool]) {
    out.extend(
        values
            .chunks(8)
            .map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))),
    );
}

/// Writes floats as scaled decimals if that is exact.
pub(crate) fn put_floats(out: &mut Vec<u8>, values: &[f64]) -> Encoding {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let start = out.len();
    for (exponent, scale) in (0..).map_while(|exponent| scale(exponent).map(|scale| (exponent, scale))) {
        // Adding half and cutting rounds well enough: whatever does not come back bit by bit is not written so.
        let exact = |value: &f64| {
            let scaled = value * scale;
            let whole = (scaled + 0.5f64.copysign(scaled)) as i64;
            let same = scaled.abs() < EXACT && (whole as f64 / scale).to_bits() == value.to_bits();
            same.then(|| varint::write(out, zigzag(whole)))
        };
        if values.iter().try_for_each(exact).is_some() {
            return Encoding::Decimal(exponent);
        }
        out.truncate(start);
    }
    values
        .iter()
        .for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    Encoding::Double
}
