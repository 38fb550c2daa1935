//! Many batches' columns as one: keys and shapes united, dictionaries remapped, values one after the other.

use super::{
    concat,
    index::{Index, SHORT},
};
use crate::{
    batch::{Batch, ColumnKind, DecodeError, Values},
    build::{Streams, TextColumn, put_bits, put_floats, put_ids, put_shape, put_timestamps, write_ids},
    column::{
        layout::{Bounds, Column, Directory, Encoding, Node},
        varint::{self, zigzag},
    },
};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use uuid::Uuid;

/// Where each batch's keys and columns go.
pub(super) struct Plan<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) columns: Vec<(u32, ColumnKind)>,
    /// For each column, the batches that have it and its number there.
    parts: Vec<Vec<(&'a Batch, usize)>>,
    /// For each batch, the new number of each of its columns.
    maps: Vec<Vec<u32>>,
}

impl<'a> Plan<'a> {
    pub(super) fn of(batches: &[&'a Batch]) -> Self {
        let mut plan = Self {
            nodes: Vec::new(),
            columns: Vec::new(),
            parts: Vec::new(),
            maps: Vec::new(),
        };
        let mut known_nodes = HashMap::<(u32, &str), u32, RandomState>::default();
        let mut known_columns = HashMap::<(u32, ColumnKind), u32, RandomState>::default();
        for batch in batches {
            let mut nodes: Vec<u32> = Vec::with_capacity(batch.layout().nodes.len());
            for node in &batch.layout().nodes {
                let parent = node.parent.map_or(0, |parent| nodes[parent] + 1);
                let number = *known_nodes.entry((parent, &node.key)).or_insert_with(|| {
                    plan.nodes.push(Node { parent, key: &node.key });
                    plan.nodes.len() as u32 - 1
                });
                nodes.push(number);
            }
            let mut map = Vec::with_capacity(batch.layout().columns.len());
            for (index, column) in batch.layout().columns.iter().enumerate() {
                let place = (nodes[column.node], column.kind);
                let number = *known_columns.entry(place).or_insert_with(|| {
                    plan.columns.push(place);
                    plan.parts.push(Vec::new());
                    plan.columns.len() as u32 - 1
                });
                plan.parts[number as usize].push((batch, index));
                map.push(number);
            }
            plan.maps.push(map);
        }
        plan
    }
}

/// What is known of the events besides their streams.
pub(super) struct Merged<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) ids: Vec<Uuid>,
}

/// Writes all streams, noting in `index` what a search may ask for.
pub(super) fn merge<'a>(
    batches: &[&'a Batch],
    plan: Plan<'a>,
    streams: &mut Streams<'_>,
    index: &mut Index,
) -> Result<Merged<'a>, DecodeError> {
    let state = RandomState::default();
    let (mut timestamps, mut ids, mut severities) = (Vec::new(), Vec::new(), Vec::new());
    for batch in batches {
        let of_batch = batch.timestamps()?;
        ids.extend(batch.ids_at(&of_batch)?);
        timestamps.extend(of_batch);
        severities.extend(batch.severities()?);
    }
    let min_ts = timestamps.iter().copied().min().unwrap_or(0);
    let max_ts = timestamps.iter().copied().max().unwrap_or(0);
    streams.put(|out| put_timestamps(out, min_ts, &timestamps));
    put_ids(streams, &ids, &timestamps);
    streams.put(|out| out.extend_from_slice(&severities));
    index.severities(&severities);
    let shapes = put_shapes(batches, &plan.maps, streams)?;
    let mut kinds = TextColumn::default();
    let mut sources = TextColumn::default();
    for batch in batches {
        kinds.append_rows(&batch.text_values(batch.layout().kind, batch.len())?, &state);
        sources.append_rows(&batch.text_values(batch.layout().source, batch.len())?, &state);
    }
    index.fixed("type", kinds.entries());
    index.fixed("source", sources.entries());
    let kind = kinds.encode(streams);
    let source = sources.encode(streams);
    let mut columns = Vec::with_capacity(plan.columns.len());
    for ((node, kind), parts) in plan.columns.iter().zip(&plan.parts) {
        let path = index.path(&plan.nodes, *node);
        let (encoding, bounds) = put_column(*kind, parts, &state, streams, index, path)?;
        let present = parts
            .iter()
            .map(|(batch, column)| batch.layout().columns[*column].present as u32)
            .sum();
        columns.push(Column {
            node: *node,
            kind: *kind as u8,
            encoding,
            present,
            bounds,
        });
    }
    let count = timestamps.len() as u32;
    let directory = Directory {
        count,
        min_ts,
        max_ts,
        shapes,
        kind,
        source,
        nodes: plan.nodes,
        columns,
    };
    Ok(Merged { directory, ids })
}

