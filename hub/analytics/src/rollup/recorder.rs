//! Batches in, deltas out: what each metric gained since the last time, by window and series. Pure.

use std::sync::Arc;

use streamflow_model::{CompiledMetric, Metric, RuleError};
use streamflow_proto::{
    aggregate::Accumulator,
    batch::DecodeError,
    bitmap::Bitmap,
    metric::{Gain, Gains, Sheet},
};
use streamflow_storage::store::LogBatch;

use super::counted::{Counted, Merged};

/// Windows and series that one metric may gain by one batch, by series that it may have; bounds memory.
const PENDING_PER_SERIES: usize = 8;

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
    /// Windows that hosts had counted.
    pub(super) partials: Merged,
}

/// All metrics at work.
#[derive(Debug)]
pub(super) struct Recorder {
    bounds: Bounds,
    live: Vec<Live>,
    /// What metrics gained that had no room for more. How many series a metric may have is decided where all of them are known, not here.
    spilled: Vec<Delta>,
}

#[derive(Debug)]
struct Live {
    metric: Arc<Metric>,
    compiled: CompiledMetric,
    pending: Gains,
}

impl Recorder {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            live: Vec::new(),
            spilled: Vec::new(),
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
                    pending: Gains::default(),
                }),
                Err(errors) => refused.push((metric.draft.name.clone(), errors)),
            }
        }
        refused
    }

    /// Takes in a part of the log.
    pub(super) fn record(&mut self, log: &LogBatch) -> Recorded {
        let mut recorded = Recorded::default();
        let read = Sheet::new(&log.batch).and_then(|mut sheet| {
            let counted = Counted::read(&mut sheet, log)?;
            Ok((sheet, counted))
        });
        let Ok((mut sheet, counted)) = read else {
            recorded.unreadable += 1;
            return recorded;
        };
        let carriers = counted.as_ref().map(|counted| &counted.carriers);
        let rows = self.rows_in_time(log, &sheet.times(), carriers, &mut recorded);
        let oldest = log.spans.iter().map(|span| span.stored_at).min().unwrap_or(i64::MAX);
        let most = self.bounds.series.saturating_mul(PENDING_PER_SERIES);
        for live in &mut self.live {
            let since = live.metric.since.0;
            let mut own = (since > oldest).then(|| stored_since(log, since, &rows));
            if let Some(counted) = &counted {
                let rows = own.get_or_insert_with(|| rows.clone());
                let mut full = Vec::new();
                let gains = (&mut live.pending, &mut full, most);
                let merged = counted.merge(&live.metric, &live.compiled, log, rows, &self.bounds, gains);
                recorded.partials.add(merged);
                self.spilled
                    .extend(full.into_iter().map(|gain| delta(&live.metric, gain)));
            }
            if live.pending.len() >= most.div_ceil(2) {
                live.take_into(&mut self.spilled);
            }
            if let Err(error) = live.record(&mut sheet, own.as_ref().unwrap_or(&rows), most) {
                recorded.unreadable += 1;
                tracing::warn!(metric = live.metric.draft.name, %error, "a batch cannot be read for a metric");
            }
        }
        recorded
    }

    fn rows_in_time(
        &self,
        log: &LogBatch,
        times: &[i64],
        carriers: Option<&Bitmap>,
        recorded: &mut Recorded,
    ) -> Bitmap {
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
                if carriers.is_some_and(|carriers| carriers.get(row)) {
                    continue;
                }
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
        self.spilled.len() + self.live.iter().map(|live| live.pending.len()).sum::<usize>()
    }

    /// Takes out what was gained since the last time.
    pub(super) fn take(&mut self) -> Vec<Delta> {
        let mut deltas = std::mem::take(&mut self.spilled);
        for live in &mut self.live {
            live.take_into(&mut deltas);
        }
        deltas
    }
}

fn delta(metric: &Arc<Metric>, gain: Gain) -> Delta {
    Delta {
        metric: Arc::clone(metric),
        start: gain.start,
        labels: gain.labels,
        gained: gain.gained,
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
    fn record(&mut self, sheet: &mut Sheet<'_>, rows: &Bitmap, most: usize) -> Result<(), DecodeError> {
        let rows = sheet.matching(&self.compiled, rows)?;
        sheet.fold(&self.compiled, &rows, &mut self.pending, most)
    }

    fn take_into(&mut self, deltas: &mut Vec<Delta>) {
        let metric = &self.metric;
        deltas.extend(self.pending.take().map(|gain| delta(metric, gain)));
    }
}
