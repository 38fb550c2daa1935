//! The metrics' own figures for Prometheus.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::recorder::Recorded;

#[derive(Debug, Clone)]
pub(super) struct Meters {
    events: IntCounter,
    future: IntCounter,
    expired: IntCounter,
    partials: IntCounterVec,
    pub(super) unreadable: IntCounter,
    pub(super) surplus: IntCounter,
    pub(super) rows: IntCounter,
    pub(super) removed: IntCounter,
    pub(super) lag: IntGauge,
}

impl Meters {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let lag = IntGauge::new(
            "streamflow_rollup_log_lag_batches",
            "Batches of the log that the metrics have not read yet",
        )?;
        registry.register(Box::new(lag.clone()))?;
        let partials = IntCounterVec::new(
            Opts::new(
                "streamflow_rollup_partials_total",
                "Windows that agents had counted: merged, out of the range of time that counts, or refused and counted from the events instead",
            ),
            &["result"],
        )?;
        registry.register(Box::new(partials.clone()))?;
        Ok(Self {
            partials,
            events: counter("streamflow_rollup_events_total", "Events that the metrics have read")?,
            future: counter(
                "streamflow_rollup_future_events_total",
                "Events too far ahead of the hub's clock for any metric",
            )?,
            expired: counter(
                "streamflow_rollup_expired_events_total",
                "Events older than the longest time that windows of metrics are kept",
            )?,
            unreadable: counter(
                "streamflow_rollup_unreadable_total",
                "Batches, columns or stored windows that metrics could not read",
            )?,
            surplus: counter(
                "streamflow_rollup_surplus_series_total",
                "Series counted as `other` because a metric had too many that day",
            )?,
            rows: counter("streamflow_rollup_windows_written_total", "Windows of metrics written")?,
            removed: counter(
                "streamflow_rollup_windows_removed_total",
                "Windows of metrics removed by age",
            )?,
            lag,
        })
    }

    pub(super) fn add(&self, recorded: &Recorded) {
        self.events.inc_by(recorded.events);
        self.future.inc_by(recorded.future);
        self.expired.inc_by(recorded.expired);
        self.unreadable.inc_by(recorded.unreadable);
        let partials = recorded.partials;
        for (result, windows) in [
            ("merged", partials.merged),
            ("out_of_range", partials.out_of_range),
            ("refused", partials.refused),
        ] {
            if windows > 0 {
                self.partials.with_label_values(&[result]).inc_by(windows);
            }
        }
    }
}
