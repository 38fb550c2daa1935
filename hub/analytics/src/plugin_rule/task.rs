//! One rule's life: reads the log from its mark, shows it to the plugin, hands verdicts on, saves marks, and starts over from one after a fault.

mod figures;
mod shadow;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant as Clock},
};

use streamflow_bus::signals::Disconnected;
use streamflow_model::{Instant, Rule, Signal};
use streamflow_plugin_host::{RuleError, RulePlugin, ShadowRun};
use streamflow_storage::{StoreError, store::LogBatch};
use tokio::{runtime::Handle, sync::watch, task::spawn_blocking, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    Common,
    mark::{Failed, Mark, Saved},
    worker::{Brought, Stop, Worker},
};
use crate::{
    engine::Heard,
    follow::{self, FollowError, Follower, Part},
    heartbeats::Waiting,
};

/// Between two looks at the clock, and between attempts to start.
const TICK: Duration = Duration::from_secs(1);
/// Time is told this far behind the clock, so that what was stored but not read yet is not taken for silence.
const TICK_MARGIN_MS: i64 = 1000;
/// Verdicts in one message to alerting.
const SIGNALS_PER_MESSAGE: usize = 1000;
/// Most batches that are remembered as suspects, and as passed over.
const MAX_REMEMBERED: usize = 10_000;

/// One rule.
pub(super) struct Task {
    common: Common,
    rule: watch::Receiver<Rule>,
    question: String,
    changes: watch::Receiver<u64>,
    /// None while the plugin does not run, and while a blocking task has it.
    worker: Option<Worker>,
    /// Another version that is shown the same.
    shadow: Option<ShadowRun>,
    /// Where to begin after a fault.
    stable: Mark,
    stable_at: Clock,
    /// Where another version of the plugin begins.
    failed: Option<Failed>,
    suspects: BTreeSet<u64>,
    skip: BTreeSet<u64>,
    /// Of those passed over, which are counted: after a fault they are passed again.
    counted: BTreeSet<u64>,
    follower: Follower,
    heartbeats: Waiting,
    saved_at: Clock,
    /// Something has happened since the last save.
    unsaved: bool,
    told: Option<String>,
}

/// Why a rule's task ends before it is told to.
enum End {
    /// Storage or alerting has stopped.
    Stopped,
}

impl From<Disconnected> for End {
    fn from(_: Disconnected) -> Self {
        Self::Stopped
    }
}

enum Wake {
    Stop,
    Plugins,
    Tick,
    Log(Result<Part, FollowError>),
}

/// What the plugin is shown.
enum Work {
    Log(Vec<LogBatch>),
    Time(i64, Vec<Heard>),
    Save,
}

impl Task {
    pub(super) fn new(common: Common, rule: watch::Receiver<Rule>, question: String) -> Self {
        let changes = common.host.changes();
        let follower = Follower::new(common.store.clone(), 0);
        let heartbeats = Waiting::new(common.heartbeats.clone());
        Self {
            common,
            rule,
            question,
            changes,
            worker: None,
            shadow: None,
            stable: Mark::new(0, 0),
            stable_at: Clock::now(),
            failed: None,
            suspects: BTreeSet::new(),
            skip: BTreeSet::new(),
            counted: BTreeSet::new(),
            follower,
            heartbeats,
            saved_at: Clock::now(),
            unsaved: false,
            told: None,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = self.open() => opened,
        };
        if let Err(error) = opened {
            tracing::error!(rule = self.name(), %error, "the rule's place in the log cannot be found; it is not evaluated");
            return;
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.start().await;
        if self.shadow_changed().await.is_err() {
            return;
        }
        loop {
            let live = self.worker.is_some();
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                changed = self.changes.changed() => if changed.is_ok() { Wake::Plugins } else { Wake::Stop },
                _ = ticks.tick(), if !live || self.follower.caught_up() => Wake::Tick,
                part = self.follower.next(), if live => Wake::Log(part),
            };
            let done = match wake {
                Wake::Stop | Wake::Log(Err(FollowError::Closed)) => break,
                Wake::Plugins => match self.plugins_changed().await {
                    Ok(()) => self.shadow_changed().await,
                    end => end,
                },
                Wake::Tick if live => self.time_passes().await,
                Wake::Tick => {
                    self.start().await;
                    Ok(())
                }
                Wake::Log(Ok(part)) => {
                    self.count_unreadable(part.unreadable);
                    self.work(Work::Log(part.batches)).await
                }
            };
            self.show().await;
            if matches!(done, Err(End::Stopped)) || matches!(self.checkpoint(false).await, Err(End::Stopped)) {
                return;
            }
        }
        if self.checkpoint(true).await.is_err() {
            tracing::debug!(
                rule = self.name(),
                "alerting stopped first, so the last saved place stands"
            );
        }
    }

    fn name(&self) -> String {
        self.rule.borrow().draft.name.clone()
    }

