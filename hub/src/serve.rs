//! The composition root: builds every room from the bottom up, starts them, and stops them in order.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use prometheus::Registry;
use streamflow_alerting::Alerting;
use streamflow_analytics::{Analytics, EdgeLink, Heartbeats, Placer, PluginRules, Rollups};
use streamflow_bus::signals;
use streamflow_dashboard::Dashboard;
use streamflow_ingest::Ingest;
use streamflow_model::OpenGroup;
use streamflow_plugin_host::PluginHost;
use streamflow_storage::{FolderLock, Store, StoreHealth};
use streamflow_web::{Auth, FinishOptions, Health};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    beside::{self, Beside},
    config::HubConfig,
    drill::{self, Drills},
    past::{self, Past},
    self_watch, shipped,
    shutdown::{self, Stages},
    standby::{self, Role, Sign},
};

/// Environment variable that sets the first administrator's password.
const ADMIN_PASSWORD: &str = "STREAMFLOW_ADMIN_PASSWORD";
/// The end of the process frees it, and nothing before: a store that has failed must not let another hub lead while this one still sends.
static LEADS: OnceLock<FolderLock> = OnceLock::new();

/// Runs the hub until a signal, or until a stage fails.
///
/// # Errors
/// When it cannot start, or a stage failed.
pub async fn serve(config: HubConfig, ready_json: bool) -> anyhow::Result<()> {
    streamflow_storage::folder::make(&config.data_dir)
        .with_context(|| format!("data_dir {} cannot be made", config.data_dir.display()))?;
    let registry = Registry::new();
    let sign = Sign::put_up(&config.ha).await?;
    let mut waited = false;
    let waits = || {
        waited = true;
        sign.show(Role::Standby);
        announce_standby(ready_json, &config.data_dir, sign.address);
    };
    let lead = standby::lead(&config.storage, &config.data_dir, config.ha.standby, waits);
    // One and the same from here to the end. A hub that is no standby begins to listen when it has started: until then a signal ends it at once, which costs nothing.
    let mut signal = std::pin::pin!(shutdown::requested());
    let lock = tokio::select! {
        // A standby listens before it says that it is one.
        biased;
        signal = &mut signal, if config.ha.standby => {
            tracing::info!(signal = signal?, "stopping, without ever having led");
            return Ok(());
        }
        lock = lead => lock?,
    };
    LEADS.get_or_init(|| lock.clone());
    sign.show(Role::Starting);
    standby::udp_free(config.quic.listen, waited).await;
    let listener = bind(config.http.listen, waited).await?;
    let http = listener.local_addr()?;
    let public_url = match config.http.public_url.as_str() {
        "" => format!("http://{http}"),
        url => url.trim_end_matches('/').to_owned(),
    };

    let mut stages = Stages::default();
    let built = build(&config, lock, &public_url, &registry).await?;
    let quic = built.ingest.quic_addr();
    let (router, health, past) = (built.router, built.health, built.past);
    let limits = config.http.limits.clone();

    // The order of these lines is the order of stopping: doors first, the store last.
    stages.start("http", move |token| async move {
        Ok(streamflow_web::serve(listener, router, &limits, &registry, token).await?)
    });
    stages.start("ingest", move |token| async move { Ok(built.ingest.run(token).await?) });
    stages.start("dashboard", move |token| async move {
        Ok(built.dashboard.run(token).await?)
    });
    stages.start("drills", move |token| async move {
        built.drills.run(token).await;
        Ok(())
    });
    built.beside.start(&mut stages);
    stages.start("analytics", move |token| async move {
        Ok(built.analytics.run(token).await?)
    });
    stages.start("plugin rules", move |token| async move {
        Ok(built.plugin_rules.run(token).await?)
    });
    stages.start(
        "metrics",
        move |token| async move { Ok(built.rollups.run(token).await?) },
    );
    stages.start("placement", move |token| async move {
        built.placer.run(token).await;
        Ok(())
    });
    stages.start(
        "alerting",
        move |token| async move { Ok(built.alerting.run(token).await?) },
    );
    stages.start(
        "plugins",
        move |token| async move { Ok(built.plugins.run(token).await?) },
    );
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    stages.start("memory", move |token| async move {
        crate::memory::keep_small(token).await;
        Ok(())
    });
    stages.start(
        "storage",
        move |token| async move { Ok(built.storage.run(token).await?) },
    );

    // For commands beside the hub, which cannot know a port that the system chose.
    std::fs::write(address_file(&config.data_dir), format!("{http}\n"))
        .with_context(|| format!("data_dir {} cannot be written", config.data_dir.display()))?;
    sign.show(Role::Leader);
    announce(ready_json, http, quic, built.admin_password.as_deref());
    let outcome = tokio::select! {
        signal = &mut signal => {
            tracing::info!(signal = signal?, "stopping");
            Ok(())
        }
        error = stages.failed() => Err(error),
    };
    health.stopping();
    past.cancel();
    stages.stop().await;
    tracing::info!("stopped");
    outcome
}

