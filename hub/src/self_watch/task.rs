//! Gathers the facts, looks, and hands the verdicts to alerting.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{IntGaugeVec, Opts, Registry};
use streamflow_alerting::{AlertingHandle, BreakerState};
use streamflow_analytics::AnalyticsHandle;
use streamflow_bus::signals::SignalSender;
use streamflow_ingest::IngestHandle;
use streamflow_model::{Instant, Span};
use streamflow_plugin_host::PluginHost;
use streamflow_storage::{Store, StoreHealth, StoreStats};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    check::Check,
    facts::{ChannelFact, Facts, LogFact, Room},
    judge::{Finding, Judge},
    verdicts::{group, verdicts},
};

/// A store or disk that does not answer within this time is not asked further in this look.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who knows the facts.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Agents and certificates.
    pub ingest: IngestHandle,
    /// Plugins.
    pub plugins: Arc<PluginHost>,
    /// Channels, and alerts that are open.
    pub alerting: AlertingHandle,
    /// How far the engine is.
    pub analytics: AnalyticsHandle,
    /// The log and its size.
    pub store: Arc<dyn Store>,
    /// Folder whose disk is watched.
    pub data_dir: PathBuf,
    /// The store grows to so many bytes at most; 0 = as far as the disk goes.
    pub max_bytes: u64,
    /// How long an agent's certificate is valid.
    pub certificate_ttl: Span,
}

/// What the last look has found.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// When.
    pub at: Option<Instant>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// The stage, ready to run.
#[derive(Debug)]
pub struct SelfWatch {
    options: Options,
    sources: Sources,
    signals: SignalSender,
    found: IntGaugeVec,
    looked: Arc<Mutex<Looked>>,
}

impl SelfWatch {
    /// # Errors
    /// When a metric's name is taken.
    pub fn build(
        options: &Options,
        sources: Sources,
        signals: SignalSender,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let help = "Things that the hub finds wrong with itself, its agents, plugins and channels";
        let found = IntGaugeVec::new(Opts::new("streamflow_self_findings", help), &["check"])?;
        registry.register(Box::new(found.clone()))?;
        for check in Check::ALL {
            found.with_label_values(&[check.key()]).set(0);
        }
        Ok(Self {
            options: options.clone(),
            sources,
            signals,
            found,
            looked: Arc::default(),
        })
    }

    /// What the last look has found, now and later.
    pub fn looked(&self) -> Arc<Mutex<Looked>> {
        Arc::clone(&self.looked)
    }

    /// Looks again and again until it is cancelled. While it is switched off, it still ends alerts of an earlier start.
    ///
    /// # Errors
    /// None; the shape is that of every stage.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let mut judge = Judge::new(self.options.clone(), self.sources.open());
        let (wall, steady) = (Instant::now().0, tokio::time::Instant::now());
        let mut ticks = tokio::time::interval(self.options.interval.std());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while token.run_until_cancelled(ticks.tick()).await.is_some() {
            let passed = i64::try_from(steady.elapsed().as_millis()).unwrap_or(i64::MAX);
            let look = self.look(&mut judge, wall.saturating_add(passed));
            match token.run_until_cancelled(look).await {
                Some(true) => {}
                // Alerting has stopped, or the hub stops: there is nobody to tell.
                Some(false) | None => break,
            }
        }
        token.cancelled().await;
        Ok(())
    }

    /// One look; false when nobody listens any more.
    async fn look(&self, judge: &mut Judge, now: i64) -> bool {
        let facts = self.sources.gather(now).await;
        let findings = judge.judge(&facts);
        for check in Check::ALL {
            let count = findings.iter().filter(|finding| finding.check == check).count();
            let gauge = self.found.with_label_values(&[check.key()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let open = self.sources.alerting.own_alerts();
        let signals = verdicts(&findings, &open, now);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Looked {
            at: Some(facts.wall),
            findings,
        };
        signals.is_empty() || self.signals.send(signals).await.is_ok()
    }
}

impl Sources {
    /// Alerts that go on from before the start: the check, and the agent or channel that each is about.
    fn open(&self) -> BTreeSet<(Check, String)> {
        let open = self.alerting.own_alerts();
        let about = open.iter().filter_map(|alert| {
            let check = Check::of_rule(&alert.rule_id)?;
            let labels = group(check, alert);
            let name = labels.get("agent").or_else(|| labels.get("channel"));
            Some((check, name.cloned().unwrap_or_default()))
        });
        about.collect()
    }

    async fn gather(&self, now: i64) -> Facts {
        let quarantined = self.plugins.quarantined().into_iter();
        let channels = self.alerting.channels();
        let stats = tokio::time::timeout(PATIENCE, self.store.stats()).await;
        let stats: Option<StoreStats> = stats.ok().and_then(Result::ok);
        let folder = self.data_dir.clone();
        // A disk that hangs keeps its thread, not the hub.
        let disk = tokio::task::spawn_blocking(move || room_of(&folder));
        let disk = tokio::time::timeout(PATIENCE, disk).await;
        Facts {
            now,
            wall: Instant::now(),
            agents: self.ingest.agents(),
            quarantined: quarantined
                .map(|one| {
                    let reason = format!("{} (version {}, since {})", one.reason, one.version, one.since);
                    (one.plugin, reason)
                })
                .collect(),
            channels: channels
                .iter()
                .map(|(name, health)| ChannelFact {
                    name: name.clone(),
                    works: health.breaker == BreakerState::Closed,
                    failures: health.failures,
                    waiting: health.waiting,
                    given_up: health.given_up,
                    failing: health.failing,
                })
                .collect(),
            disk: disk.ok().and_then(Result::ok).flatten(),
            store: stats.as_ref().filter(|_| self.max_bytes > 0).map(|stats| Room {
                used: stats.bytes,
                free: self.max_bytes.saturating_sub(stats.bytes),
            }),
            full: self.store.health() == StoreHealth::Full,
            log: stats.map(|stats| LogFact {
                written: stats.position,
                evaluated: self.analytics.position(),
            }),
            certificates: self
                .ingest
                .certificates()
                .into_iter()
                .map(|(name, end)| (name.to_owned(), end))
                .collect(),
            agent_certificate_before: Some(Span::from_ms(self.certificate_ttl.ms() / 4)),
        }
    }
}

/// What the hub may still write to the disk of a folder. Blocks.
fn room_of(folder: &Path) -> Option<Room> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(Room {
        used: disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize),
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}
