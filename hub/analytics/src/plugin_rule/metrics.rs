//! What `/metrics` says about rules of kind `plugin`.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) running: IntGaugeVec,
    pub(super) lag: IntGaugeVec,
    pub(super) skipped: IntCounterVec,
    pub(super) refused: IntCounterVec,
    pub(super) unreadable: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["rule"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), &["rule"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            running: gauge(
                "streamflow_plugin_rule_running",
                "1 when the rule's plugin runs, 0 when the rule waits for it",
            )?,
            lag: gauge(
                "streamflow_plugin_rule_lag_batches",
                "Batches of the log that the rule has not read yet",
            )?,
            skipped: counter(
                "streamflow_plugin_rule_skipped_events_total",
                "Events that were passed over because the plugin failed on them twice",
            )?,
            refused: counter(
                "streamflow_plugin_rule_refused_alerts_total",
                "Alerts that were not taken because the rule has too many open incidents",
            )?,
            unreadable: counter(
                "streamflow_plugin_rule_unreadable_batches_total",
                "Batches that do not decode for the rule",
            )?,
        })
    }

    /// The rule is gone, and so are its series.
    pub(super) fn forget(&self, rule: &str) {
        for gauge in [&self.running, &self.lag] {
            drop(gauge.remove_label_values(&[rule]));
        }
        for counter in [&self.skipped, &self.refused, &self.unreadable] {
            drop(counter.remove_label_values(&[rule]));
        }
    }
}
