//! The stage: routes about accounts, the live feed, and the upkeep of sign-ins.

use std::{sync::Arc, time::Duration};

use prometheus::Registry;
use streamflow_alerting::AlertingHandle;
use streamflow_analytics::AnalyticsHandle;
use streamflow_bus::TailReader;
use streamflow_ingest::IngestHandle;
use streamflow_model::Instant;
use streamflow_storage::Store;
use streamflow_web::Auth;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    Options,
    accounts::sweep_sessions,
    live::{Live, Rooms},
    routes::{self, Desk},
};

/// Sign-ins that have run out are forgotten this often.
const SWEEP: Duration = Duration::from_secs(3600);

/// Why the dashboard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The metrics are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The dashboard, ready to run.
#[derive(Debug)]
pub struct Dashboard {
    desk: Desk,
    live: Live,
    tail: TailReader,
}

impl Dashboard {
    /// Puts the stage together.
    ///
    /// # Errors
    /// When its metrics' names are taken.
    pub fn build(
        options: &Options,
        store: Arc<dyn Store>,
        auth: Arc<Auth>,
        ingest: IngestHandle,
        alerting: AlertingHandle,
        analytics: AnalyticsHandle,
        registry: &Registry,
    ) -> Result<Self, DashboardError> {
        let tail = store.tail().subscribe();
        let rooms = Rooms {
            ingest,
            alerting,
            analytics,
        };
        let live = Live::build(options.clone(), Arc::clone(&store), rooms, registry)?;
        Ok(Self {
            desk: Desk { store, auth },
            live,
            tail,
        })
    }

    /// Sign-in, users, API tokens and the live feed.
    #[must_use]
    pub fn routes(&self) -> OpenApiRouter {
        routes::routes(self.desk.clone()).merge(self.live.routes())
    }

    /// Works until the token is cancelled; live clients are then told to go.
    ///
    /// # Errors
    /// None so far; other stages fail here.
    pub async fn run(self, token: CancellationToken) -> Result<(), DashboardError> {
        let upkeep = sweep(self.desk.store, token.clone());
        tokio::join!(self.live.run(self.tail, token), upkeep);
        Ok(())
    }
}

async fn sweep(store: Arc<dyn Store>, token: CancellationToken) {
    let mut every = tokio::time::interval(SWEEP);
    while token.run_until_cancelled(every.tick()).await.is_some() {
        match sweep_sessions(store.as_ref(), Instant::now()).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "forgot sign-ins that had run out"),
            Err(error) => tracing::warn!(%error, "sign-ins that have run out cannot be forgotten"),
        }
    }
}
