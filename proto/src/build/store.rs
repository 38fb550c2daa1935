//! The columns of the batch being built, and the event being written into them.

use super::{
    look::Literal,
    schema::{NONE, Schema, roots},
    shapes::ShapeTable,
    text::TextColumn,
};
use crate::batch::ColumnKind;
use foldhash::fast::RandomState;

/// Columns that attributes may take; the rest of a frame's 256 is kept for the fixed fields and the overflow.
pub(super) const MAX_ATTRIBUTE_COLUMNS: usize = 240;
/// Columns remembered between batches before all are forgotten.
const MAX_KEPT_COLUMNS: usize = 2048;
/// Bytes of column memory kept between batches before all are forgotten.
pub(super) const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// There is no room for a value in columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// The values of a column, dense.
#[derive(Debug)]
pub(super) enum Values {
    Flag,
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Text(TextColumn),
}

/// The values of one kind at one node.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) node: u32,
    pub(super) kind: ColumnKind,
    pub(super) present: u32,
    pub(super) values: Values,
}

/// Everything but the fields that each event has.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) schema: Schema,
    pub(super) columns: Vec<Column>,
    pub(super) shapes: ShapeTable,
    pub(super) state: RandomState,
    /// The columns of the event at hand, in order.
    pub(super) shape: Vec<u32>,
    /// The event at hand, for [`super::schema::Node::seen`].
    turn: u32,
    /// Columns with values in this batch, roots not counted.
    live: usize,
    /// The most there may be.
    max_live: usize,
    /// Bytes of column memory kept between batches.
    pub(super) max_kept: usize,
    /// An upper bound of what the columns take once encoded.
    pub(super) bytes: usize,
}

impl Store {
    pub(super) fn new(max_live: usize) -> Self {
        Self {
            schema: Schema::new(),
            columns: Vec::new(),
            shapes: ShapeTable::default(),
            state: RandomState::default(),
            shape: Vec::new(),
            turn: 0,
            live: 0,
            max_live,
            max_kept: MAX_KEPT_BYTES,
            bytes: 0,
        }
    }

    /// Begins an event.
    pub(super) fn begin(&mut self) {
        self.shape.clear();
        self.turn();
    }

    /// Forgets which keys the event at hand has had.
    pub(super) fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// The child of a node for a key of the event at hand; `None` when the key stands twice or there is no room for it.
    #[inline]
    pub(super) fn enter(&mut self, parent: u32, previous: u32, key: &str) -> Option<u32> {
        let child = self.schema.child(parent, previous, key, &self.state)?;
        self.mark(child)
    }

    /// As [`Schema::guess`].
    #[inline]
    pub(super) fn guess(&self, parent: u32, previous: u32) -> Option<(u32, &Literal<Box<[u8]>>)> {
        self.schema.guess(parent, previous)
    }

    /// Notes that the event at hand has a key, unless it has had it already.
    #[inline]
    pub(super) fn mark(&mut self, child: u32) -> Option<u32> {
        let seen = &mut self.schema.nodes[child as usize].seen;
        if *seen == self.turn {
            return None;
        }
        *seen = self.turn;
        Some(child)
    }

    #[inline]
    pub(super) fn flag(&mut self, node: u32, kind: ColumnKind) -> Result<(), Full> {
        self.column(node, kind).map(drop)
    }

