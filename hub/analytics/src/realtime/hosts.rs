//! The metrics of each host: events of the type `metric` whose `data.name` begins with `host.`.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
};

use streamflow_proto::{
    batch::{DecodeError, Dict},
    filter::Columns,
    path::Path,
};
use streamflow_storage::store::RowSpan;

use crate::engine::grouping;

use super::{HostMetrics, MetricPoint, MetricSeries, SPAN_MS, STEP_MS, whole_step};

/// Most series; further ones are not shown until others have ended.
const MAX_SERIES: usize = 4096;
/// Most labels of a series.
const MAX_LABELS: usize = 16;
/// Points of a series: one for each step in view.
const MAX_POINTS: usize = (SPAN_MS / STEP_MS) as usize;

#[derive(Debug)]
struct Series {
    source: String,
    name: String,
    unit: String,
    labels: BTreeMap<String, String>,
    /// Time and value, oldest first.
    points: VecDeque<(i64, f64)>,
    /// When the newest point was recorded.
    recorded_at: i64,
}

#[derive(Debug, Default)]
pub(super) struct Hosts {
    series: HashMap<u128, Series, foldhash::fast::RandomState>,
    swept_at: i64,
}

/// Text columns of a batch that describe a metric.
struct Texts {
    source: Option<Rc<Dict>>,
    name: Rc<Dict>,
    unit: Option<Rc<Dict>>,
    labels: Vec<(String, Rc<Dict>)>,
}

impl Hosts {
    pub(super) fn record(&mut self, columns: &mut Columns<'_>, spans: &[RowSpan], now: i64) -> Result<(), DecodeError> {
        let path = |text: &str| Path::parse(text).map_err(|_| DecodeError::Malformed("path"));
        let Some(kinds) = columns.strings(&path("type")?)? else {
            return Ok(());
        };
        let Some(metric) = kinds
            .values
            .iter()
            .zip(0u32..)
            .find(|(kind, _)| *kind == "metric")
            .map(|(_, id)| id)
        else {
            return Ok(());
        };
        let Some(name) = columns.strings(&path("data.name")?)? else {
            return Ok(());
        };
        let Some(values) = columns.numbers(&path("data.value")?)? else {
            return Ok(());
        };
        let of_host: Vec<bool> = name.values.iter().map(|name| name.starts_with("host.")).collect();
        if !of_host.contains(&true) {
            return Ok(());
        }
        let times = columns.timestamps()?;
        let labels = label_columns(columns)?;
        let texts = Texts {
            source: columns.strings(&path("source")?)?,
            name,
            unit: columns.strings(&path("data.unit")?)?,
            labels,
        };
        for span in spans.iter().filter(|span| span.stored_at >= now - SPAN_MS) {
            for row in span.start as usize..(span.end as usize).min(times.len()) {
                let host = of_host.get(texts.name.ids[row] as usize) == Some(&true);
                if host && kinds.ids[row] == metric && values.present.get(row) {
                    // A host whose clock is ahead must not reserve the future.
                    self.add(
                        &texts,
                        row,
                        times[row].min(span.stored_at),
                        values.values[row],
                        span.stored_at,
                    );
                }
            }
        }
        if now - self.swept_at > SPAN_MS / 10 {
            self.swept_at = now;
            self.series.retain(|_, series| series.recorded_at >= now - SPAN_MS);
        }
        Ok(())
    }

    fn add(&mut self, texts: &Texts, row: usize, at: i64, value: f64, recorded_at: i64) {
        let text = |dict: &Option<Rc<Dict>>| dict.as_ref().and_then(|dict| dict.get(row)).unwrap_or("").to_owned();
        let (source, name) = (
            texts.source.as_ref().and_then(|dict| dict.get(row)).unwrap_or(""),
            texts.name.get(row).unwrap_or(""),
        );
        let labels = || {
            texts
                .labels
                .iter()
                .filter_map(|(key, dict)| dict.get(row).map(|value| (key.as_str(), value)))
        };
        let parts = [source, name].into_iter();
        let key = grouping::fingerprint(parts.chain(labels().flat_map(|(key, value)| [key, value])));
        if !self.series.contains_key(&key) {
            if self.series.len() >= MAX_SERIES {
                return;
            }
            let labels = labels()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let series = Series {
                source: source.to_owned(),
                name: name.to_owned(),
                unit: text(&texts.unit),
                labels,
                points: VecDeque::new(),
                recorded_at,
            };
            self.series.insert(key, series);
        }
        if let Some(series) = self.series.get_mut(&key) {
            series.recorded_at = series.recorded_at.max(recorded_at);
            series.add(whole_step(at), value);
        }
    }

    /// All points since `from`, by host, in the order of names and labels.
    pub(super) fn series(&self, from: i64) -> Vec<HostMetrics> {
        let mut hosts: BTreeMap<&str, Vec<MetricSeries>> = BTreeMap::new();
        for series in self.series.values() {
            let points: Vec<(i64, f64)> = series.points.iter().copied().filter(|(at, _)| *at >= from).collect();
            if !points.is_empty() {
                let metric = MetricSeries {
                    name: series.name.clone(),
                    unit: series.unit.clone(),
                    labels: series.labels.clone(),
                    points,
                };
                hosts.entry(&series.source).or_default().push(metric);
            }
        }
        hosts
            .into_iter()
            .map(|(source, mut metrics)| {
                metrics.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
                HostMetrics {
                    source: source.to_owned(),
                    metrics,
                }
            })
            .collect()
    }

    /// The newest point of each series that was recorded after `since`.
    pub(super) fn latest(&self, since: i64) -> Vec<MetricPoint> {
        let point = |series: &Series| {
            let (at, value) = *series.points.back()?;
            let (source, name, unit) = (series.source.clone(), series.name.clone(), series.unit.clone());
            Some(MetricPoint {
                source,
                name,
                unit,
                labels: series.labels.clone(),
                value,
                at,
            })
        };
        let mut points: Vec<MetricPoint> = self
            .series
            .values()
            .filter(|series| series.recorded_at > since)
            .filter_map(point)
            .collect();
        points.sort_by(|a, b| (&a.source, &a.name, &a.labels).cmp(&(&b.source, &b.name, &b.labels)));
        points
    }
}

impl Series {
    /// The last value of a step stands for it.
    fn add(&mut self, at: i64, value: f64) {
        let place = self.points.partition_point(|(of, _)| *of < at);
        match self.points.get_mut(place) {
            Some(point) if point.0 == at => point.1 = value,
            _ => self.points.insert(place, (at, value)),
        }
        while self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
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
            found.push((key.clone(), dict));
        }
    }
    Ok(found)
}
