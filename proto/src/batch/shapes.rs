//! Which columns each row has, in the order that the event had its keys.

use super::{DecodeError, Layout};
use crate::{
    bitmap::Bitmap,
    column::{layout::id_width, read, varint::Reader},
};

/// The distinct column lists of a batch and each row's own.
#[derive(Debug)]
pub(crate) struct Shapes {
    items: Vec<u32>,
    ends: Vec<u32>,
    /// Nothing when all rows have the one shape.
    ids: Option<Vec<u32>>,
    count: usize,
}

impl Shapes {
    pub(crate) fn read(layout: &Layout, lists: &[u8], ids: &[u8]) -> Result<Self, DecodeError> {
        let fail = DecodeError::Malformed("shapes");
        let mut reader = Reader::new(lists, "shapes");
        let (mut items, mut ends) = (Vec::new(), Vec::new());
        let mut last_seen = vec![0; layout.columns.len()];
        for shape in 1..=layout.shapes {
            for _ in 0..reader.next_u32()? {
                let column = reader.next_u32()?;
                match last_seen.get_mut(column as usize) {
                    Some(seen) if *seen != shape => *seen = shape,
                    _ => return Err(fail),
                }
                items.push(column);
            }
            ends.push(items.len() as u32);
        }
        reader.end()?;
        let ids = match id_width(layout.shapes) {
            0 if ids.is_empty() => None,
            0 => return Err(fail),
            width => Some(read::ids(ids, layout.count, layout.shapes, width)?),
        };
        let shapes = Self {
            items,
            ends,
            ids,
            count: layout.count,
        };
        if shapes
            .totals(layout.columns.len())
            .iter()
            .zip(&layout.columns)
            .any(|(total, column)| *total != column.present)
        {
            return Err(fail);
        }
        Ok(shapes)
    }

    /// How many shapes there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The columns of a shape.
    pub(crate) fn columns(&self, shape: usize) -> &[u32] {
        let start = shape
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| *end as usize);
        let end = self.ends.get(shape).map_or(start, |end| *end as usize);
        self.items.get(start..end).unwrap_or(&[])
    }

    /// The shape of a row.
    pub(crate) fn of(&self, row: usize) -> usize {
        self.ids
            .as_ref()
            .and_then(|ids| ids.get(row))
            .map_or(0, |id| *id as usize)
    }

    /// How many rows have each column.
    fn totals(&self, columns: usize) -> Vec<usize> {
        let mut rows = vec![0usize; self.len()];
        match &self.ids {
            None => rows.iter_mut().for_each(|rows| *rows = self.count),
            Some(ids) => ids.iter().for_each(|id| rows[*id as usize] += 1),
        }
        let mut totals = vec![0; columns];
        for (shape, rows) in rows.iter().enumerate() {
            for column in self.columns(shape) {
                totals[*column as usize] += rows;
            }
        }
        totals
    }

    /// The rows whose shape passes.
    pub(crate) fn rows(&self, mut test: impl FnMut(&[u32]) -> bool) -> Bitmap {
        let has: Vec<bool> = (0..self.len()).map(|shape| test(self.columns(shape))).collect();
        match &self.ids {
            None => Bitmap::new(self.count, has.first().copied().unwrap_or(false)),
            Some(ids) => Bitmap::from_fn(self.count, |row| has[ids[row] as usize]),
        }
    }
}
