//! Batches in, deltas out: what each metric gained since the last time, by window and series. Pure.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use streamflow_model::{CompiledMetric, GroupKey, Metric, RuleError};
use streamflow_proto::{
    aggregate::{self, Accumulator},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
};
use streamflow_storage::store::LogBatch;

use super::{groups::RowGroups, ledger::OTHER};

/// Windows and series that one metric may gain before its deltas are written, by series that it may have; bounds memory.
const PENDING_PER_SERIES: usize = 8;
const NONE: u32 = u32::MAX;

/// What bounds a recorder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most series of a metric in a day.
    pub(super) series: usize,
    /// Events further ahead of their storage than this count in no window, ms.
    pub(super) future: i64,
    /// Events older than this at their storage count in no window, ms.
    pub(super) age: i64,
}

/// What one series of a metric gained in one window.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    pub(super) metric: Arc<Metric>,
    /// Begin of the window, which is as long as the metric's smallest.
    pub(super) start: i64,
    pub(super) labels: Arc<[String]>,
    pub(super) gained: Accumulator,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) events: u64,
    pub(super) future: u64,
    pub(super) expired: u64,
    pub(super) unreadable: u64,
}

/// All metrics at work.
#[derive(Debug)]
pub(super) struct Recorder {
    bounds: Bounds,
    live: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    metric: Arc<Metric>,
    compiled: CompiledMetric,
    pending: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    slots: HashMap<(i64, Arc<[String]>), u32, foldhash::fast::RandomState>,
    keys: Vec<(i64, Arc<[String]>)>,
    accumulators: Vec<Accumulator>,
    slot_of_row: Vec<u32>,
}

/// A batch with what was worked out of it once for all metrics.
struct Part<'a> {
    columns: Columns<'a>,
    times: Rc<Vec<i64>>,
    groups: HashMap<Vec<GroupKey>, Rc<RowGroups>>,
}

impl Recorder {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            live: Vec::new(),
        }
    }

    /// Takes over the present metrics, after all deltas have been taken. Answers those that do not compile.
    pub(super) fn set(&mut self, metrics: &[Arc<Metric>]) -> Vec<(String, Vec<RuleError>)> {
        let mut refused = Vec::new();
        self.live.clear();
        for metric in metrics {
            match metric.draft.compile() {
                Ok(compiled) => self.live.push(Live {
                    metric: Arc::clone(metric),
                    compiled,
                    pending: Pending::default(),
                }),
                Err(errors) => refused.push((metric.draft.name.clone(), errors)),
            }
        }
        refused
    }

    /// Takes in a part of the log.
    pub(super) fn record(&mut self, log: &LogBatch) -> Recorded {
        let mut recorded = Recorded::default();
        let mut columns = Columns::new(&log.batch);
        let Ok(times) = columns.timestamps() else {
            recorded.unreadable += 1;
            return recorded;
        };
        let mut part = Part {
            columns,
            times,
            groups: HashMap::new(),
        };
        let rows = self.rows_in_time(log, &part.times, &mut recorded);
        let oldest = log.spans.iter().map(|span| span.stored_at).min().unwrap_or(i64::MAX);
        for live in &mut self.live {
            let since = live.metric.since.0;
            let own = (since > oldest).then(|| stored_since(log, since, &rows));
            if let Err(error) = live.record(&mut part, own.as_ref().unwrap_or(&rows), self.bounds.series) {
                recorded.unreadable += 1;
                tracing::warn!(metric = live.metric.draft.name, %error, "a batch cannot be read for a metric");
            }
        }
        recorded
    }

    fn rows_in_time(&self, log: &LogBatch, times: &[i64], recorded: &mut Recorded) -> Bitmap {
        let mut rows = Bitmap::new(times.len(), false);
        for span in &log.spans {
            let newest = span.stored_at.saturating_add(self.bounds.future);
            let oldest = span.stored_at.saturating_sub(self.bounds.age);
            let of_span = times
                .iter()
                .enumerate()
                .take(span.end as usize)
                .skip(span.start as usize);
            for (row, time) in of_span {
                recorded.events += 1;
                if *time > newest {
                    recorded.future += 1;
                } else if *time < oldest {
                    recorded.expired += 1;
                } else {
                    rows.set(row, true);
                }
            }
        }
        rows
    }

    /// Windows and series that wait to be taken.
    pub(super) fn pending(&self) -> usize {
        self.live.iter().map(|live| live.pending.keys.len()).sum()
    }

    /// Takes out what was gained since the last time.
    pub(super) fn take(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::with_capacity(self.pending());
        for live in &mut self.live {
            let pending = std::mem::take(&mut live.pending);
            for ((start, labels), gained) in pending.keys.into_iter().zip(pending.accumulators) {
                deltas.push(Delta {
                    metric: Arc::clone(&live.metric),
                    start,
                    labels,
                    gained,
                });
            }
        }
        deltas
    }
}

