//! The stored windows that deltas go into, as far as they are in memory: deltas in, rows to write out. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use streamflow_model::metric::{DAY, HOUR, MINUTE};
use streamflow_proto::{aggregate::Accumulator, metric::OTHER};
use streamflow_storage::store::{RollupRow, RollupSeries};

use super::{codec, recorder::Delta};

/// Windows of each length of a metric that stay in memory; others are read again when late events come.
const RECENT: usize = 2;

/// How long windows are kept, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) fine: i64,
    pub(super) minutes: i64,
    pub(super) hours: i64,
    pub(super) days: i64,
}

impl Keep {
    /// How long windows of this length are kept.
    pub(super) const fn of(&self, resolution: i64) -> i64 {
        match resolution {
            DAY => self.days,
            HOUR => self.hours,
            MINUTE => self.minutes,
            _ => self.fine,
        }
    }
}

/// One window of one metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WindowKey {
    pub(super) series_id: Arc<str>,
    pub(super) resolution: i64,
    pub(super) start: i64,
}

type Window = HashMap<Arc<[String]>, Accumulator, foldhash::fast::RandomState>;

/// Windows in memory, as they are stored.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Most series of a metric in a day.
    cap: usize,
    windows: BTreeMap<WindowKey, Window>,
    /// Begin of the newest window that is stored, of each metric and length; later windows are known to be empty.
    newest: HashMap<(Arc<str>, i64), Option<i64>>,
}

/// Rows to write for deltas.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) rows: Vec<RollupRow>,
    /// Series that went to `other`.
    pub(super) surplus: u64,
    /// Windows that could not be encoded.
    pub(super) failed: u64,
}

impl Ledger {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            cap: cap.max(1),
            windows: BTreeMap::new(),
            newest: HashMap::new(),
        }
    }

    /// Metrics and lengths of which the newest stored window must be made known before anything else.
    pub(super) fn unknown(&self, deltas: &[Delta]) -> BTreeSet<(Arc<str>, i64)> {
        let mut unknown = BTreeSet::new();
        for delta in deltas {
            let series_id: Arc<str> = delta.metric.series_id.as_str().into();
            for resolution in delta.metric.draft.resolutions() {
                let key = (Arc::clone(&series_id), resolution);
                if !self.newest.contains_key(&key) {
                    unknown.insert(key);
                }
            }
        }
        unknown
    }

    /// Takes note of a metric's newest stored window.
    pub(super) fn know(&mut self, series_id: Arc<str>, resolution: i64, newest: Option<i64>) {
        self.newest.insert((series_id, resolution), newest);
    }

    /// Stored windows that must be loaded before the deltas can be applied.
    pub(super) fn missing(&self, deltas: &[Delta]) -> BTreeSet<WindowKey> {
        let mut missing = BTreeSet::new();
        for delta in deltas {
            for key in windows_of(delta) {
                let newest = self.newest.get(&(Arc::clone(&key.series_id), key.resolution));
                let stored = newest.is_none_or(|newest| newest.is_some_and(|newest| key.start <= newest));
                if stored && !self.windows.contains_key(&key) {
                    missing.insert(key);
                }
            }
        }
        missing
    }

    /// Takes in a stored window. Answers how many of its rows cannot be read and begin anew.
    pub(super) fn load(&mut self, key: WindowKey, stored: Vec<RollupSeries>) -> u64 {
        let mut window = Window::default();
        let mut unreadable = 0;
        for series in stored {
            for (_, body) in series.windows {
                match codec::decode(&body) {
                    Ok(accumulator) => drop(window.insert(series.labels.as_slice().into(), accumulator)),
                    Err(error) => {
                        unreadable += 1;
                        tracing::warn!(series = ?series.labels, start = key.start, %error, "a stored window is not read and begins anew");
                    }
                }
            }
        }
        self.windows.insert(key, window);
        unreadable
    }

    /// Merges deltas into their windows; what they need has been loaded. Answers the rows that have changed.
    pub(super) fn apply(&mut self, deltas: Vec<Delta>, keep: Keep, now: i64) -> Applied {
        let mut applied = Applied::default();
        let mut changed: BTreeSet<(WindowKey, Arc<[String]>)> = BTreeSet::new();
        for delta in deltas {
            let labels = self.admit(&delta, &mut applied.surplus);
            for key in windows_of(&delta) {
                if key.start < now.saturating_sub(keep.of(key.resolution)) {
                    continue;
                }
                let window = self.windows.entry(key.clone()).or_default();
                match window.get_mut(&labels) {
                    Some(known) => known.merge(&delta.gained),
                    None => drop(window.insert(Arc::clone(&labels), delta.gained.clone())),
                }
                changed.insert((key, Arc::clone(&labels)));
            }
        }
        for (key, labels) in changed {
            let Some(accumulator) = self.windows.get(&key).and_then(|window| window.get(&labels)) else {
                continue;
            };
            match codec::encode(accumulator) {
                Ok(body) => applied.rows.push(RollupRow {
                    metric: Arc::clone(&key.series_id),
                    labels,
                    resolution: key.resolution,
                    start: key.start,
                    body,
                }),
                Err(error) => {
                    applied.failed += 1;
                    tracing::error!(%error, "a window cannot be stored");
                }
            }
            let newest = self.newest.entry((key.series_id, key.resolution)).or_default();
            *newest = (*newest).max(Some(key.start));
        }
        applied
    }

    /// The labels under which a delta counts: its own, or `other` when its metric has too many series that day.
    fn admit(&self, delta: &Delta, surplus: &mut u64) -> Arc<[String]> {
        let own = || Arc::clone(&delta.labels);
        if delta.labels.is_empty() {
            return own();
        }
        let day = WindowKey {
            series_id: delta.metric.series_id.as_str().into(),
            resolution: DAY,
            start: window_start(delta.start, DAY),
        };
        match self.windows.get(&day) {
            Some(window) if window.len() >= self.cap && !window.contains_key(&delta.labels) => {
                *surplus += 1;
                delta.labels.iter().map(|_| OTHER.to_owned()).collect()
            }
            _ => own(),
        }
    }

    /// Forgets windows that are not the newest of their length.
    pub(super) fn trim(&mut self) {
        let mut seen: HashMap<(Arc<str>, i64), usize> = HashMap::new();
        let mut old = Vec::new();
        for key in self.windows.keys().rev() {
            let count = seen.entry((Arc::clone(&key.series_id), key.resolution)).or_default();
            *count += 1;
            if *count > RECENT {
                old.push(key.clone());
            }
        }
        for key in old {
            self.windows.remove(&key);
        }
    }

    /// Forgets all windows of a metric.
    pub(super) fn forget(&mut self, series_id: &str) {
        self.windows.retain(|key, _| *key.series_id != *series_id);
        self.newest.retain(|(of, _), _| **of != *series_id);
    }
}

fn windows_of(delta: &Delta) -> impl Iterator<Item = WindowKey> {
    let series_id: Arc<str> = delta.metric.series_id.as_str().into();
    let start = delta.start;
    let resolutions = delta.metric.draft.resolutions();
    resolutions.into_iter().map(move |resolution| WindowKey {
        series_id: Arc::clone(&series_id),
        resolution,
        start: window_start(start, resolution),
    })
}

/// Begin of the window of this length that holds a point in time.
pub(super) const fn window_start(at: i64, size: i64) -> i64 {
    at.div_euclid(size).saturating_mul(size)
}
