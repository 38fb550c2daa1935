//! Where series come from: the hub's metrics, and the `metric` events of agents.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use streamflow_analytics::{
    History,
    rollup::{CatalogError, HistoryError},
};
use streamflow_model::metric::{MINUTE, prometheus_name};
use streamflow_proto::{
    batch::{Batch, DecodeError, Dict},
    bitmap::Bitmap,
    filter::{Columns, Filter},
    path::Path,
};
use streamflow_storage::{Store, StoreError};

use super::{
    labels::{Labels, NAME, Series},
    plan::{QueryError, Wanted},
    samples::{self, Range},
};

/// Most samples of one selector.
const MAX_SAMPLES: usize = 5_000_000;
/// Most series of one selector.
const MAX_SERIES: usize = 50_000;
/// Most labels of an event's metric.
const MAX_LABELS: usize = 16;

/// The hub's series. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) history: History,
}

impl From<HistoryError> for QueryError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(StoreError::BadRequest(reason)) => Self::Execution(reason),
            HistoryError::Metric(CatalogError::Unknown(_)) | HistoryError::Range | HistoryError::Step(_) => {
                Self::Execution(error.to_string())
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Source {
    /// The series that are wanted, with their samples in a range up to now.
    pub(super) async fn series(&self, wanted: &Wanted, range: Range, now: i64) -> Result<Vec<Series>, QueryError> {
        let range = Range {
            from: range.from,
            to: range.to.min(now),
        };
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let mut found: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        let mut room = MAX_SAMPLES;
        let mut add = |series: Vec<Series>, room: &mut usize| -> Result<(), QueryError> {
            for one in series.into_iter().filter(|one| wanted.takes(&one.labels)) {
                *room = room.checked_sub(one.samples.len()).ok_or_else(too_many)?;
                found.entry(one.labels).or_default().extend(one.samples);
            }
            if found.len() > MAX_SERIES {
                Err(too_many())
            } else {
                Ok(())
            }
        };
        for metric in self.history.catalog().all().iter() {
            if wanted.may(NAME, &metric.id) {
                let (from, to, window) = samples::gauge_windows(metric, range);
                if from < to {
                    let windows = self.history.steps(metric, from, to, window).await?;
                    add(samples::gauge(metric, &windows, range), &mut room)?;
                }
            }
            let counter = samples::counter_name(metric).filter(|name| wanted.may(NAME, name));
            let (from, to) = samples::counter_windows(range);
            if counter.is_some() && from < to {
                let windows = self.history.steps(metric, from, to, MINUTE).await?;
                add(samples::counter(metric, &windows, range), &mut room)?;
            }
        }
        add(self.events(wanted, range, room).await?, &mut room)?;
        Ok(found
            .into_iter()
            .map(|(labels, mut samples)| {
                samples.sort_by_key(|(at, _)| *at);
                // Of several samples of one time the last stored counts.
                samples.reverse();
                samples.dedup_by_key(|(at, _)| *at);
                samples.reverse();
                Series { labels, samples }
            })
            .collect())
    }

    async fn events(&self, wanted: &Wanted, range: Range, room: usize) -> Result<Vec<Series>, QueryError> {
        let filter = Filter::compile("type == 'metric'").map_err(|e| QueryError::Internal(e.to_string()))?;
        let collector = Collector {
            wanted: wanted.clone(),
            room,
            ..Collector::default()
        };
        // The store calls the visitor from a thread of its own and drops it before the scan answers; the lock is never waited for.
        let shared = Arc::new(Mutex::new(collector));
        let visitor = Arc::clone(&shared);
        let visit = Box::new(move |batch: &Batch, rows: &Bitmap| {
            let mut collector = visitor.lock().unwrap_or_else(PoisonError::into_inner);
            match collector.add(batch, rows) {
                Ok(flow) => flow,
                Err(error) => {
                    collector.failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        let (from, to) = (range.from.saturating_add(1), range.to.saturating_add(1));
        self.store
            .scan(Some(from), Some(to), Some(Arc::new(filter)), visit)
            .await?;
        let mut collector = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = collector.failed.take() {
            return Err(QueryError::Internal(error.to_string()));
        }
        if collector.full {
            return Err(too_many());
        }
        Ok(std::mem::take(&mut collector.series))
    }
}

fn too_many() -> QueryError {
    QueryError::Execution(format!(
        "query processing would load more than {MAX_SAMPLES} samples or {MAX_SERIES} series into memory; name the metric or take a shorter range"
    ))
}

/// Samples of `metric` events that a scan shows.
#[derive(Debug, Default)]
struct Collector {
    wanted: Wanted,
    room: usize,
    series: Vec<Series>,
    by_labels: HashMap<Labels, usize>,
    full: bool,
    failed: Option<DecodeError>,
}

impl Collector {
    fn add(&mut self, batch: &Batch, rows: &Bitmap) -> Result<ControlFlow<()>, DecodeError> {
        let path = |text: &str| Path::parse(text).map_err(|_| DecodeError::Malformed("path"));
        let mut columns = Columns::new(batch);
        let (Some(names), Some(values)) = (
            columns.strings(&path("data.name")?)?,
            columns.numbers(&path("data.value")?)?,
        ) else {
            return Ok(ControlFlow::Continue(()));
        };
        let wanted: Vec<bool> = names
            .values
            .iter()
            .map(|name| self.wanted.may(NAME, &prometheus_name(name)))
            .collect();
        if !wanted.contains(&true) {
            return Ok(ControlFlow::Continue(()));
        }
        let times = columns.timestamps()?;
        let mut dicts: Vec<(String, Rc<Dict>)> = vec![(NAME.to_owned(), Rc::clone(&names))];
        if let Some(sources) = columns.strings(&path("source")?)? {
            dicts.push(("source".to_owned(), sources));
        }
        dicts.extend(label_columns(&mut columns)?);
        // Series of this batch by the numbers of their labels' values; `None` is not wanted.
        let mut known: HashMap<Vec<u32>, Option<usize>> = HashMap::new();
        let mut key = vec![Dict::ABSENT; dicts.len()];
        for row in rows.iter_ones() {
            let name = names.ids.get(row).copied().unwrap_or(Dict::ABSENT);
            if wanted.get(name as usize) != Some(&true) || !values.present.get(row) {
                continue;
            }
            for (slot, (_, dict)) in key.iter_mut().zip(&dicts) {
                *slot = dict.ids.get(row).copied().unwrap_or(Dict::ABSENT);
            }
            let series = match known.get(&key) {
                Some(series) => *series,
                None => {
                    let series = self.intern(&dicts, row);
                    known.insert(key.clone(), series);
                    series
                }
            };
            let Some(series) = series.and_then(|series| self.series.get_mut(series)) else {
                continue;
            };
            if self.room == 0 {
                self.full = true;
                return Ok(ControlFlow::Break(()));
            }
            self.room -= 1;
            series.samples.push((times[row], values.values[row]));
        }
        self.full |= self.series.len() > MAX_SERIES;
        Ok(if self.full {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn intern(&mut self, dicts: &[(String, Rc<Dict>)], row: usize) -> Option<usize> {
        let mut labels = Labels::new();
        for (name, dict) in dicts {
            let Some(value) = dict.get(row).filter(|value| !value.is_empty()) else {
                continue;
            };
            let value = if name == NAME {
                prometheus_name(value)
            } else {
                value.to_owned()
            };
            // A label that is called like one of the hub's own stays beside it, as in Prometheus.
            let name = if labels.contains_key(name) {
                format!("exported_{name}")
            } else {
                name.clone()
            };
            labels.insert(name, value);
        }
        if !self.wanted.takes(&labels) {
            return None;
        }
        if let Some(series) = self.by_labels.get(&labels) {
            return Some(*series);
        }
        let series = self.series.len();
        self.by_labels.insert(labels.clone(), series);
        self.series.push(Series {
            labels,
            samples: Vec::new(),
        });
        Some(series)
    }
}

/// The columns directly below `data.labels`.
fn label_columns(columns: &mut Columns<'_>) -> Result<Vec<(String, Rc<Dict>)>, DecodeError> {
    let mut paths: Vec<Path> = columns
        .batch()
        .paths()
        .map(|(path, _)| path)
        .filter(|path| path.root() == "data" && matches!(path.keys(), [first, _] if first == "labels"))
        .collect();
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths.into_iter().take(MAX_LABELS) {
        if let (Some(dict), Some(key)) = (columns.labels(&path)?, path.keys().last()) {
            found.push((prometheus_name(key), dict));
        }
    }
    Ok(found)
}
