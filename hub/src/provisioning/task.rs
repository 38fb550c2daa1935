//! Takes the files in when they change.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use serde::Serialize;
use streamflow_alerting::{Provisioned, Provisioner};
use streamflow_model::Instant;
use streamflow_storage::Store;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant as Clock,
};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    folder::{self, Look, Read},
    kept,
    pace::{Pace, Turn},
};
use crate::{command::rule_file::Mistake, prom_rules::PromSource};

/// A file as it was last taken in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ProvisionedFileView {
    /// Its path.
    pub file: String,
    /// Rules of it that are at work.
    pub rules: usize,
    /// Channels.
    pub channels: usize,
    /// Whether it holds the routing.
    pub routing: bool,
    /// Groups as Prometheus has them.
    pub groups: usize,
    /// What is wrong with it; while there is something, what it held before goes on.
    pub mistakes: Vec<String>,
}

/// What was last taken in.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// When.
    pub at: Option<Instant>,
    /// Why the folder could not be read.
    pub error: Option<String>,
    /// Its files.
    pub files: Vec<ProvisionedFileView>,
}

/// The stage, ready to run.
#[derive(Debug)]
pub struct Provisioning {
    options: Options,
    provisioner: Provisioner,
    store: Arc<dyn Store>,
    groups: watch::Sender<PromSource>,
    taken: Arc<Mutex<Taken>>,
    meters: Meters,
}

#[derive(Debug)]
struct Meters {
    files: IntGaugeVec,
    rules: IntGauge,
    reloads: IntCounterVec,
    last_success: Gauge,
}

/// What is remembered of the last time that they were taken in.
#[derive(Debug, Default)]
struct Memory {
    /// Good groups for Prometheus, also of an earlier start.
    groups: PromSource,
    /// Mistakes that were told.
    told: Vec<String>,
}

/// Why the files are looked at.
enum Wake {
    Tick,
    Asked,
    Stop,
}