    fn document(&self) -> String {
        format!("plugin-rule/{}", self.rule.borrow().id)
    }

    /// Finds the rule's place: where it was, or where the log was when the rule was made.
    async fn open(&mut self) -> Result<(), StoreError> {
        let store = self.common.store.clone();
        let saved = store.checkpoint(&self.document()).await?;
        let saved = saved.and_then(|(_, bytes)| {
            let read = Saved::decode(&bytes);
            read.inspect_err(|error| tracing::warn!(rule = self.name(), %error, "the rule's saved state is not used"))
                .ok()
        });
        match saved.filter(|saved| saved.question == self.question) {
            Some(saved) => {
                self.stable = saved.mark;
                self.failed = saved.failed;
            }
            None => {
                let since = self.rule.borrow().updated_at.0;
                let position = follow::position_before(&*store, since).await?;
                self.stable = Mark::new(position, since);
                self.unsaved = true;
            }
        }
        self.follower = Follower::new(store, self.stable.position);
        Ok(())
    }

    /// Tries to start the plugin from the stable mark.
    async fn start(&mut self) {
        let plugin = match self.plugin() {
            Ok(plugin) => plugin,
            Err(reason) => return self.wait(reason),
        };
        if let Some(failed) = self.failed.take_if(|failed| failed.fingerprint != plugin.fingerprint()) {
            tracing::info!(
                rule = self.name(),
                version = plugin.version(),
                position = failed.mark.position,
                "another version of the plugin begins before the events on which the last one failed"
            );
            self.stable = failed.mark;
            self.unsaved = true;
        }
        let mark = self.stable.clone();
        match self.worker_at(plugin, mark).await {
            Ok(worker) => {
                self.follower = Follower::new(self.common.store.clone(), self.stable.position);
                self.worker = Some(worker);
                if self.told.take().is_some() {
                    tracing::info!(rule = self.name(), "the rule's plugin runs again");
                }
            }
            Err(error) => self.wait(error.to_string()),
        }
    }

    /// The rule waits; says why when it has not said so before.
    fn wait(&mut self, reason: String) {
        self.worker = None;
        if self.told.as_ref() != Some(&reason) {
            tracing::warn!(
                rule = self.name(),
                reason,
                "the rule waits for its plugin; no event is lost meanwhile"
            );
            self.told = Some(reason);
        }
    }

    fn plugin(&self) -> Result<RulePlugin, String> {
        let name = self.rule.borrow().draft.plugin.clone().unwrap_or_default();
        self.common.host.rule(&name).map_err(|error| error.to_string())
    }

