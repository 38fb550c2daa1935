//! What hosts counted of the frames of one part of the log, so that the hub does not count it again.

use std::collections::{HashMap, HashSet};

use streamflow_proto::{
    batch::DecodeError,
    bitmap::Bitmap,
    metric::{self, Ask, Gain, Gains, MAX_CARRIED, Partial, PartialError, Sheet},
};
use streamflow_storage::store::LogBatch;

use super::recorder::Bounds;

/// Most text of packed windows in a frame, bytes; no agent sends more than [`MAX_CARRIED`].
const MAX_TEXT: usize = 2 * MAX_CARRIED;

/// Partial windows, as they came.
#[derive(Debug)]
pub(super) struct Counted {
    /// Rows that carry them.
    pub(super) carriers: Bitmap,
    /// By series, and by frame: its place among the spans, and its packed windows.
    frames: HashMap<String, Vec<(usize, Vec<String>)>>,
    /// Places of the frames that carry more than an agent does.
    too_large: HashSet<usize>,
}

/// What became of partial windows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merged {
    /// Merged into windows.
    pub(super) merged: u64,
    /// Too far ahead of the hub's clock, or too old.
    pub(super) out_of_range: u64,
    /// Not readable: the hub counted the frame's events itself.
    pub(super) refused: u64,
}

impl Merged {
    pub(super) const fn add(&mut self, more: Self) {
        self.merged += more.merged;
        self.out_of_range += more.out_of_range;
        self.refused += more.refused;
    }
}

impl Counted {
    /// Reads what there is; `None` when hosts counted nothing.
    pub(super) fn read(sheet: &mut Sheet<'_>, log: &LogBatch) -> Result<Option<Self>, DecodeError> {
        let Some(found) = metric::carriers(&log.batch)? else {
            return Ok(None);
        };
        let mut carriers = Bitmap::new(log.batch.len(), false);
        let mut span_of = HashMap::new();
        for (number, span) in log.spans.iter().enumerate() {
            for row in span.events_end(&found) as usize..(span.end as usize).min(found.len()) {
                carriers.set(row, true);
                span_of.insert(row, number);
            }
        }
        if carriers.is_empty() {
            return Ok(None);
        }
        let mut frames: HashMap<String, Vec<(usize, Vec<String>)>> = HashMap::new();
        let mut bytes: HashMap<usize, usize> = HashMap::new();
        for (series, rows) in metric::carried(sheet.columns(), &carriers)? {
            let of_series = frames.entry(series).or_default();
            for (row, state) in rows {
                let Some(number) = span_of.get(&row).copied() else {
                    continue;
                };
                *bytes.entry(number).or_default() += state.len();
                match of_series.last_mut().filter(|(last, _)| *last == number) {
                    Some((_, states)) => states.push(state),
                    None => of_series.push((number, vec![state])),
                }
            }
        }
        let too_large = bytes.into_iter().filter(|(_, bytes)| *bytes > MAX_TEXT);
        Ok(Some(Self {
            carriers,
            frames,
            too_large: too_large.map(|(number, _)| number).collect(),
        }))
    }

    /// Merges what hosts counted for a metric into its gains, and takes the rows of those frames out of `rows`, which the hub is to count. A frame whose windows
    /// cannot be read is left in: its events tell the same. Gains that have `most` windows and series are put into `full`, and begin anew.
    pub(super) fn merge(
        &self,
        metric: &streamflow_model::Metric,
        ask: &Ask,
        log: &LogBatch,
        rows: &mut Bitmap,
        bounds: &Bounds,
        (gains, full, most): (&mut Gains, &mut Vec<Gain>, usize),
    ) -> Merged {
        let mut merged = Merged::default();
        for (number, states) in self.frames.get(&metric.series_id).map_or(&[][..], Vec::as_slice) {
            let Some(span) = log.spans.get(*number) else { continue };
            let windows: Result<Vec<Vec<Partial>>, PartialError> = if self.too_large.contains(number) {
                Err(PartialError::TooLarge)
            } else {
                states.iter().map(|state| metric::unpack(state, ask)).collect()
            };
            let windows = match windows {
                Ok(windows) => windows,
                Err(error) => {
                    merged.refused += 1;
                    tracing::warn!(metric = metric.draft.name, agent = %span.agent, position = span.position, %error,
                        "what an agent counted is not readable, its events are counted instead");
                    continue;
                }
            };
            for row in span.start as usize..(span.end as usize).min(rows.len()) {
                rows.set(row, false);
            }
            if span.stored_at < metric.since.0 {
                continue;
            }
            for window in windows.into_iter().flatten() {
                // As single events are judged; a window is as young as its youngest event.
                let ahead = window.last > span.stored_at.saturating_add(bounds.future);
                if ahead || window.last < span.stored_at.saturating_sub(bounds.age) {
                    merged.out_of_range += 1;
                    continue;
                }
                if gains.len() >= most {
                    full.extend(gains.take());
                }
                gains.merge(ask, window.start, window.labels, &window.gained, most);
                merged.merged += 1;
            }
        }
        merged
    }
}