    #[inline]
    pub(super) fn bool(&mut self, node: u32, value: bool) -> Result<(), Full> {
        if let Values::Bools(values) = self.column(node, ColumnKind::Bool)? {
            values.push(value);
        }
        self.bytes += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn int(&mut self, node: u32, value: i64) -> Result<(), Full> {
        if let Values::Ints(values) = self.column(node, ColumnKind::Int)? {
            values.push(value);
        }
        self.bytes += 10;
        Ok(())
    }

    #[inline]
    pub(super) fn float(&mut self, node: u32, value: f64) -> Result<(), Full> {
        if let Values::Floats(values) = self.column(node, ColumnKind::Float)? {
            values.push(value);
        }
        self.bytes += 10;
        Ok(())
    }

    #[inline]
    pub(super) fn text(&mut self, node: u32, kind: ColumnKind, value: &str) -> Result<(), Full> {
        self.utf8(node, kind, value.as_bytes())
    }

    /// A string by its bytes, which are UTF-8.
    #[inline]
    pub(super) fn utf8(&mut self, node: u32, kind: ColumnKind, value: &[u8]) -> Result<(), Full> {
        let state = self.state.clone();
        let mut bytes = 0;
        if let Values::Text(values) = self.column(node, kind)? {
            bytes = values.push_utf8(value, &state);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Notes one more value in a column and hands out where it goes.
    #[inline(always)]
    fn column(&mut self, node: u32, kind: ColumnKind) -> Result<&mut Values, Full> {
        let known = self.schema.nodes[node as usize].columns[kind as usize];
        let index = if known == NONE {
            self.add_column(node, kind)?
        } else {
            known
        };
        if self.columns[index as usize].present == 0 {
            self.wake(node)?;
        }
        self.shape.push(index);
        let column = &mut self.columns[index as usize];
        column.present += 1;
        Ok(&mut column.values)
    }

    /// Makes room for a column's first value in this batch.
    #[cold]
    fn wake(&mut self, node: u32) -> Result<(), Full> {
        if node > roots::USER_ID {
            if self.live >= self.max_live {
                return Err(Full);
            }
            self.live += 1;
        }
        self.bytes += self.column_bytes(node);
        Ok(())
    }

    /// What the directory says of a column takes at most this.
    pub(super) fn column_bytes(&self, node: u32) -> usize {
        64 + self.schema.path_bytes(node)
    }

    /// The column of a kind of value at a node, for values that are put there later.
    pub(super) fn column_at(&mut self, node: u32, kind: ColumnKind) -> Result<u32, Full> {
        match self.schema.nodes[node as usize].columns[kind as usize] {
            NONE => self.add_column(node, kind),
            known => Ok(known),
        }
    }

    /// Whether so many columns with values and one more fit beside those that there are.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.live + more < self.max_live
    }

    #[cold]
    fn add_column(&mut self, node: u32, kind: ColumnKind) -> Result<u32, Full> {
        if node > roots::USER_ID && self.live >= self.max_live {
            return Err(Full);
        }
        let values = match kind {
            ColumnKind::Null | ColumnKind::EmptyObject | ColumnKind::EmptyArray => Values::Flag,
            ColumnKind::Bool => Values::Bools(Vec::new()),
            ColumnKind::Int => Values::Ints(Vec::new()),
            ColumnKind::Float => Values::Floats(Vec::new()),
            ColumnKind::Number | ColumnKind::Text | ColumnKind::Array | ColumnKind::Object => {
                Values::Text(TextColumn::default())
            }
        };
        let index = self.columns.len() as u32;
        self.columns.push(Column {
            node,
            kind,
            present: 0,
            values,
        });
        self.schema.nodes[node as usize].columns[kind as usize] = index;
        Ok(index)
    }

    /// Takes back what the event at hand has written since its shape had `len` columns.
    pub(super) fn rewind(&mut self, len: usize) {
        while self.shape.len() > len {
            let Some(index) = self.shape.pop() else { return };
            let column = &mut self.columns[index as usize];
            column.present -= 1;
            match &mut column.values {
                Values::Flag => {}
                Values::Bools(values) => drop(values.pop()),
                Values::Ints(values) => drop(values.pop()),
                Values::Floats(values) => drop(values.pop()),
                Values::Text(values) => values.pop(&self.state),
            }
            if column.present == 0 && column.node > roots::USER_ID {
                self.live -= 1;
            }
        }
    }

    /// Counts the columns with values anew.
    pub(super) fn count_live(&mut self) {
        let live = self
            .columns
            .iter()
            .filter(|column| column.present > 0 && column.node > roots::USER_ID);
        self.live = live.count();
    }

    /// Ends the event and gives its shape.
    pub(super) fn commit(&mut self) -> u32 {
        let known = self.shapes.len();
        let id = self.shapes.intern(&self.shape, &self.state);
        if self.shapes.len() > known {
            self.bytes += 3 * self.shape.len() + 3;
        }
        id
    }

    /// Forgets the values and, unless they have grown out of hand, keeps keys, columns and memory.
    pub(super) fn clear(&mut self) {
        let kept: usize = self.columns.iter().map(Column::capacity).sum();
        if self.schema.nodes.len() > super::schema::MAX_NODES / 2
            || self.columns.len() > MAX_KEPT_COLUMNS
            || kept > self.max_kept
        {
            self.schema = Schema::new();
            self.columns.clear();
        }
        for column in &mut self.columns {
            column.present = 0;
            match &mut column.values {
                Values::Flag => {}
                Values::Bools(values) => values.clear(),
                Values::Ints(values) => values.clear(),
                Values::Floats(values) => values.clear(),
                Values::Text(values) => values.clear(),
            }
        }
        self.shapes.clear();
        self.shape.clear();
        self.live = 0;
        self.bytes = 0;
    }
}

impl Column {
    fn capacity(&self) -> usize {
        match &self.values {
            Values::Flag => 0,
            Values::Bools(values) => values.capacity(),
            Values::Ints(values) => values.capacity() * 8,
            Values::Floats(values) => values.capacity() * 8,
            Values::Text(values) => values.capacity(),
        }
    }
}