impl Provisioning {
    /// # Errors
    /// When a metric's name is taken.
    pub fn build(
        options: &Options,
        provisioner: Provisioner,
        store: &Arc<dyn Store>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self {
            options: options.clone(),
            provisioner,
            store: Arc::clone(store),
            groups: watch::Sender::default(),
            taken: Arc::default(),
            meters: Meters::register(registry)?,
        })
    }

    /// Groups as Prometheus has them, now and whenever they change.
    pub fn groups(&self) -> watch::Receiver<PromSource> {
        self.groups.subscribe()
    }

    /// What was last taken in, now and later.
    pub fn taken(&self) -> Arc<Mutex<Taken>> {
        Arc::clone(&self.taken)
    }

    /// Takes the files in at once, then whenever they change or a SIGHUP asks for it, until it is cancelled.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(self.options.interval.std());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut memory = Memory {
            groups: kept::load(self.store.as_ref()).await,
            told: Vec::new(),
        };
        if self.options.folder().is_none() {
            self.release().await;
            self.keep(&mut memory, PromSource::new()).await;
        }
        let mut pace = Pace::new(self.options.interval);
        loop {
            let wake = tokio::select! {
                biased;
                () = token.cancelled() => Wake::Stop,
                _ = hangup.recv() => Wake::Asked,
                _ = ticks.tick() => Wake::Tick,
            };
            let asked = match wake {
                Wake::Stop => return Ok(()),
                Wake::Asked => {
                    tracing::info!("SIGHUP: the provisioning files are read again");
                    true
                }
                Wake::Tick => false,
            };
            let turn = self.turn(&mut pace, asked, &mut memory);
            if token.run_until_cancelled(turn).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Looks at the folder, and takes its files in when that is due.
    async fn turn(&self, pace: &mut Pace, asked: bool, memory: &mut Memory) {
        let look = match self.look().await {
            None => return,
            Some(Ok(look)) => look,
            Some(Err(error)) => {
                self.show_error(Some(error));
                return self.hand_on(&memory.groups);
            }
        };
        // Who cannot say what is held may hold something.
        let held = look.is_empty() && (!memory.groups.is_empty() || self.provisioner.holds().await.unwrap_or(true));
        let turn = pace.turn(&look, asked, held, Clock::now());
        if turn == Turn::Lost {
            let folder = self.options.rules.display();
            self.show_error(Some(format!(
                "{folder}: no file is left; SIGHUP takes away what files held, if that is meant"
            )));
            return self.hand_on(&memory.groups);
        }
        self.show_error(None);
        if turn == Turn::Wait {
            return;
        }
        if let Some(whole) = self.apply(&look, turn == Turn::Again, memory).await {
            pace.taken(look, whole, Clock::now());
        }
    }

    async fn release(&self) {
        match self.provisioner.release().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(
                count,
                "no folder is provisioned any more: what it held can be edited now"
            ),
            Err(error) => tracing::warn!(%error, "what files held is not let go now"),
        }
    }

    /// Which files are there, or why that cannot be said; none when no folder is configured.
    async fn look(&self) -> Option<Result<Look, String>> {
        let folder = self.options.folder()?.to_owned();
        let shown = folder.display().to_string();
        let look = tokio::task::spawn_blocking(move || folder::look(&folder)).await.ok()?;
        Some(look.map_err(|error| format!("{shown}: {error}")))
    }

    /// Shows why the folder changes nothing now: it may be a disk that is not mounted yet.
    fn show_error(&self, error: Option<String>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if error != taken.error {
            match &error {
                Some(error) => tracing::error!(
                    error,
                    "the folder of provisioning files cannot be read; what it held goes on"
                ),
                None => {
                    tracing::info!(folder = %self.options.rules.display(), "the folder of provisioning files can be read again")
                }
            }
            self.meters
                .files
                .with_label_values(&["unreadable"])
                .set(i64::from(error.is_some()));
            taken.error = error;
        }
    }

    /// Takes the files in; none when that failed, false when a part of it may succeed later. `again`: they are as they were.
    async fn apply(&self, look: &Look, again: bool, memory: &mut Memory) -> Option<bool> {
        let files = look.clone();
        let read = match tokio::task::spawn_blocking(move || folder::read(&files)).await {
            Ok(read) => read,
            Err(error) => {
                self.meters.reloads.with_label_values(&["failed"]).inc();
                tracing::error!(%error, "the provisioning files are not taken in now");
                return None;
            }
        };
        let Read {
            wanted,
            groups,
            mut mistakes,
        } = read;
        let names: Vec<String> = look.keys().map(|path| path.display().to_string()).collect();
        let mut views: Vec<ProvisionedFileView> = names
            .iter()
            .map(|name| {
                let file = wanted.files.iter().find(|file| file.name == *name);
                ProvisionedFileView {
                    file: name.clone(),
                    rules: file.map_or(0, |file| file.rules.len()),
                    channels: file.map_or(0, |file| file.channels.len()),
                    routing: file.is_some_and(|file| file.routing.is_some()),
                    groups: groups.iter().filter(|(own, _)| own == name).count(),
                    mistakes: Vec::new(),
                }
            })
            .collect();
        let done = match self.provisioner.apply(wanted).await {
            Ok(done) => done,
            Err(error) => {
                self.meters.reloads.with_label_values(&["failed"]).inc();
                tracing::warn!(%error, "the provisioning files are not taken in now");
                return None;
            }
        };
        mistakes.extend(done.refused.iter().map(folder::mistake));
        let before = std::mem::take(&mut memory.told);
        for mistake in &mistakes {
            let text = mistake.to_string();
            if !again || !before.contains(&text) {
                tracing::error!(
                    file = mistake.file,
                    line = mistake.at.or(mistake.line),
                    part = mistake.rule,
                    key = mistake.field,
                    reason = mistake.reason,
                    "a provisioning file is wrong; what it held before goes on"
                );
            }
            memory.told.push(text);
            if let Some(view) = views.iter_mut().find(|view| view.file == mistake.file) {
                view.mistakes.push(mistake.to_string());
            }
        }
        self.take_groups(groups, &mistakes, memory).await;
        self.meters.show(&views, &done);
        if !(again && done.added.is_empty() && done.changed.is_empty() && done.removed.is_empty()) {
            tracing::info!(
                files = views.len(),
                added = done.added.join(", "),
                changed = done.changed.join(", "),
                removed = done.removed.join(", "),
                unchanged = done.unchanged,
                "the provisioning files are taken in"
            );
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.at, taken.files) = (Some(Instant::now()), views);
        // What was refused may be right once a plugin, a policy or a schedule is there that was not.
        Some(done.refused.is_empty() && done.leaving == 0)
    }

    /// Hands on the groups of good files; a broken file keeps the ones that it had.
    async fn take_groups(&self, groups: PromSource, mistakes: &[Mistake], memory: &mut Memory) {
        let broken = |file: &str| mistakes.iter().any(|mistake| mistake.file == file);
        let mut next: PromSource = groups.into_iter().filter(|(file, _)| !broken(file)).collect();
        next.extend(memory.groups.iter().filter(|(file, _)| broken(file)).cloned());
        self.keep(memory, next).await;
        self.hand_on(&memory.groups);
    }

    /// Remembers good groups, also for the next start.
    async fn keep(&self, memory: &mut Memory, groups: PromSource) {
        if memory.groups == groups {
            return;
        }
        memory.groups = groups;
        if let Err(error) = kept::save(self.store.as_ref(), &memory.groups).await {
            tracing::warn!(%error, "groups for Prometheus are not kept for the next start");
        }
    }

    fn hand_on(&self, next: &PromSource) {
        self.groups.send_if_modified(|groups| {
            let moved = groups != next;
            if moved {
                groups.clone_from(next);
            }
            moved
        });
    }
}

impl Meters {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let files = Opts::new(
            "streamflow_provisioning_files",
            "Provisioning files: good, broken, and whether their folder is unreadable",
        );
        let reloads = Opts::new(
            "streamflow_provisioning_reloads_total",
            "Times that provisioning files were taken in",
        );
        let meters = Self {
            files: IntGaugeVec::new(files, &["state"])?,
            rules: IntGauge::new("streamflow_provisioning_rules", "Rules that are kept in files")?,
            reloads: IntCounterVec::new(reloads, &["outcome"])?,
            last_success: Gauge::new(
                "streamflow_provisioning_last_success_timestamp_seconds",
                "When the provisioning files were last taken in without a mistake",
            )?,
        };
        registry.register(Box::new(meters.files.clone()))?;
        registry.register(Box::new(meters.rules.clone()))?;
        registry.register(Box::new(meters.reloads.clone()))?;
        registry.register(Box::new(meters.last_success.clone()))?;
        Ok(meters)
    }

    fn show(&self, views: &[ProvisionedFileView], done: &Provisioned) {
        let broken = views.iter().filter(|view| !view.mistakes.is_empty()).count();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.files.with_label_values(&["good"]).set(count(views.len() - broken));
        self.files.with_label_values(&["broken"]).set(count(broken));
        self.rules.set(count(done.rules));
        let outcome = if broken == 0 { "good" } else { "partly" };
        self.reloads.with_label_values(&[outcome]).inc();
        if broken == 0 {
            #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
            self.last_success.set(Instant::now().0 as f64 / 1000.0);
        }
    }
}
