//! Asks for signs of life, and calls the URL while there are all of them.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};
use serde_json::json;
use streamflow_alerting::AlertingHandle;
use streamflow_analytics::AnalyticsHandle;
use streamflow_plugin_host::egress::Egress;
use streamflow_storage::{DocOp, Store, StoreHealth};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    options::Method,
    vital::{Signs, Vital},
};

/// An organ that does not answer within this time is ill.
const PATIENCE: Duration = Duration::from_secs(10);
/// The document that is written to see whether writes work.
const PULSE: (&str, &str) = ("setting", "pulse");

/// What must live.
#[derive(Debug, Clone)]
pub struct Organs {
    /// The log.
    pub store: Arc<dyn Store>,
    /// Alerts and deliveries.
    pub alerting: AlertingHandle,
    /// The engine.
    pub analytics: AnalyticsHandle,
}

/// The stage, ready to run.
#[derive(Debug)]
pub struct HeartbeatTask {
    options: Options,
    url: String,
    organs: Organs,
    egress: Arc<Egress>,
    meters: Meters,
}

#[derive(Debug)]
struct Meters {
    calls: IntCounterVec,
    last_success: Gauge,
    healthy: IntGauge,
}

impl HeartbeatTask {
    /// `None` when no URL is configured.
    ///
    /// # Errors
    /// When the URL cannot be used, or a metric's name is taken.
    pub fn build(
        options: &Options,
        organs: Organs,
        egress: Arc<Egress>,
        registry: &Registry,
    ) -> anyhow::Result<Option<Self>> {
        if options.url.is_empty() {
            return Ok(None);
        }
        let url = options
            .target()
            .map_err(|reason| anyhow::anyhow!("heartbeat.url: {reason}"))?;
        Ok(Some(Self {
            options: options.clone(),
            url,
            organs,
            egress,
            meters: Meters::register(registry)?,
        }))
    }

    /// Calls until it is cancelled.
    ///
    /// # Errors
    /// None; the shape is that of every stage.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let mut vital = Vital::new(Instant::now());
        let mut ticks = tokio::time::interval(self.options.interval.std());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing: Option<String> = None;
        while token.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(outcome) = token.run_until_cancelled(self.beat(&mut vital)).await else {
                break;
            };
            let now = outcome.err();
            match (&failing, &now) {
                (before, Some(reason)) if before.as_ref() != Some(reason) => {
                    tracing::warn!(reason, "no heartbeat");
                }
                (Some(_), None) => tracing::info!("the heartbeat goes out again"),
                _ => {}
            }
            failing = now;
        }
        Ok(())
    }

    /// One call, or why there is none.
    async fn beat(&self, vital: &mut Vital) -> Result<(), String> {
        let signs = self.organs.signs().await;
        let wrong = vital.examine(&signs, Instant::now());
        self.meters.healthy.set(i64::from(wrong.is_empty()));
        let count = |outcome: &str| self.meters.calls.with_label_values(&[outcome]).inc();
        if !wrong.is_empty() {
            count("withheld");
            return Err(wrong.join("; "));
        }
        let body = json!({"status": "ok", "sender": "streamflow", "at": streamflow_model::Instant::now(),
            "interval": self.options.interval, "position": signs.engine_at});
        let body = (self.options.method == Method::Post).then(|| body.to_string().into_bytes());
        match self.egress.call(&self.url, body, self.options.timeout.std()).await {
            Ok(()) => {
                count("sent");
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.meters.last_success.set(now.as_secs_f64());
                Ok(())
            }
            Err(error) => {
                count("failed");
                Err(format!("the call failed: {error}"))
            }
        }
    }
}

impl Organs {
    async fn signs(&self) -> Signs {
        let late = |_| format!("no answer within {} s", PATIENCE.as_secs());
        let store = tokio::time::timeout(PATIENCE, self.write()).await.map_err(late);
        let alerting = tokio::time::timeout(PATIENCE, self.alerting.turn()).await;
        let alerting = alerting.map_err(late).and_then(|turn| turn.map_err(|e| e.to_string()));
        Signs {
            store: store.and_then(|written| written),
            alerting,
            engine_turned: self.analytics.last_turn(),
            engine_at: self.analytics.position(),
        }
    }

    /// Writes to the store, by the same writer and with the same sync as everything else; answers the log's last position.
    async fn write(&self) -> Result<u64, String> {
        match self.store.health() {
            StoreHealth::Ready => {}
            StoreHealth::Full => return Err("it is full".to_owned()),
            StoreHealth::Failed(reason) => return Err(reason),
        }
        let pulse = DocOp::Put {
            kind: PULSE.0.to_owned(),
            id: PULSE.1.to_owned(),
            body: json!({"at": streamflow_model::Instant::now()}),
            expect: None,
        };
        self.store
            .commit(vec![pulse])
            .await
            .map_err(|error| error.to_string())?;
        let stats = self.store.stats().await.map_err(|error| error.to_string())?;
        Ok(stats.position)
    }
}

impl Meters {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let calls = Opts::new(
            "streamflow_heartbeat_total",
            "Heartbeats to the outside: sent, failed, or withheld because the hub is not healthy",
        );
        let meters = Self {
            calls: IntCounterVec::new(calls, &["outcome"])?,
            last_success: Gauge::new(
                "streamflow_heartbeat_last_success_timestamp_seconds",
                "When the last heartbeat was answered with a success",
            )?,
            healthy: IntGauge::new(
                "streamflow_heartbeat_healthy",
                "1 while the hub is healthy enough to send heartbeats",
            )?,
        };
        registry.register(Box::new(meters.calls.clone()))?;
        registry.register(Box::new(meters.last_success.clone()))?;
        registry.register(Box::new(meters.healthy.clone()))?;
        for outcome in ["sent", "failed", "withheld"] {
            meters.calls.with_label_values(&[outcome]).reset();
        }
        Ok(meters)
    }
}