    async fn worker_at(&self, plugin: RulePlugin, mark: Mark) -> Result<Worker, RuleError> {
        let rule = self.rule.borrow().clone();
        let compiled = rule.draft.compile().map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            RuleError::Refused(all.join("; "))
        })?;
        let run = plugin
            .start(&rule.draft.name, &rule.draft.config, mark.guest.as_deref())
            .await?;
        Ok(Worker {
            options: self.common.options,
            filter: compiled.filter,
            rule,
            plugin,
            run,
            mark,
            suspects: self.suspects.clone(),
            skip: self.skip.clone(),
            shadow: self.shadow.clone(),
        })
    }

    /// A version may have come or gone, or the plugin was let out of quarantine.
    async fn plugins_changed(&mut self) -> Result<(), End> {
        self.changes.borrow_and_update();
        let plugin = match self.plugin() {
            Ok(plugin) => plugin,
            Err(reason) => {
                let saved = self.work(Work::Save).await;
                self.wait(reason);
                return saved;
            }
        };
        let same = self
            .worker
            .as_ref()
            .map(|worker| worker.plugin.fingerprint() == plugin.fingerprint());
        if same == Some(true) {
            return Ok(());
        }
        // Another chance, on everything.
        self.suspects.clear();
        self.skip.clear();
        if same.is_none() {
            self.start().await;
            return Ok(());
        }
        // Between two batches: the old version saves, the new one takes over, or the old one goes on.
        self.work(Work::Save).await?;
        let failed = self.failed.as_ref().map(|failed| failed.mark.clone());
        let mark = failed.unwrap_or_else(|| self.stable.clone());
        match self.worker_at(plugin, mark.clone()).await {
            Ok(worker) => {
                tracing::info!(
                    rule = self.name(),
                    version = worker.plugin.version(),
                    "a new version of the plugin takes over"
                );
                self.follower = Follower::new(self.common.store.clone(), mark.position);
                self.stable = mark;
                self.failed = None;
                self.unsaved = true;
                self.worker = Some(worker);
            }
            Err(error) => {
                tracing::error!(rule = self.name(), %error, "the new version of the plugin does not take over; the old one goes on");
            }
        }
        Ok(())
    }

    /// Tells of time and of heartbeats, those before which everything that was stored has been read.
    async fn time_passes(&mut self) -> Result<(), End> {
        if self.heartbeats.collect() {
            match self.common.store.stats().await {
                Ok(stats) => self.heartbeats.wait_for(stats.position),
                Err(error) => tracing::debug!(%error, "heartbeats wait until the store answers"),
            }
        }
        let heard = self.heartbeats.ready(self.follower.position());
        self.work(Work::Time(Instant::now().0 - TICK_MARGIN_MS, heard)).await
    }

    /// Lets the plugin work on a thread where it may take its time, and hands its verdicts on.
    async fn work(&mut self, work: Work) -> Result<(), End> {
        let Some(mut worker) = self.worker.take() else {
            return Ok(());
        };
        worker.rule = self.rule.borrow().clone();
        let Ok(turn) = self.common.turns.clone().acquire_owned().await else {
            return Err(End::Stopped);
        };
        let runtime = Handle::current();
        let save = match work {
            Work::Save => true,
            Work::Log(_) => self.stable_at.elapsed() >= TICK,
            Work::Time(..) => false,
        };
        let task = spawn_blocking(move || {
            let _turn = turn;
            let outcome = runtime.block_on(async {
                let brought = match work {
                    Work::Log(batches) => worker.part(&batches).await?,
                    Work::Time(now, heard) => worker.time(now, &heard).await?,
                    Work::Save => Brought::default(),
                };
                let mark = if save { Some(worker.save().await?) } else { None };
                Ok::<_, Stop>((brought, mark))
            });
            (worker, outcome)
        });
        let Ok((worker, outcome)) = task.await else {
            // A bug of ours, which the panic has told of; the rule begins again from its mark.
            self.wait("the rule's evaluation panicked".to_owned());
            return Ok(());
        };
        match outcome {
            Ok((brought, mark)) => {
                self.worker = Some(worker);
                self.count(&brought);
                self.unsaved |= brought.events > 0 || !brought.signals.is_empty();
                self.tell(brought.signals).await?;
                if let Some(mark) = mark {
                    self.stable = mark;
                    self.stable_at = Clock::now();
                    self.lead_shadow();
                }
                Ok(())
            }
            Err(stop) => {
                self.fault(&worker, stop).await;
                Ok(())
            }
        }
    }

    /// The instance is lost: begins again at the stable mark, more carefully.
    async fn fault(&mut self, worker: &Worker, stop: Stop) {
        match stop {
            Stop::Unavailable(reason) => self.wait(reason),
            Stop::Fault { positions, reason } => {
                tracing::warn!(rule = self.name(), reason, "the rule goes back to its last mark");
                if let ([only], true) = (
                    positions.as_slice(),
                    positions.iter().all(|at| self.suspects.contains(at)),
                ) {
                    if self.failed.is_none() {
                        self.failed = Some(Failed {
                            fingerprint: worker.plugin.fingerprint().to_owned(),
                            mark: self.stable.clone(),
                        });
                    }
                    self.unsaved = true;
                    remember(&mut self.skip, [*only]);
                    tracing::error!(
                        rule = self.name(),
                        position = only,
                        "a batch of the log is passed over, because the plugin failed on it twice; another version begins before it"
                    );
                }
                remember(&mut self.suspects, positions);
                self.start().await;
            }
        }
    }

    async fn tell(&self, mut signals: Vec<Signal>) -> Result<(), Disconnected> {
        while !signals.is_empty() {
            let rest = signals.split_off(signals.len().min(SIGNALS_PER_MESSAGE));
            self.common.signals.send(std::mem::replace(&mut signals, rest)).await?;
        }
        Ok(())
    }

    /// Saves the rule's place when it is time to, after alerting has made durable all verdicts that led to it.
    async fn checkpoint(&mut self, now: bool) -> Result<(), End> {
        let due = now || self.saved_at.elapsed() >= self.common.options.checkpoint_interval.std();
        if !due || !self.unsaved {
            return Ok(());
        }
        self.work(Work::Save).await?;
        self.common.signals.flush().await?;
        let saved = Saved {
            question: self.question.clone(),
            mark: self.stable.clone(),
            failed: self.failed.clone(),
        };
        let kept = match saved.encode() {
            Ok(bytes) => {
                let written = self
                    .common
                    .store
                    .put_checkpoint(&self.document(), saved.mark.position, bytes)
                    .await;
                written.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = kept {
            // The log holds everything: an older place only means a longer replay.
            tracing::warn!(rule = self.name(), reason, "the rule's place was not saved");
        }
        self.saved_at = Clock::now();
        self.unsaved = false;
        Ok(())
    }
}

/// Adds to a set of bounded size; the oldest go.
fn remember(set: &mut BTreeSet<u64>, positions: impl IntoIterator<Item = u64>) {
    set.extend(positions);
    while set.len() > MAX_REMEMBERED {
        set.pop_first();
    }
}
