//! Many running aggregates of one function side by side. What an event costs is the memory that it fetches, so an aggregate of a few numbers is kept as those
//! numbers and no more.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Accumulator, AggregateSpec, Frequent, Func, fold, lean::push_lean, moments::Total, state::State};
use crate::{batch::DecodeError, filter::Columns, path::Path};

/// Rows of a batch that are to be added, by groups with small numbers of their own.
#[derive(Debug, Clone, Default)]
pub struct Picked {
    /// The rows, ascending.
    pub rows: Vec<u32>,
    /// The group of each.
    pub groups: Vec<u32>,
    /// How many rows each group has.
    pub counts: Vec<u32>,
}

/// Running aggregates by number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accumulators {
    list: List,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum List {
    Count(Vec<u64>),
    Rate(Vec<u64>),
    Sum(Vec<Summed>),
    Avg(Vec<Summed>),
    Min(Vec<Extreme>),
    Max(Vec<Extreme>),
    Any(Vec<Accumulator>),
}

/// A sum, with what [`Accumulator`] says of it: half a line of memory.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Summed {
    total: Total,
    samples: u64,
    ignored: u32,
    negative: bool,
}

/// A smallest or largest value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Extreme {
    value: f64,
    samples: u64,
    ignored: u64,
}

impl Accumulators {
    /// None yet, of this function.
    #[must_use]
    pub const fn new(spec: &AggregateSpec) -> Self {
        let list = match spec.func {
            Func::Count => List::Count(Vec::new()),
            Func::Rate => List::Rate(Vec::new()),
            Func::Sum => List::Sum(Vec::new()),
            Func::Avg => List::Avg(Vec::new()),
            Func::Min => List::Min(Vec::new()),
            Func::Max => List::Max(Vec::new()),
            _ => List::Any(Vec::new()),
        };
        Self { list }
    }

    /// One more, into which nothing has gone.
    pub fn push(&mut self, spec: &AggregateSpec) {
        match &mut self.list {
            List::Count(list) | List::Rate(list) => push_lean(list, 0),
            List::Sum(list) | List::Avg(list) => push_lean(list, Summed::default()),
            List::Min(list) => push_lean(list, Extreme::from(f64::INFINITY)),
            List::Max(list) => push_lean(list, Extreme::from(f64::NEG_INFINITY)),
            List::Any(list) => push_lean(list, Accumulator::new(spec)),
        }
    }

    /// Adds rows, those of each group to the aggregate whose number is in `places`. Rows without the attribute add nothing.
    ///
    /// # Errors
    /// When a column does not decode; nothing has been added then.
    ///
    /// # Panics
    /// When `places` does not name an aggregate for each group.
    pub fn fold(
        &mut self,
        spec: &AggregateSpec,
        columns: &mut Columns<'_>,
        picked: &Picked,
        places: &[u32],
    ) -> Result<(), DecodeError> {
        match (&mut self.list, &spec.path) {
            (List::Count(list) | List::Rate(list), _) => {
                for (count, place) in picked.counts.iter().zip(places) {
                    list[*place as usize] += u64::from(*count);
                }
                Ok(())
            }
            (List::Sum(list) | List::Avg(list), Some(path)) => {
                numbers(path, columns, picked, places, |place, number| list[place].add(number))
            }
            (List::Min(list), Some(path)) => numbers(path, columns, picked, places, |place, number| {
                list[place].add(number, f64::min);
            }),
            (List::Max(list), Some(path)) => numbers(path, columns, picked, places, |place, number| {
                list[place].add(number, f64::max);
            }),
            (List::Any(list), _) => {
                let rows = picked.rows.iter().map(|row| *row as usize);
                let groups = picked.groups.iter().map(|group| places[*group as usize] as usize);
                fold::add(
                    spec,
                    columns,
                    picked.rows.len(),
                    || rows.clone().zip(groups.clone()),
                    list,
                )
            }
            _ => Ok(()),
        }
    }

    /// The aggregate with this number.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, number: usize) -> Cow<'_, Accumulator> {
        Cow::Owned(match &self.list {
            List::Count(list) => Accumulator::of(State::Count, list[number], 0),
            List::Rate(list) => Accumulator::of(State::Rate, list[number], 0),
            List::Sum(list) => {
                let Summed { total, negative, .. } = list[number];
                list[number].whole(State::Sum { total, negative })
            }
            List::Avg(list) => list[number].whole(State::Avg(list[number].total)),
            List::Min(list) => list[number].whole(State::Min(list[number].value)),
            List::Max(list) => list[number].whole(State::Max(list[number].value)),
            List::Any(list) => return Cow::Borrowed(&list[number]),
        })
    }

    /// The value of the aggregate with this number, see [`Accumulator::value`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn value(&self, number: usize, window_ms: i64) -> Option<f64> {
        match &self.list {
            // The frequent ones without the detour; a test compares both.
            List::Count(list) => Some(list[number] as f64),
            List::Sum(list) => (list[number].samples > 0).then(|| list[number].total.value()),
            List::Min(list) | List::Max(list) => (list[number].samples > 0).then_some(list[number].value),
            _ => self.get(number).value(window_ms),
        }
    }

    /// Whether more values can only make it larger, see [`Accumulator::only_grows`].
    ///
    /// # Panics
    /// When there is none with this number.
    #[must_use]
    pub fn only_grows(&self, number: usize) -> bool {
        match &self.list {
            List::Count(_) | List::Rate(_) | List::Max(_) => true,
            List::Sum(list) => !list[number].negative,
            List::Avg(_) | List::Min(_) => false,
            List::Any(list) => list[number].only_grows(),
        }
    }

    /// The most frequent values of the aggregate with this number, see [`Accumulator::top`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn top(&self, number: usize) -> Vec<Frequent> {
        match &self.list {
            List::Any(list) => list[number].top(),
            _ => Vec::new(),
        }
    }
}

/// Calls `add` with the place and the number of each row that has one.
fn numbers(
    path: &Path,
    columns: &mut Columns<'_>,
    picked: &Picked,
    places: &[u32],
    mut add: impl FnMut(usize, f64),
) -> Result<(), DecodeError> {
    let Some(numbers) = columns.numbers(path)? else {
        return Ok(());
    };
    let all = numbers.present.is_full();
    for (row, group) in picked.rows.iter().zip(&picked.groups) {
        let row = *row as usize;
        if all || numbers.present.get(row) {
            add(places[*group as usize] as usize, numbers.values[row]);
        }
    }
    Ok(())
}

impl Summed {
    fn add(&mut self, number: f64) {
        if number.is_finite() {
            self.samples += 1;
            self.negative |= number < 0.0;
            self.total.add(number);
        } else {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    fn whole(&self, state: State) -> Accumulator {
        Accumulator::of(state, self.samples, self.ignored.into())
    }
}

impl Extreme {
    fn add(&mut self, number: f64, chosen: fn(f64, f64) -> f64) {
        if number.is_finite() {
            self.samples += 1;
            self.value = chosen(self.value, number);
        } else {
            self.ignored += 1;
        }
    }

    const fn whole(&self, state: State) -> Accumulator {
        Accumulator::of(state, self.samples, self.ignored)
    }
}

impl From<f64> for Extreme {
    fn from(value: f64) -> Self {
        Self {
            value,
            samples: 0,
            ignored: 0,
        }
    }
}
