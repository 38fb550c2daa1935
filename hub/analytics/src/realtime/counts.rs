//! Events per second by type.

use std::collections::{HashMap, VecDeque};

use streamflow_proto::{
    batch::{DecodeError, Dict},
    filter::Columns,
    path::Path,
};
use streamflow_storage::store::RowSpan;

use super::{SPAN_MS, STEP_MS, TypeSeries, whole_step};

/// More types than a chart can show; a type that has gone out of view gives up its place to a new one.
const MAX_TYPES: usize = 64;
/// Name of the series of all further types.
const OTHER: &str = "other";

/// Counts of one step, by the number of the type.
#[derive(Debug)]
struct Step {
    at: i64,
    counts: Vec<u64>,
}

/// Counts of the steps in view, oldest first; a step in which nothing arrived may be missing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    names: Vec<String>,
    /// When each type was counted last.
    counted_at: Vec<i64>,
    numbers: HashMap<String, usize>,
    steps: VecDeque<Step>,
}

impl Counts {
    pub(super) fn record(&mut self, columns: &mut Columns<'_>, spans: &[RowSpan]) -> Result<(), DecodeError> {
        let Ok(path) = Path::parse("type") else { return Ok(()) };
        let Some(dict) = columns.strings(&path)? else {
            return Ok(());
        };
        let mut by_id = vec![0u64; dict.values.len()];
        for span in spans {
            by_id.fill(0);
            for id in dict.ids.get(span.start as usize..span.end as usize).unwrap_or(&[]) {
                if *id != Dict::ABSENT {
                    by_id[*id as usize] += 1;
                }
            }
            for (name, count) in dict.values.iter().zip(&by_id).filter(|(_, count)| **count > 0) {
                self.count(name, whole_step(span.stored_at), *count);
            }
        }
        Ok(())
    }

    fn count(&mut self, name: &str, at: i64, count: u64) {
        let newest = self.steps.back().map_or(at, |step| step.at.max(at));
        let begin = newest - SPAN_MS;
        while self.steps.front().is_some_and(|step| step.at < begin) {
            self.steps.pop_front();
        }
        if at < begin {
            return;
        }
        let number = self.number(name, begin);
        self.counted_at[number] = self.counted_at[number].max(at);
        let place = self.steps.partition_point(|step| step.at < at);
        if self.steps.get(place).is_none_or(|step| step.at != at) {
            self.steps.insert(place, Step { at, counts: Vec::new() });
        }
        let counts = &mut self.steps[place].counts;
        counts.resize(counts.len().max(number + 1), 0);
        counts[number] += count;
    }

    /// The place of a type: its own, a free one, or that of a type which no step since `begin` counts.
    fn number(&mut self, name: &str, begin: i64) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let idle = || {
            let gone = |(known, at): (&String, &i64)| *at < begin && known != OTHER;
            self.names.iter().zip(&self.counted_at).position(gone)
        };
        if self.names.len() >= MAX_TYPES
            && let Some(number) = idle()
        {
            self.numbers.remove(&self.names[number]);
            self.numbers.insert(name.to_owned(), number);
            name.clone_into(&mut self.names[number]);
            return number;
        }
        let name = if self.names.len() < MAX_TYPES { name } else { OTHER };
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        self.counted_at.push(i64::MIN);
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// Counts by type of the step that begins at `at`.
    pub(super) fn step(&self, at: i64) -> impl Iterator<Item = (&str, u64)> {
        let place = self.steps.partition_point(|step| step.at < at);
        let counts = self
            .steps
            .get(place)
            .filter(|step| step.at == at)
            .map_or(&[][..], |step| step.counts.as_slice());
        self.names
            .iter()
            .map(String::as_str)
            .zip(counts.iter().copied())
            .filter(|(_, count)| *count > 0)
    }

    /// Every whole step before `end` since the first in view, zeros included, of each type that occurs.
    pub(super) fn series(&self, end: i64) -> Vec<TypeSeries> {
        let from = end - SPAN_MS;
        let steps: Vec<&Step> = self
            .steps
            .iter()
            .filter(|step| (from..end).contains(&step.at))
            .collect();
        let Some(first) = steps.first().map(|step| step.at) else {
            return Vec::new();
        };
        let length = usize::try_from((end - first) / STEP_MS).unwrap_or(0);
        let blank: Vec<(i64, u64)> = (0..).map(|i| (first + i * STEP_MS, 0)).take(length).collect();
        let of = |(number, name): (usize, &String)| {
            let mut points = blank.clone();
            let mut any = false;
            for step in &steps {
                let count = step.counts.get(number).copied().unwrap_or(0);
                if let Some(point) = usize::try_from((step.at - first) / STEP_MS)
                    .ok()
                    .and_then(|i| points.get_mut(i))
                {
                    point.1 = count;
                    any |= count > 0;
                }
            }
            any.then(|| TypeSeries {
                kind: name.clone(),
                points,
            })
        };
        let mut series: Vec<TypeSeries> = self.names.iter().enumerate().filter_map(of).collect();
        series.sort_by(|a, b| a.kind.cmp(&b.kind));
        series
    }
}
