//! Rules and alerts against the stored past: where analytics' engine and alerting's state machine meet, neither knowing the other.

mod backtest;
mod explain;
mod paging;
mod routes;
mod trial;
mod watch;

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use streamflow_alerting::AlertingHandle;
use streamflow_plugin_host::PluginHost;
use streamflow_storage::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use backtest::{Firing, Options, rehearse};
pub use routes::routes;

/// Backtests and explanations that run at a time; more are refused.
const AT_ONCE: usize = 2;

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Past {
    store: Arc<dyn Store>,
    alerting: AlertingHandle,
    plugins: Arc<PluginHost>,
    options: Options,
    slots: Arc<Semaphore>,
    meters: Meters,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct Meters {
    runs: IntCounterVec,
    running: IntGauge,
    events: IntCounter,
}

impl Past {
    /// Over a store, set as the rooms are.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn build(
        options: Options,
        store: Arc<dyn Store>,
        alerting: AlertingHandle,
        plugins: Arc<PluginHost>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let runs = Opts::new(
            "streamflow_backtests_total",
            "Backtests and explained alerts, by how they ended",
        );
        let meters = Meters {
            runs: IntCounterVec::new(runs, &["outcome"])?,
            running: IntGauge::new("streamflow_backtests_running", "Backtests that run now")?,
            events: IntCounter::new("streamflow_backtest_events_total", "Events that backtests have read")?,
        };
        registry.register(Box::new(meters.runs.clone()))?;
        registry.register(Box::new(meters.running.clone()))?;
        registry.register(Box::new(meters.events.clone()))?;
        Ok(Self {
            store,
            alerting,
            plugins,
            options,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            meters,
            stop: CancellationToken::new(),
        })
    }

    /// Ends what runs when it is cancelled: a backtest may take longer than the hub may take to stop.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }
}
