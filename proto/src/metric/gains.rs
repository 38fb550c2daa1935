//! What one metric gained, by window and series.

use std::{collections::HashMap, sync::Arc};

use super::Ask;
use crate::{
    aggregate::{self, Accumulator},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
    groups::RowGroups,
};

/// What every label of the series of all surplus series is.
pub const OTHER: &str = "other";
const NONE: u32 = u32::MAX;

/// Begin of a window, and the labels of a series.
type Key = (i64, Arc<[String]>);

/// What one series gained in one window.
#[derive(Debug, Clone)]
pub struct Gain {
    /// Begin of the window, ms.
    pub start: i64,
    /// Labels of the series.
    pub labels: Arc<[String]>,
    /// What it gained.
    pub gained: Accumulator,
}

/// Everything that one metric gained.
#[derive(Debug, Default)]
pub struct Gains {
    slots: HashMap<Key, u32, foldhash::fast::RandomState>,
    keys: Vec<Key>,
    accumulators: Vec<Accumulator>,
    /// Of the rows that were added last.
    slot_of_row: Vec<u32>,
    capped: bool,
}

impl Gains {
    /// Windows and series in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether something went to [`OTHER`] because there were too many.
    #[must_use]
    pub const fn is_capped(&self) -> bool {
        self.capped
    }

    /// Adds the rows of a batch, each to its series and window; from `most` windows and series on, further series go to [`OTHER`].
    pub(super) fn add(
        &mut self,
        ask: &Ask,
        columns: &mut Columns<'_>,
        (times, groups): (&[i64], &RowGroups),
        rows: &Bitmap,
        most: usize,
    ) -> Result<(), DecodeError> {
        let mut tables: Vec<(i64, Vec<u32>)> = Vec::new();
        let mut table = 0;
        self.slot_of_row.resize(times.len(), NONE);
        for row in rows.iter_ones() {
            let start = times[row].div_euclid(ask.base) * ask.base;
            if tables.get(table).is_none_or(|(of, _)| *of != start) {
                table = tables.iter().position(|(of, _)| *of == start).unwrap_or_else(|| {
                    tables.push((start, vec![NONE; groups.len()]));
                    tables.len() - 1
                });
            }
            let group = groups.of(row);
            let entry = &mut tables[table].1[group];
            if *entry == NONE {
                *entry = self.slot(ask, start, groups.labels(group).map(str::to_owned).collect(), most);
            }
            self.slot_of_row[row] = *entry;
        }
        aggregate::fold(&ask.aggregate, columns, rows, &self.slot_of_row, &mut self.accumulators)
    }

    /// Adds what was gained elsewhere.
    pub fn merge(&mut self, ask: &Ask, start: i64, labels: Arc<[String]>, gained: &Accumulator, most: usize) {
        let slot = self.slot(ask, start, labels, most);
        if let Some(accumulator) = self.accumulators.get_mut(slot as usize) {
            accumulator.merge(gained);
        }
    }

    fn slot(&mut self, ask: &Ask, start: i64, mut labels: Arc<[String]>, most: usize) -> u32 {
        let full = self.keys.len() >= most;
        if full && !self.slots.contains_key(&(start, Arc::clone(&labels))) {
            labels = labels.iter().map(|_| OTHER.to_owned()).collect();
            self.capped = true;
        }
        let key = (start, labels);
        if let Some(slot) = self.slots.get(&key) {
            return *slot;
        }
        let slot = u32::try_from(self.keys.len()).unwrap_or(NONE);
        self.slots.insert(key.clone(), slot);
        self.keys.push(key);
        self.accumulators.push(Accumulator::new(&ask.aggregate));
        slot
    }

    /// The slot of a row that was added last.
    pub(super) fn slot_of(&self, row: usize) -> Option<usize> {
        self.slot_of_row
            .get(row)
            .filter(|slot| **slot != NONE)
            .map(|slot| *slot as usize)
    }

    /// Takes out everything.
    pub fn take(&mut self) -> impl Iterator<Item = Gain> {
        let gains = std::mem::take(self);
        let all = gains.keys.into_iter().zip(gains.accumulators);
        all.map(|((start, labels), gained)| Gain { start, labels, gained })
    }
}
