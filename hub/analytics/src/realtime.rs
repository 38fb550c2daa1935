//! The last minutes as charts show them: events per second by type, by arrival, and the metrics of each host.
//!
//! Pure: batches in, snapshots out. Bounded in types, series and points; what is older falls out.

mod counts;
mod hosts;

use std::collections::BTreeMap;

use serde::Serialize;
use streamflow_proto::{batch::DecodeError, filter::Columns};
use streamflow_storage::store::LogBatch;

use counts::Counts;
use hosts::Hosts;

/// Length of the view, ms.
pub const SPAN_MS: i64 = 300_000;
/// Length of one step, ms.
pub const STEP_MS: i64 = 1000;

/// The last minutes of everything.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Snapshot {
    /// End of the last whole step, ms since 1970.
    pub at: i64,
    /// Length of a step, ms.
    pub step_ms: i64,
    /// Events in the last whole step.
    pub events_per_second: u64,
    /// Events by type.
    pub types: Vec<TypeSeries>,
    /// Metrics by host.
    pub hosts: Vec<HostMetrics>,
}

/// Events of one type.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TypeSeries {
    /// The type; `other` for all beyond 64 in view.
    #[serde(rename = "type")]
    pub kind: String,
    /// Begin of each step and the events that arrived in it.
    #[schema(value_type = Vec<Vec<i64>>)]
    pub points: Vec<(i64, u64)>,
}

/// Metrics of one host.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HostMetrics {
    /// The events' source.
    pub source: String,
    /// Its series.
    pub metrics: Vec<MetricSeries>,
}

/// One metric of one host.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MetricSeries {
    /// For example `host.cpu.utilization`.
    pub name: String,
    /// For example `percent`.
    pub unit: String,
    /// For example the mount point.
    pub labels: BTreeMap<String, String>,
    /// Time and value.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(i64, f64)>,
}

/// What happened in the last whole step.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Tick {
    /// End of the step, ms since 1970.
    pub at: i64,
    /// Events by type in the step.
    pub types: BTreeMap<String, u64>,
    /// Events in the step.
    pub events_per_second: u64,
    /// The newest value of each metric that changed.
    pub hosts: Vec<MetricPoint>,
}

/// The newest value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MetricPoint {
    /// The host.
    pub source: String,
    /// The metric.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
    /// When it was measured, ms since 1970.
    pub at: i64,
}

/// The running view.
#[derive(Debug, Default)]
pub struct Realtime {
    counts: Counts,
    hosts: Hosts,
}

impl Realtime {
    /// Takes in a part of the log. What arrived before the view begins is passed over.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn record(&mut self, log: &LogBatch, now: i64) -> Result<(), DecodeError> {
        if log.spans.iter().all(|span| span.stored_at < now - SPAN_MS) {
            return Ok(());
        }
        let mut columns = Columns::new(&log.batch);
        self.counts.record(&mut columns, &log.spans)?;
        self.hosts.record(&mut columns, &log.spans, now)
    }

    /// Everything in view.
    #[must_use]
    pub fn snapshot(&self, now: i64) -> Snapshot {
        let at = whole_step(now);
        Snapshot {
            at,
            step_ms: STEP_MS,
            events_per_second: self.counts.step(at - STEP_MS).map(|(_, count)| count).sum(),
            types: self.counts.series(at),
            hosts: self.hosts.series(at - SPAN_MS),
        }
    }

    /// The last whole step, and metrics that were recorded after `since`.
    #[must_use]
    pub fn tick(&self, since: i64, now: i64) -> Tick {
        let at = whole_step(now);
        let types: BTreeMap<String, u64> = self
            .counts
            .step(at - STEP_MS)
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        Tick {
            at,
            events_per_second: types.values().sum(),
            types,
            hosts: self.hosts.latest(since),
        }
    }
}

const fn whole_step(now: i64) -> i64 {
    now.div_euclid(STEP_MS) * STEP_MS
}

#[cfg(test)]
mod tests;
