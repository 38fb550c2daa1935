//! A batch with what is worked out of it once for all metrics.

use std::{collections::HashMap, rc::Rc};

use super::{Ask, Gains, GroupKey, groups::series};
use crate::{
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    filter::Columns,
    groups::RowGroups,
};

/// A batch at work. The one kernel of metrics: hosts and the hub both count with it.
#[derive(Debug)]
pub struct Sheet<'a> {
    columns: Columns<'a>,
    times: Rc<Vec<i64>>,
    groups: HashMap<Vec<GroupKey>, Rc<RowGroups>>,
}

impl<'a> Sheet<'a> {
    /// Reads the event times.
    ///
    /// # Errors
    /// When they do not decode.
    pub fn new(batch: &'a Batch) -> Result<Self, DecodeError> {
        let mut columns = Columns::new(batch);
        let times = columns.timestamps()?;
        Ok(Self {
            columns,
            times,
            groups: HashMap::new(),
        })
    }

    /// Event times by row.
    #[must_use]
    pub fn times(&self) -> Rc<Vec<i64>> {
        Rc::clone(&self.times)
    }

    /// The columns.
    pub const fn columns(&mut self) -> &mut Columns<'a> {
        &mut self.columns
    }

    /// Which of these rows a metric counts.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn matching(&mut self, ask: &Ask, within: &Bitmap) -> Result<Bitmap, DecodeError> {
        if within.is_empty() {
            return Ok(within.clone());
        }
        Ok(ask.filter.eval_columns(&mut self.columns)?.and(within))
    }

    /// Adds rows to what a metric gained; from `most` windows and series on, further series go to [`super::OTHER`].
    ///
    /// # Errors
    /// When a column does not decode; nothing was added then.
    pub fn fold(&mut self, ask: &Ask, rows: &Bitmap, gains: &mut Gains, most: usize) -> Result<(), DecodeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let groups = match self.groups.get(&ask.group_by) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(series(&mut self.columns, &ask.group_by)?);
                self.groups.insert(ask.group_by.clone(), Rc::clone(&fresh));
                fresh
            }
        };
        let times = Rc::clone(&self.times);
        gains.add(ask, &mut self.columns, (&times, &groups), rows, most)
    }
}
