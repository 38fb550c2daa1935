//! The room's own figures for Prometheus.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::{engine::Outcome, tally::Tallies};

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    events: IntCounter,
    late: IntCounterVec,
    corrections: IntCounter,
    future: IntCounter,
    surplus_groups: IntCounterVec,
    condition_errors: IntCounter,
    unreadable: IntCounter,
    evicted: IntCounter,
    dropped: IntCounter,
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
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let duration = HistogramOpts::new(
            "streamflow_event_duration_seconds",
            "Time from an event's durable storage to its evaluation",
        )
        .buckets(prometheus::exponential_buckets(0.0005, 2.0, 16)?);
        let duration = Histogram::with_opts(duration)?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            events: counter("streamflow_analytics_events_total", "Events that the engine has read")?,
            late: counters(
                "streamflow_analytics_late_events_total",
                "Events that came too late for every window of theirs of some rule",
                &["agent", "source"],
            )?,
            corrections: counter(
                "streamflow_analytics_corrections_total",
                "Results of closed windows that late events have changed",
            )?,
            future: counter(
                "streamflow_analytics_future_events_total",
                "Events too far ahead of the hub's clock for any window",
            )?,
            surplus_groups: counters(
                "streamflow_analytics_surplus_groups_total",
                "Groups counted as `other` because a rule had too many, by the attribute that made them so",
                &["rule", "attribute"],
            )?,
            condition_errors: counter(
                "streamflow_analytics_condition_errors_total",
                "Conditions that gave no verdict",
            )?,
            unreadable: counter(
                "streamflow_analytics_unreadable_batches_total",
                "Batches or columns that do not decode",
            )?,
            evicted: counter(
                "streamflow_analytics_evicted_keys_total",
                "Keys of patterns, groups of absences and models of anomalies that were dropped for want of room",
            )?,
            dropped: counter(
                "streamflow_analytics_dropped_events_total",
                "Events of patterns and absences that found no room",
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

    /// Late events and surplus groups are counted under their labels as long as those stay few.
    pub(crate) fn add(&self, outcome: &Outcome, tallies: &mut Tallies) {
        self.events.inc_by(outcome.events);
        self.future.inc_by(outcome.future);
        self.condition_errors.inc_by(outcome.condition_errors);
        self.corrections.inc_by(outcome.corrections);
        self.unreadable.inc_by(outcome.unreadable);
        self.evicted.inc_by(outcome.evicted);
        self.dropped.inc_by(outcome.dropped);
        self.signals.inc_by(outcome.signals.len() as u64);
        for late in &outcome.late {
            let [agent, source] = tallies.late.add([&late.agent, &late.source], late.events);
            self.late.with_label_values(&[agent, source]).inc_by(late.events);
        }
        for surplus in &outcome.surplus {
            let [rule, attribute] = tallies.surplus.add([&surplus.rule, &surplus.attribute], surplus.groups);
            self.surplus_groups
                .with_label_values(&[rule, attribute])
                .inc_by(surplus.groups);
        }
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.inc();
    }
}