/// Where a running hub leaves the address of its API.
pub fn address_file(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("http.address")
}

/// Everything that is ready to run.
struct Built {
    ingest: Ingest,
    analytics: Analytics,
    plugin_rules: PluginRules,
    rollups: Rollups,
    placer: Placer,
    drills: Drills,
    beside: Beside,
    alerting: Alerting,
    dashboard: Dashboard,
    plugins: Arc<PluginHost>,
    storage: streamflow_storage::Service,
    router: axum::Router,
    health: Health,
    past: CancellationToken,
    admin_password: Option<String>,
}

async fn build(config: &HubConfig, lock: FolderLock, public_url: &str, registry: &Registry) -> anyhow::Result<Built> {
    let dir: &Path = &config.data_dir;
    let (store, storage) = streamflow_storage::build_locked(&config.storage, dir, lock, registry)
        .await
        .context("storage")?;
    shipped::offer(store.as_ref()).await.context("shipped rules")?;

    let plugins = PluginHost::build(&config.plugins, &config.egress, &config.mail, dir, registry)
        .await
        .context("plugins")?;
    let ingest = Ingest::build(&config.quic, &config.ingest, dir, store.clone(), registry)
        .await
        .context("ingest")?;
    let (sender, receiver) = signals::channel();
    let alerting = Alerting::build(
        &config.alerting,
        dir,
        public_url,
        store.clone(),
        plugins.clone(),
        receiver,
        self_watch::rules(&config.own),
        registry,
    )
    .await
    .context("alerting")?;
    let uplink = ingest.handle();
    let heartbeats = Heartbeats::new(move || uplink.agents());
    let plugin_rules = PluginRules::build(
        &config.analytics,
        store.clone(),
        plugins.clone(),
        alerting.rules(),
        sender.clone(),
        registry,
    )
    .context("plugin rules")?
    .with_heartbeats(heartbeats.clone());
    let (verdicts, own_verdicts) = (sender.clone(), sender.clone());
    let mut analytics = Analytics::build(&config.analytics, store.clone(), alerting.rules(), sender, registry)
        .await
        .context("analytics")?
        .with_heartbeats(heartbeats);
    // There may be a hundred thousand, of which each is a kilobyte like this.
    let mut open = alerting.open_groups();
    loop {
        let some: Vec<OpenGroup> = open.by_ref().take(1000).collect();
        if some.is_empty() {
            break;
        }
        analytics = analytics.with_open(&some);
    }
    drop(open);
    let rollups = Rollups::build(&config.analytics, store.clone(), analytics.handle(), registry)
        .await
        .context("metrics")?
        .with_edge(edge_link(&ingest));
    let auth =
        Arc::new(Auth::build(&config.auth, dir, streamflow_dashboard::accounts(store.clone())).context("sign-in")?);
    let dashboard = Dashboard::build(
        &config.dashboard,
        store.clone(),
        auth.clone(),
        ingest.handle(),
        alerting.handle(),
        analytics.handle(),
        registry,
    )
    .context("dashboard")?;

    let options = past::Options {
        analytics: config.analytics,
        alerting: config.alerting.clone(),
    };
    let past =
        Past::build(options, store.clone(), alerting.handle(), plugins.clone(), registry).context("backtests")?;
    let rooms = drill::Rooms {
        store: store.clone(),
        ingest: ingest.handle(),
        analytics: analytics.handle(),
        alerting: alerting.handle(),
        signals: verdicts,
        engine: config.analytics,
    };
    // Before anything reads the log: what is marked must be passed over.
    let drills = Drills::build(config.drills.clone(), rooms, registry)
        .await
        .context("drills")?;
    let rooms = beside::Rooms {
        ingest: &ingest,
        analytics: &analytics,
        alerting: &alerting,
        rollups: &rollups,
        plugins: &plugins,
        store: &store,
        signals: own_verdicts,
    };
    let beside = Beside::build(config, public_url, rooms, registry)?;
    let health = Health::default();
    let log = store.clone();
    health.register("storage", move || match log.health() {
        StoreHealth::Ready => Ok(()),
        StoreHealth::Full => Err("the disk under the store is full; events are refused until there is room".to_owned()),
        StoreHealth::Failed(reason) => Err(format!("the store has failed: {reason}")),
    });
    let desk = alerting.handle();
    health.register("alerting", move || desk.check());
    let desk = alerting.handle();
    plugins.ask_users(move |plugin| desk.users_of_plugin(plugin));
    let routes = streamflow_storage::routes(store.clone())
        .merge(ingest.routes())
        .merge(analytics.routes())
        .merge(rollups.routes())
        .merge(alerting.routes())
        .merge(past::routes(past.clone()))
        .merge(beside.routes())
        .merge(drill::routes(drills.clone()))
        .merge(plugins.routes())
        .merge(dashboard.routes())
        .merge(streamflow_dashboard::prometheus(store.clone(), rollups.history()));
    let options = FinishOptions {
        auth,
        health: health.clone(),
        registry: registry.clone(),
        cors_origins: config.http.cors_origins.clone(),
        limits: config.http.limits.clone(),
        fallback: streamflow_dashboard::ui_fallback(),
    };
    let router = streamflow_web::finish(routes, options)?;
    // Last, so that a start that fails cannot keep the only copy of the password.
    let admin_password = admin(&store).await?;
    Ok(Built {
        ingest,
        analytics,
        plugin_rules,
        placer: rollups.placer(),
        drills,
        beside,
        rollups,
        alerting,
        dashboard,
        plugins,
        storage,
        router,
        health,
        past: past.stop(),
        admin_password,
    })
}