/// Unites the batches' shapes and says how many there are.
fn put_shapes(batches: &[&Batch], maps: &[Vec<u32>], streams: &mut Streams<'_>) -> Result<u32, DecodeError> {
    let mut known = HashMap::<Vec<u32>, u32, RandomState>::default();
    let mut lists = Vec::new();
    let mut rows = Vec::new();
    for (batch, map) in batches.iter().zip(maps) {
        let shapes = batch.shapes()?;
        let mut numbers = Vec::with_capacity(shapes.len());
        for shape in 0..shapes.len() {
            let columns: Vec<u32> = shapes
                .columns(shape)
                .iter()
                .map(|column| map[*column as usize])
                .collect();
            let next = known.len() as u32;
            let number = *known.entry(columns).or_insert_with_key(|columns| {
                put_shape(&mut lists, columns.iter().copied());
                next
            });
            numbers.push(number);
        }
        rows.extend((0..batch.len()).map(|row| numbers[shapes.of(row)]));
    }
    streams.put(|out| out.append(&mut lists));
    streams.put(|out| write_ids(out, &rows, known.len() as u32));
    Ok(known.len() as u32)
}

/// Rows that hardly repeat within a batch of at least so many are taken not to repeat at all.
const LONG: usize = 96;

fn put_column(
    kind: ColumnKind,
    parts: &[(&Batch, usize)],
    state: &RandomState,
    streams: &mut Streams<'_>,
    index: &mut Index,
    path: u64,
) -> Result<(Encoding, Option<Bounds>), DecodeError> {
    if kind != ColumnKind::Text && kind != ColumnKind::Object {
        index.unlisted(path);
    }
    if let Some(numbers) = concat::numbers(parts)? {
        streams.put(|out| numbers.streams.iter().for_each(|stream| out.extend_from_slice(stream)));
        return Ok((numbers.encoding, numbers.bounds));
    }
    if kind == ColumnKind::Text
        && let Some(texts) = concat::plain_texts(parts, LONG, SHORT)?
    {
        for parts in &texts {
            streams.put(|out| parts.iter().for_each(|stream| out.extend_from_slice(stream)));
        }
        index.unlisted(path);
        return Ok((Encoding::Plain, None));
    }
    let (mut bits, mut ints, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (batch, column) in parts {
        match batch.values(*column)? {
            Values::Flag => {}
            Values::Bits(values) => {
                let present = batch.layout().columns[*column].present;
                bits.extend((0..present).map(|at| values.get(at)));
            }
            Values::Ints(values) => ints.extend(values),
            Values::Floats(values) => floats.extend(values),
            Values::Text(values) => texts.push(values),
        }
    }
    Ok(match kind {
        ColumnKind::Null | ColumnKind::EmptyObject | ColumnKind::EmptyArray => (Encoding::Flag, None),
        ColumnKind::Bool => {
            streams.put(|out| put_bits(out, &bits));
            (Encoding::Bits, None)
        }
        ColumnKind::Int => {
            streams.put(|out| ints.iter().for_each(|value| varint::write(out, zigzag(*value))));
            (Encoding::Varint, Bounds::of_ints(&ints))
        }
        ColumnKind::Float => {
            let mut encoding = Encoding::Double;
            streams.put(|out| encoding = put_floats(out, &floats));
            (encoding, Bounds::of_floats(&floats))
        }
        ColumnKind::Number | ColumnKind::Text | ColumnKind::Array | ColumnKind::Object => {
            let mut merged = TextColumn::default();
            let plain = texts
                .iter()
                .all(|rows| rows.ids.is_none() && rows.strings.len() >= LONG);
            for rows in &texts {
                if plain {
                    merged.append_plain(rows)
                } else {
                    merged.append_rows(rows, state)
                }
            }
            let encoding = merged.encode(streams);
            match kind {
                ColumnKind::Text => index.texts(path, &merged, encoding),
                ColumnKind::Object => merged.entries().for_each(|json| index.object(path, json)),
                _ => {}
            }
            (encoding, None)
        }
    })
}
