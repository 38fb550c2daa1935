//! Takes rows out of the batch being built, and with them every string, key and shape that only they had.

use super::{
    BatchBuilder, ROW_BYTES, Streams,
    shapes::ShapeTable,
    store::{Column, Store, Values},
    text::TextColumn,
};
use crate::{
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    frame::HEADER_LEN,
};
use bytes::Bytes;
use foldhash::fast::RandomState;

impl BatchBuilder {
    /// The events so far, to be looked at before the batch is finished.
    pub fn view(&self) -> Result<Batch, DecodeError> {
        let mut raw = Vec::new();
        self.encode(&mut Streams::default(), &mut raw);
        Batch::from_payload(Bytes::from(raw).slice(HEADER_LEN..))
    }

    /// Keeps the rows in the set and forgets the others.
    pub fn retain(&mut self, rows: &Bitmap) {
        let kept: Vec<bool> = (0..self.len()).map(|row| rows.get(row)).collect();
        if kept.iter().all(|kept| *kept) {
            return;
        }
        self.store.retain(&mut self.shapes, &kept);
        keep(&mut self.timestamps, &kept);
        keep(&mut self.ids, &kept);
        keep(&mut self.severities, &kept);
        self.kinds.retain(&kept, &self.store.state);
        self.sources.retain(&kept, &self.store.state);
        self.store.bytes = self.bound();
    }

    /// The upper bound of [`BatchBuilder::approx_bytes`] from what there is, not from how it came to be.
    pub(super) fn bound(&self) -> usize {
        let columns = self.store.columns.iter().filter(|column| column.present > 0);
        let columns: usize = columns
            .map(|column| column.bound() + self.store.column_bytes(column.node))
            .sum();
        let shapes: usize = (0..self.store.shapes.len())
            .map(|shape| 3 * self.store.shapes.get(shape).len() + 3)
            .sum();
        self.len() * ROW_BYTES + self.kinds.bound() + self.sources.bound() + columns + shapes
    }
}

fn keep<T>(values: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| kept.next().is_some_and(|kept| *kept));
}

impl Store {
    fn retain(&mut self, rows: &mut Vec<u32>, kept: &[bool]) {
        let mut of_columns: Vec<Vec<bool>> = self
            .columns
            .iter()
            .map(|column| Vec::with_capacity(column.present as usize))
            .collect();
        for (shape, kept) in rows.iter().zip(kept) {
            for column in self.shapes.get(*shape as usize) {
                of_columns[*column as usize].push(*kept);
            }
        }
        for (column, kept) in self.columns.iter_mut().zip(&of_columns) {
            column.retain(kept, &self.state);
        }
        keep(rows, kept);
        let old = std::mem::take(&mut self.shapes);
        self.shapes = ShapeTable::default();
        rows.iter_mut()
            .for_each(|shape| *shape = self.shapes.intern(old.get(*shape as usize), &self.state));
        self.count_live();
    }
}

impl Column {
    fn bound(&self) -> usize {
        match &self.values {
            Values::Flag => 0,
            Values::Bools(values) => values.len(),
            Values::Ints(values) => values.len() * 10,
            Values::Floats(values) => values.len() * 10,
            Values::Text(values) => values.bound(),
        }
    }

    fn retain(&mut self, kept: &[bool], state: &RandomState) {
        self.present = kept.iter().filter(|kept| **kept).count() as u32;
        match &mut self.values {
            Values::Flag => {}
            Values::Bools(values) => keep(values, kept),
            Values::Ints(values) => keep(values, kept),
            Values::Floats(values) => keep(values, kept),
            Values::Text(values) => values.retain(kept, state),
        }
    }
}

impl TextColumn {
    fn bound(&self) -> usize {
        self.text_bytes() + 7 * self.len()
    }

    fn retain(&mut self, kept: &[bool], state: &RandomState) {
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let rows: Vec<usize> = kept
            .iter()
            .zip(0..)
            .filter(|(kept, _)| **kept)
            .map(|(_, row)| row)
            .collect();
        self.keep_rows(&rows, state);
    }
}
