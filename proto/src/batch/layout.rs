//! The directory of a batch once it is checked: nothing in it points outside.

use super::{ColumnKind, DecodeError};
use crate::{
    column::layout::{Bounds, Directory, Encoding, FIXED_STREAMS, id_width},
    event::{MAX_DEPTH, MAX_OBJECT},
    frame::MAX_COUNT,
    path::Path,
};
use foldhash::fast::RandomState;
use std::collections::HashSet;

/// The most columns of a frame.
pub(crate) const MAX_FRAME_COLUMNS: usize = 256;
/// The most columns of a chunk.
pub(crate) const MAX_CHUNK_COLUMNS: usize = 16 * MAX_FRAME_COLUMNS;

/// The fields that stand in columns by path; the others have streams of their own.
pub(crate) const ATTRIBUTE_ROOTS: [&str; 6] = ["data", "metadata", "tags", "correlation_id", "session_id", "user_id"];

/// A key on the way to columns.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parent: Option<usize>,
    pub(crate) key: String,
    depth: usize,
    path_bytes: usize,
}

/// One column and where its streams begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) node: usize,
    pub(crate) kind: ColumnKind,
    pub(crate) present: usize,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) place: Place,
}

/// How values stand in streams, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) encoding: Encoding,
    pub(crate) stream: usize,
}

/// A checked directory.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) count: usize,
    pub(crate) min_ts: i64,
    pub(crate) max_ts: i64,
    pub(crate) shapes: u32,
    pub(crate) kind: Place,
    pub(crate) source: Place,
    pub(crate) nodes: Vec<Node>,
    pub(crate) columns: Vec<Column>,
}

impl Layout {
    pub(crate) fn read(directory: &Directory<'_>, max_columns: usize) -> Result<Self, DecodeError> {
        limit("count", directory.count as usize, MAX_COUNT as usize)?;
        limit("columns", directory.columns.len(), max_columns)?;
        limit("keys", directory.nodes.len(), max_columns * MAX_DEPTH)?;
        let shapes_fit = if directory.count == 0 {
            directory.shapes == 0
        } else {
            directory.shapes > 0
        };
        if !shapes_fit || directory.shapes > directory.count || directory.min_ts > directory.max_ts {
            return Err(DecodeError::Malformed("directory"));
        }
        let nodes = read_nodes(directory)?;
        let mut stream = FIXED_STREAMS;
        let mut place = |encoding: Encoding| {
            let place = Place { encoding, stream };
            stream += encoding.streams();
            place
        };
        let (kind, source) = (place(directory.kind), place(directory.source));
        if !is_text(kind.encoding) || !is_text(source.encoding) {
            return Err(DecodeError::Malformed("type or source"));
        }
        let mut columns = Vec::with_capacity(directory.columns.len());
        let mut known = HashSet::<_, RandomState>::default();
        for column in &directory.columns {
            let kind = ColumnKind::ALL.get(usize::from(column.kind)).copied();
            let (Some(kind), Some(node)) = (kind, nodes.get(column.node as usize)) else {
                return Err(DecodeError::Malformed("column"));
            };
            if !fits_place(node, kind)
                || !fits_encoding(kind, column.encoding)
                || column.present > directory.count
                || !known.insert((column.node, kind))
            {
                return Err(DecodeError::Malformed("column"));
            }
            columns.push(Column {
                node: column.node as usize,
                kind,
                present: column.present as usize,
                bounds: column.bounds,
                place: place(column.encoding),
            });
        }
        Ok(Self {
            count: directory.count as usize,
            min_ts: directory.min_ts,
            max_ts: directory.max_ts,
            shapes: directory.shapes,
            kind,
            source,
            nodes,
            columns,
        })
    }

    /// The node of a path.
    pub(crate) fn find(&self, path: &Path) -> Option<usize> {
        let child = |parent, key: &String| {
            self.nodes
                .iter()
                .position(|node| node.parent == parent && node.key == *key)
        };
        path.segments()
            .iter()
            .try_fold(None, |parent, key| child(parent, key).map(Some))
            .flatten()
    }

