//! Columns in, columns out: writes and removes attributes of the batch being built, without turning its events into JSON.
//!
//! An edit happens whole or not at all. What it does not name stays as it is, to the digit; a row whose objects have overflown into JSON, or have to for
//! want of columns, is edited as JSON.

mod check;
mod json;
mod plan;
mod rewrite;

use super::BatchBuilder;
use crate::{
    batch::{DecodeError, Dict},
    bitmap::Bitmap,
    path::Path,
};

/// The most attributes that one edit may write, and the most that it may remove.
pub const MAX_EDITS: usize = 64;

/// What becomes of the events of a batch: attributes go, then attributes are written, then rows go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// Attributes that go, with everything below them.
    pub drop: Vec<Path>,
    /// Attributes that are written, one after the other.
    pub set: Vec<Assign>,
    /// Rows that stay. None: all of them.
    pub keep: Option<Bitmap>,
}

/// One attribute with its new values. It takes the place of whatever stood there; objects on the way to it are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Assign {
    /// Which.
    pub path: Path,
    /// A value for each row of the batch.
    pub values: AssignValues,
    /// Rows that are written; the others keep what they have. None: all of them.
    pub present: Option<Bitmap>,
}

/// The values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum AssignValues {
    /// `true` or `false`.
    Bools(Vec<bool>),
    /// Integers.
    Ints(Vec<i64>),
    /// Numbers. One that is not finite is written as `null`, as JSON has no name for it.
    Floats(Vec<f64>),
    /// Texts. A row without an id is not written.
    Texts(Dict),
}

/// Why an edit does not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The attribute is not to be written.
    #[error("`{path}` may not be set: {reason}")]
    Set {
        /// Which.
        path: Path,
        /// Why not.
        reason: &'static str,
    },
    /// The attribute is not to be removed.
    #[error("`{path}` may not be dropped: {reason}")]
    Drop {
        /// Which.
        path: Path,
        /// Why not.
        reason: &'static str,
    },
    /// Not one value, or one bit, for each row.
    #[error("{what} has {have} rows, the batch has {rows}")]
    Rows {
        /// Of what.
        what: String,
        /// As many.
        have: usize,
        /// As many as there must be.
        rows: usize,
    },
    /// A value that may not stand there. It is not repeated here: it may be a secret.
    #[error("`{path}` in row {row}: {reason}")]
    Value {
        /// Where.
        path: Path,
        /// In which row.
        row: usize,
        /// What is wrong with it.
        reason: String,
        /// All rows in which a value may not stand there; this one is the first of them.
        rows: Bitmap,
    },
    /// More than there may be.
    #[error("{count} attributes to {what} at once; at most {MAX_EDITS} are allowed")]
    TooMany {
        /// Write or remove.
        what: &'static str,
        /// As many.
        count: usize,
    },
    /// The batch would not fit a frame any more.
    #[error("the batch would take {bytes} bytes; a frame has at most {max}")]
    TooLarge {
        /// As many.
        bytes: usize,
        /// As many as a frame has.
        max: usize,
    },
    /// Rows that overflowed into JSON cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Rows that went because a value may not stand in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// As many.
    pub rows: usize,
    /// What is wrong with the first of them.
    pub why: EditError,
}

impl BatchBuilder {
    /// Does an edit as [`Self::apply`] does, and has the rows go in which one of its values may not stand: a single text that has grown too long does not cost
    /// the others.
    ///
    /// # Errors
    /// As [`Self::apply`], except for values.
    pub fn apply_where_it_fits(&mut self, mut edit: Edit) -> Result<Option<GivenUp>, EditError> {
        let mut given_up: Option<GivenUp> = None;
        loop {
            let error = match self.apply(&edit) {
                Ok(()) => return Ok(given_up),
                Err(error) => error,
            };
            let EditError::Value { rows: wrong, .. } = &error else {
                return Err(error);
            };
            // Only rows that stay are looked at, so each round has fewer of them.
            let keep = edit.keep.take().unwrap_or_else(|| Bitmap::new(self.len(), true));
            let rows = keep.and(wrong).count_ones();
            if rows == 0 {
                return Err(error);
            }
            edit.keep = Some(keep.and_not(wrong));
            match &mut given_up {
                Some(given_up) => given_up.rows += rows,
                None => given_up = Some(GivenUp { rows, why: error }),
            }
        }
    }

    /// Does an edit, or leaves the batch as it is. What is written into rows that go is not looked at.
    ///
    /// # Errors
    /// When the edit names what may not be touched, holds values that may not stand there, or makes the batch too large.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        check::edit(edit, self.len())?;
        if !(self.is_empty() || edit.drop.is_empty() && edit.set.is_empty()) {
            rewrite::rewrite(self, edit)?;
        }
        if let Some(keep) = &edit.keep {
            self.retain(keep);
        }
        Ok(())
    }
}
