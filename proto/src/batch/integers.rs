//! Whole numbers by path, exact up to 64 bits.

use super::{Batch, ColumnKind, DecodeError, Values};
use crate::{bitmap::Bitmap, path::Path};

/// The whole numbers of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integers {
    /// One for each row; 0 where there is none.
    pub values: Vec<i64>,
    /// Rows that have a whole number of 64 bits.
    pub present: Bitmap,
}

impl Batch {
    /// The whole numbers at a path; `None` when no row has one. A number that was written with a fraction is none.
    pub fn integers(&self, path: &Path) -> Result<Option<Integers>, DecodeError> {
        let mut integers = Integers {
            values: vec![0; self.len()],
            present: Bitmap::new(self.len(), false),
        };
        for (column, kind) in self.columns_at(path) {
            if let (ColumnKind::Int, Values::Ints(ints)) = (kind, self.values(column)?) {
                integers.present = self.rows_of(column)?;
                for (row, value) in integers.present.iter_ones().zip(ints) {
                    integers.values[row] = value;
                }
            }
        }
        self.each_overflow(path, |row, value| {
            if let (Some(integer), Some(slot)) = (value.as_i64(), integers.values.get_mut(row)) {
                *slot = integer;
                integers.present.set(row, true);
            }
        })?;
        Ok((!integers.present.is_empty()).then_some(integers))
    }
}