    /// The columns at a node.
    pub(crate) fn columns_at(&self, node: usize) -> impl Iterator<Item = (usize, &Column)> {
        self.columns
            .iter()
            .enumerate()
            .filter(move |(_, column)| column.node == node)
    }

    /// Is one node the other or below it?
    pub(crate) fn is_within(&self, mut node: usize, ancestor: usize) -> bool {
        loop {
            if node == ancestor {
                return true;
            }
            match self.nodes.get(node).and_then(|node| node.parent) {
                Some(parent) => node = parent,
                None => return false,
            }
        }
    }

    /// The nodes from the root to this one.
    pub(crate) fn lineage(&self, node: usize) -> Vec<usize> {
        let mut nodes: Vec<usize> =
            std::iter::successors(Some(node), |node| self.nodes.get(*node).and_then(|node| node.parent)).collect();
        nodes.reverse();
        nodes
    }

    /// The path of a node.
    pub(crate) fn path(&self, node: usize) -> Path {
        let nodes = self.lineage(node);
        Path::from_segments(
            nodes
                .iter()
                .filter_map(|node| self.nodes.get(*node))
                .map(|node| node.key.clone())
                .collect(),
        )
    }
}

fn limit(what: &'static str, value: usize, max: usize) -> Result<(), DecodeError> {
    if value <= max {
        Ok(())
    } else {
        Err(DecodeError::Limit {
            what,
            value: value as u64,
            max: max as u64,
        })
    }
}

fn read_nodes(directory: &Directory<'_>) -> Result<Vec<Node>, DecodeError> {
    let mut nodes: Vec<Node> = Vec::with_capacity(directory.nodes.len());
    let mut known = HashSet::<_, RandomState>::default();
    for node in &directory.nodes {
        if !known.insert((node.parent, node.key)) {
            return Err(DecodeError::Malformed("key"));
        }
        let parent = (node.parent as usize).checked_sub(1);
        let (depth, path_bytes) = match parent {
            None if ATTRIBUTE_ROOTS.contains(&node.key) => (1, 0),
            None => return Err(DecodeError::Malformed("key")),
            Some(parent) => match nodes.get(parent) {
                Some(above) if above.parent.is_some() || ["data", "metadata"].contains(&above.key.as_str()) => {
                    (above.depth + 1, above.path_bytes + node.key.len())
                }
                _ => return Err(DecodeError::Malformed("key")),
            },
        };
        // Bounded so that showing a hostile batch's paths cannot cost more than honest ones do.
        limit("depth", depth, MAX_DEPTH)?;
        limit("path length", path_bytes, MAX_OBJECT)?;
        nodes.push(Node {
            parent,
            key: node.key.to_owned(),
            depth,
            path_bytes,
        });
    }
    Ok(nodes)
}

fn fits_place(node: &Node, kind: ColumnKind) -> bool {
    match (node.parent, node.key.as_str()) {
        (Some(_), _) => kind != ColumnKind::Object,
        (None, "data" | "metadata") => matches!(kind, ColumnKind::EmptyObject | ColumnKind::Object),
        (None, "tags") => matches!(kind, ColumnKind::EmptyArray | ColumnKind::Array),
        (None, _) => kind == ColumnKind::Text,
    }
}

fn is_text(encoding: Encoding) -> bool {
    match encoding {
        Encoding::Plain => true,
        Encoding::Dictionary { entries, width } => width == id_width(entries),
        _ => false,
    }
}

fn fits_encoding(kind: ColumnKind, encoding: Encoding) -> bool {
    match kind {
        ColumnKind::Null | ColumnKind::EmptyObject | ColumnKind::EmptyArray => encoding == Encoding::Flag,
        ColumnKind::Bool => encoding == Encoding::Bits,
        ColumnKind::Int => encoding == Encoding::Varint,
        ColumnKind::Float => matches!(encoding, Encoding::Decimal(_) | Encoding::Double),
        ColumnKind::Number | ColumnKind::Text | ColumnKind::Array | ColumnKind::Object => is_text(encoding),
    }
}
