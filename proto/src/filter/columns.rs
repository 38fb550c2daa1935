//! The columns of one batch, each decoded once however many filters, groups and aggregates read it.

use std::{collections::HashMap, rc::Rc};

use crate::{
    batch::{Batch, Bools, DecodeError, Dict, Numbers},
    bitmap::Bitmap,
    path::Path,
};

/// What has been decoded of one batch so far. Lives as long as the work on that batch.
#[derive(Debug)]
pub struct Columns<'a> {
    batch: &'a Batch,
    timestamps: Option<Rc<Vec<i64>>>,
    strings: Cache<Dict>,
    labels: Cache<Dict>,
    numbers: Cache<Numbers>,
    bools: Cache<Bools>,
    present: Cache<Bitmap>,
}

/// A path that has no such column is remembered too.
type Cache<T> = HashMap<Path, Option<Rc<T>>, foldhash::fast::RandomState>;

impl<'a> Columns<'a> {
    /// Nothing decoded yet.
    #[must_use]
    pub fn new(batch: &'a Batch) -> Self {
        Self {
            batch,
            timestamps: None,
            strings: Cache::default(),
            labels: Cache::default(),
            numbers: Cache::default(),
            bools: Cache::default(),
            present: Cache::default(),
        }
    }

    /// The batch itself.
    #[must_use]
    pub const fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// Event times.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn timestamps(&mut self) -> Result<Rc<Vec<i64>>, DecodeError> {
        if let Some(times) = &self.timestamps {
            return Ok(Rc::clone(times));
        }
        let times = Rc::new(self.batch.timestamps()?);
        self.timestamps = Some(Rc::clone(&times));
        Ok(times)
    }

    /// The strings at a path.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn strings(&mut self, path: &Path) -> Result<Option<Rc<Dict>>, DecodeError> {
        cached(&mut self.strings, path, || self.batch.strings(path))
    }

    /// The values at a path as text, whatever their type: what groups are named by.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn labels(&mut self, path: &Path) -> Result<Option<Rc<Dict>>, DecodeError> {
        cached(&mut self.labels, path, || self.batch.dict(path))
    }

    /// The numbers at a path.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn numbers(&mut self, path: &Path) -> Result<Option<Rc<Numbers>>, DecodeError> {
        cached(&mut self.numbers, path, || self.batch.numbers(path))
    }

    /// The booleans at a path.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn bools(&mut self, path: &Path) -> Result<Option<Rc<Bools>>, DecodeError> {
        cached(&mut self.bools, path, || self.batch.bools(path))
    }

    /// Rows that have anything at a path.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn present(&mut self, path: &Path) -> Result<Rc<Bitmap>, DecodeError> {
        let rows = self.batch.len();
        let present = cached(&mut self.present, path, || self.batch.present(path).map(Some))?;
        Ok(present.unwrap_or_else(|| Rc::new(Bitmap::new(rows, false))))
    }
}

fn cached<T>(
    cache: &mut Cache<T>,
    path: &Path,
    decode: impl FnOnce() -> Result<Option<T>, DecodeError>,
) -> Result<Option<Rc<T>>, DecodeError> {
    if let Some(known) = cache.get(path) {
        return Ok(known.clone());
    }
    let decoded = decode()?.map(Rc::new);
    cache.insert(path.clone(), decoded.clone());
    Ok(decoded)
}
