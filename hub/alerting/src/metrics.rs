//! What alerting counts.

use std::collections::BTreeMap;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use streamflow_bus::meters;
use streamflow_model::Level;

use crate::{gate::BreakerState, outbox::ChannelHealth};

/// Metrics of alerting.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Alerts that began to fire, by level.
    pub(crate) fired: IntCounterVec,
    /// Alerts that are not over, by state.
    pub(crate) active: IntGaugeVec,
    /// Verdicts refused because too many alerts are open.
    pub(crate) refused: IntCounter,
    /// What kept somebody from being told, or from being told at once.
    pub(crate) held_back: IntCounterVec,
    /// Attempts to send, by channel and outcome.
    pub(crate) deliveries: IntCounterVec,
    /// Time of one attempt.
    pub(crate) delivery_seconds: Histogram,
    /// Time from the event's storing to the channel's acceptance, first attempts only.
    pub(crate) end_to_end_seconds: Histogram,
    /// Notifications that wait.
    pub(crate) waiting: IntGauge,
    /// Circuit breaker by channel: 0 closed, 1 half-open, 2 open.
    breaker: IntGaugeVec,
    /// Notifications that wait, by channel.
    channel_waiting: IntGaugeVec,
    /// Times that a channel's breaker opened.
    pub(crate) breakers_opened: IntCounter,
    /// Templates that failed, by channel.
    pub(crate) template_failures: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = |name: &str, help: &str| {
            let buckets = vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ];
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
        };
        let metrics = Self {
            fired: IntCounterVec::new(
                Opts::new("streamflow_alerts_fired_total", "Alerts that began to fire"),
                &["level"],
            )?,
            active: IntGaugeVec::new(
                Opts::new("streamflow_alerts_active", "Alerts that are not over"),
                &["state"],
            )?,
            refused: IntCounter::new(
                "streamflow_alerts_refused_total",
                "Verdicts of new groups refused: too many open alerts",
            )?,
            held_back: IntCounterVec::new(
                Opts::new(
                    "streamflow_alerts_held_back_total",
                    "Notifications of alerts that were held back, or not made, by what did it",
                ),
                &["gate"],
            )?,
            deliveries: IntCounterVec::new(
                Opts::new("streamflow_deliveries_total", "Attempts to send a notification"),
                &["channel", "outcome"],
            )?,
            delivery_seconds: seconds(
                "streamflow_delivery_duration_seconds",
                "Time of one attempt to send a notification",
            )?,
            end_to_end_seconds: seconds(
                "streamflow_alert_latency_seconds",
                "From storing the event to the channel's acceptance",
            )?,
            waiting: meters::queue_depth(registry, "deliveries")?,
            breaker: IntGaugeVec::new(
                Opts::new(
                    "streamflow_channel_breaker_state",
                    "Circuit breaker of a channel: 0 closed, 1 half-open, 2 open",
                ),
                &["channel"],
            )?,
            channel_waiting: IntGaugeVec::new(
                Opts::new("streamflow_channel_waiting", "Notifications that wait for a channel"),
                &["channel"],
            )?,
            breakers_opened: IntCounter::new(
                "streamflow_channel_breaker_opened_total",
                "Times that a channel's circuit breaker opened",
            )?,
            template_failures: IntCounterVec::new(
                Opts::new(
                    "streamflow_template_failures_total",
                    "Messages sent in the hub's own words because a channel's template failed",
                ),
                &["channel"],
            )?,
        };
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.channel_waiting.clone()))?;
        registry.register(Box::new(metrics.breakers_opened.clone()))?;
        registry.register(Box::new(metrics.template_failures.clone()))?;
        registry.register(Box::new(metrics.fired.clone()))?;
        for level in [Level::Info, Level::Warning, Level::Error, Level::Critical] {
            // A counter that is absent until the first alert makes `rate()` miss that alert.
            metrics.fired.with_label_values(&[level.name()]).inc_by(0);
        }
        registry.register(Box::new(metrics.active.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.held_back.clone()))?;
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.delivery_seconds.clone()))?;
        registry.register(Box::new(metrics.end_to_end_seconds.clone()))?;
        Ok(metrics)
    }

    /// Shows how channels do; those that are gone are gone here too.
    pub(crate) fn show_channels(
        &self,
        health: &BTreeMap<String, ChannelHealth>,
        before: &BTreeMap<String, ChannelHealth>,
    ) {
        for (channel, health) in health {
            let state = match health.breaker {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.breaker.with_label_values(&[channel.as_str()]).set(state);
            let waiting = i64::try_from(health.waiting).unwrap_or(i64::MAX);
            self.channel_waiting.with_label_values(&[channel.as_str()]).set(waiting);
        }
        for channel in before.keys().filter(|channel| !health.contains_key(*channel)) {
            // They may never have been shown.
            drop(self.breaker.remove_label_values(&[channel.as_str()]));
            drop(self.channel_waiting.remove_label_values(&[channel.as_str()]));
        }
    }
}