/// Of these rows, those that were stored at or after a point in time: decided by the log's clock, so that a replay decides the same.
fn stored_since(log: &LogBatch, since: i64, rows: &Bitmap) -> Bitmap {
    let mut own = Bitmap::new(rows.len(), false);
    for span in log.spans.iter().filter(|span| span.stored_at >= since) {
        for row in span.start as usize..(span.end as usize).min(rows.len()) {
            own.set(row, rows.get(row));
        }
    }
    own
}

impl Live {
    fn record(&mut self, part: &mut Part<'_>, rows: &Bitmap, series: usize) -> Result<(), DecodeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = self.compiled.filter.eval_columns(&mut part.columns)?.and(rows);
        if rows.is_empty() {
            return Ok(());
        }
        let groups = match part.groups.get(&self.compiled.group_by) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(RowGroups::new(&mut part.columns, &self.compiled.group_by)?);
                part.groups.insert(self.compiled.group_by.clone(), Rc::clone(&fresh));
                fresh
            }
        };
        let base = self.metric.draft.base();
        let mut tables: Vec<(i64, Vec<u32>)> = Vec::new();
        let mut table = 0;
        self.pending.slot_of_row.resize(part.times.len(), NONE);
        for row in rows.iter_ones() {
            let start = part.times[row].div_euclid(base) * base;
            if tables.get(table).is_none_or(|(of, _)| *of != start) {
                table = tables.iter().position(|(of, _)| *of == start).unwrap_or_else(|| {
                    tables.push((start, vec![NONE; groups.len()]));
                    tables.len() - 1
                });
            }
            let group = groups.of(row);
            let entry = &mut tables[table].1[group];
            if *entry == NONE {
                *entry = self.slot(start, groups.labels(group), series);
            }
            self.pending.slot_of_row[row] = *entry;
        }
        let Pending {
            accumulators,
            slot_of_row,
            ..
        } = &mut self.pending;
        aggregate::fold(
            &self.compiled.aggregate,
            &mut part.columns,
            &rows,
            slot_of_row,
            accumulators,
        )
    }

    fn slot(&mut self, start: i64, mut labels: Arc<[String]>, series: usize) -> u32 {
        let full = self.pending.keys.len() >= series.saturating_mul(PENDING_PER_SERIES);
        if full && !self.pending.slots.contains_key(&(start, Arc::clone(&labels))) {
            labels = labels.iter().map(|_| OTHER.to_owned()).collect();
        }
        let key = (start, labels);
        if let Some(slot) = self.pending.slots.get(&key) {
            return *slot;
        }
        let slot = u32::try_from(self.pending.keys.len()).unwrap_or(NONE);
        self.pending.slots.insert(key.clone(), slot);
        self.pending.keys.push(key);
        self.pending
            .accumulators
            .push(Accumulator::new(&self.compiled.aggregate));
        slot
    }
}