/// How metrics get to agents: the rooms that keep metrics and that talk with agents meet here.
fn edge_link(ingest: &Ingest) -> EdgeLink {
    let (agents, uplink) = (ingest.handle(), ingest.handle());
    let changes = agents.edge_changes();
    EdgeLink::new(
        move || agents.edge_agents(),
        move |definitions| uplink.push_metrics(definitions),
        changes,
    )
}

async fn admin(store: &Arc<dyn Store>) -> anyhow::Result<Option<String>> {
    let wanted = std::env::var(ADMIN_PASSWORD).ok().filter(|p| !p.is_empty());
    let given = wanted.is_some();
    let made = streamflow_dashboard::ensure_admin(store.as_ref(), wanted)
        .await
        .context("first administrator")?;
    Ok(made.filter(|_| !given))
}

async fn bind(listen: SocketAddr, taken_over: bool) -> anyhow::Result<TcpListener> {
    standby::bind(listen, taken_over).await.with_context(|| {
        format!("http.listen: {listen} cannot be bound; is another program using the port? set another one there, or port 0 for any free one")
    })
}

/// Tells people and programs that the hub waits for another one to end.
fn announce_standby(json: bool, data_dir: &Path, health: Option<SocketAddr>) {
    let line = if json {
        let health = health.map(|address| address.to_string());
        serde_json::json!({"event": "standby", "health": health}).to_string()
    } else {
        format!(
            "standby: another hub serves {}; waiting for it to end",
            data_dir.display()
        )
    };
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "the standby line cannot be printed");
    }
    tracing::info!(data_dir = %data_dir.display(), "another hub serves the data folder, standing by");
}

/// Tells people and programs that the hub is ready.
fn announce(json: bool, http: SocketAddr, quic: SocketAddr, password: Option<&str>) {
    let mut lines = Vec::new();
    if json {
        if let Some(password) = password {
            lines.push(
                serde_json::json!({"event": "admin-created", "username": "admin", "password": password}).to_string(),
            );
        }
        lines.push(
            serde_json::json!({"event": "ready", "http": http.to_string(), "quic": quic.to_string()}).to_string(),
        );
    } else {
        lines.push(format!("dashboard  http://{http}/"));
        lines.push(format!("agents     {quic} (QUIC)"));
        if let Some(password) = password {
            lines.push(format!(
                "sign in    admin, password: {password}   (shown only this once)"
            ));
        }
    }
    let mut out = std::io::stdout().lock();
    // A hub that nobody listens to runs all the same.
    if let Err(error) = lines
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush())
    {
        tracing::warn!(%error, "the ready line cannot be printed");
    }
    tracing::info!(%http, %quic, "ready");
}
