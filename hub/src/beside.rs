//! What runs beside the rooms and meets several of them: the hub's watch over itself, its heartbeat to the outside, and what is
//! kept in files.

use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use streamflow_alerting::Alerting;
use streamflow_analytics::{Analytics, Rollups};
use streamflow_bus::signals::SignalSender;
use streamflow_dashboard::PromQl;
use streamflow_ingest::Ingest;
use streamflow_plugin_host::PluginHost;
use streamflow_storage::Store;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    config::HubConfig,
    heartbeat::{HeartbeatTask, Organs},
    prom_rules::PromRules,
    provisioning::{self, Provisioning},
    self_watch::{self, SelfWatch, Sources},
    shutdown::Stages,
};

/// The rooms that it meets.
pub struct Rooms<'a> {
    pub ingest: &'a Ingest,
    pub analytics: &'a Analytics,
    pub alerting: &'a Alerting,
    pub rollups: &'a Rollups,
    pub plugins: &'a Arc<PluginHost>,
    pub store: &'a Arc<dyn Store>,
    /// For verdicts.
    pub signals: SignalSender,
}

/// All of it, ready to run.
pub struct Beside {
    self_watch: SelfWatch,
    heartbeat: Option<HeartbeatTask>,
    provisioning: Provisioning,
    prom_rules: PromRules,
    routes: OpenApiRouter,
}

impl Beside {
    /// # Errors
    /// When a metric's name is taken, or the heartbeat's URL cannot be used.
    pub fn build(config: &HubConfig, public_url: &str, rooms: Rooms<'_>, registry: &Registry) -> anyhow::Result<Self> {
        let sources = Sources {
            ingest: rooms.ingest.handle(),
            plugins: Arc::clone(rooms.plugins),
            alerting: rooms.alerting.handle(),
            analytics: rooms.analytics.handle(),
            store: Arc::clone(rooms.store),
            data_dir: config.data_dir.clone(),
            max_bytes: config.storage.max_mib << 20,
            certificate_ttl: config.quic.certificate_ttl,
        };
        let self_watch =
            SelfWatch::build(&config.own, sources, rooms.signals, registry).context("the hub's watch over itself")?;
        let organs = Organs {
            store: Arc::clone(rooms.store),
            alerting: rooms.alerting.handle(),
            analytics: rooms.analytics.handle(),
        };
        let heartbeat = HeartbeatTask::build(&config.heartbeat, organs, rooms.plugins.egress(), registry)?;
        let provisioning = Provisioning::build(
            &config.provisioning,
            rooms.alerting.provisioner(),
            rooms.store,
            registry,
        )
        .context("provisioning")?;
        let promql = PromQl::new(Arc::clone(rooms.store), rooms.rollups.history());
        let prom_rules = PromRules::build(
            promql,
            rooms.alerting.handle(),
            public_url,
            provisioning.groups(),
            registry,
        )
        .context("rules for Prometheus")?;
        let files = provisioning::routes(&config.provisioning, provisioning.taken(), prom_rules.view());
        let routes = self_watch::routes(&config.own, self_watch.looked()).merge(files);
        Ok(Self {
            self_watch,
            heartbeat,
            provisioning,
            prom_rules,
            routes,
        })
    }

    /// Its routes.
    pub fn routes(&self) -> OpenApiRouter {
        self.routes.clone()
    }

    /// Starts its stages; they stop before the rooms that they meet.
    pub fn start(self, stages: &mut Stages) {
        let Self {
            self_watch,
            heartbeat,
            provisioning,
            prom_rules,
            routes: _,
        } = self;
        stages.start("provisioning", move |token| provisioning.run(token));
        stages.start("rules for Prometheus", move |token| prom_rules.run(token));
        if let Some(heartbeat) = heartbeat {
            stages.start("heartbeat", move |token| heartbeat.run(token));
        }
        stages.start("self watch", move |token| self_watch.run(token));
    }
}
