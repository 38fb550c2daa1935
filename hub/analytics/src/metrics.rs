//! The room's own figures for Prometheus.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::engine::Outcome;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    events: IntCounter,
    late: IntCounterVec,
    future: IntCounter,
    surplus_groups: IntCounter,
    condition_errors: IntCounter,
    unreadable: IntCounter,
    signals: IntCounter,
    pub(crate) lag: IntGauge,
    pub(crate) duration: Histogram,
    pub(crate) checkpoints: IntCounter,
    pub(crate) checkpoint_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let late = Opts::new(
            "streamflow_analytics_late_events_total",
            "Events that came after a window of theirs had closed",
        );
        let late = IntCounterVec::new(late, &["agent"])?;
        registry.register(Box::new(late.clone()))?;
        let duration = HistogramOpts::new(
            "streamflow_event_duration_seconds",
            "Time from an event's durable storage to its evaluation",
        )
        .buckets(prometheus::exponential_buckets(0.0005, 2.0, 16)?);
        let duration = Histogram::with_opts(duration)?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            events: counter("streamflow_analytics_events_total", "Events that the engine has read")?,
            late,
            future: counter(
                "streamflow_analytics_future_events_total",
                "Events too far ahead of the hub's clock for any window",
            )?,
            surplus_groups: counter(
                "streamflow_analytics_surplus_groups_total",
                "Groups counted as `other` because a rule had too many",
            )?,
            condition_errors: counter(
                "streamflow_analytics_condition_errors_total",
                "Conditions that gave no verdict",
            )?,
            unreadable: counter(
                "streamflow_analytics_unreadable_batches_total",
                "Batches or columns that do not decode",
            )?,
            signals: counter("streamflow_analytics_signals_total", "Verdicts handed to alerting")?,
            lag: gauge(
                "streamflow_analytics_log_lag_batches",
                "Batches of the log that the engine has not read yet",
            )?,
            duration,
            checkpoints: counter("streamflow_analytics_checkpoints_total", "Checkpoints saved")?,
            checkpoint_bytes: gauge("streamflow_analytics_checkpoint_bytes", "Size of the last checkpoint")?,
        })
    }

    pub(crate) fn add(&self, outcome: &Outcome) {
        self.events.inc_by(outcome.events);
        self.future.inc_by(outcome.future);
        self.surplus_groups.inc_by(outcome.surplus_groups);
        self.condition_errors.inc_by(outcome.condition_errors);
        self.unreadable.inc_by(outcome.unreadable);
        self.signals.inc_by(outcome.signals.len() as u64);
        for (agent, count) in &outcome.late {
            self.late.with_label_values(&[agent]).inc_by(*count);
        }
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.inc();
    }
}
