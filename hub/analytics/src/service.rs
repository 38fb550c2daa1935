//! The shell around the engine: follows the log, hands verdicts on, saves checkpoints.

mod handle;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant as Clock},
};

use prometheus::Registry;
use streamflow_bus::signals::{Disconnected, SignalSender};
use streamflow_model::{Instant, OpenGroup, Rule, Signal};
use streamflow_storage::{
    StoreError,
    store::{LogBatch, Store},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    Options,
    checkpoint::{self, CheckpointError},
    engine::{Engine, EngineStatus, Heard, Outcome},
    follow::{self, FollowError, Follower, Part},
    heartbeats::{Heartbeats, Waiting},
    metrics::Metrics,
    realtime::{Realtime, SPAN_MS},
    refill, routes,
    tally::Tallies,
};

pub use handle::AnalyticsHandle;

/// Name of the checkpoint in the store.
const CHECKPOINT: &str = "analytics";
/// Verdicts in one message to alerting.
const SIGNALS_PER_MESSAGE: usize = 1000;
/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Silence is judged this far behind the clock, so that what was stored but not read yet is not taken for silence.
const TICK_MARGIN_MS: i64 = 1000;

/// Why the room stopped.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// A metric's name is taken.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The engine panicked.
    #[error("the engine failed: {0}")]
    Engine(#[from] tokio::task::JoinError),
}

/// What the room shares with its handles.
#[derive(Debug, Default)]
struct Shared {
    /// Locked for a batch or a snapshot at a time, from threads that do not wait for anything else while they hold it.
    realtime: Mutex<Realtime>,
    complete_until: AtomicI64,
    /// Place in the log up to which it is evaluated.
    position: AtomicU64,
    /// When the loop began its last turn.
    turned: Mutex<Option<Clock>>,
    /// As of the last tick, or a second ago.
    status: Mutex<Arc<EngineStatus>>,
    tallies: Mutex<Tallies>,
}

impl Shared {
    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of the loop begins; everything up to this place in the log is evaluated.
    fn turn(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Clock::now());
    }

    fn show(&self, status: EngineStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    fn realtime(&self) -> MutexGuard<'_, Realtime> {
        self.realtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, batch: &LogBatch, now: i64) {
        if let Err(error) = self.realtime().record(batch, now) {
            tracing::warn!(%error, "a batch cannot be read for the live view");
        }
    }
}

/// The room, built and not running yet.
#[derive(Debug)]
pub struct Analytics {
    options: Options,
    store: Arc<dyn Store>,
    rules: watch::Receiver<Arc<Vec<Rule>>>,
    signals: SignalSender,
    metrics: Metrics,
    shared: Arc<Shared>,
    /// `None` while a blocking task has it.
    engine: Option<Engine>,
    follower: Follower,
    heartbeats: Waiting,
    shown: Clock,
    saved: Saved,
}

/// What the last checkpoint covers.
#[derive(Debug)]
struct Saved {
    at: Clock,
    position: u64,
    events: u64,
    /// Nothing was told to alerting since.
    told_nothing: bool,
}

/// What woke the loop.
enum Wake {
    Stop,
    Rules,
    Log(Result<Part, FollowError>),
    Tick,
}

/// What the engine is given.
enum Work {
    Log(Vec<LogBatch>),
    Tick(i64, Vec<Heard>),
}

impl Analytics {
    /// Reads the checkpoint and finds its place in the log.
    ///
    /// # Errors
    /// When the store fails or a metric's name is taken.
    pub async fn build(
        options: &Options,
        store: Arc<dyn Store>,
        mut rules: watch::Receiver<Arc<Vec<Rule>>>,
        signals: SignalSender,
        registry: &Registry,
    ) -> Result<Self, AnalyticsError> {
        let metrics = Metrics::register(registry)?;
        let now_rules = Arc::clone(&rules.borrow_and_update());
        let (mut engine, position) = open(*options, &*store, &now_rules).await?;
        take_rules(&mut engine, &now_rules);
        engine.listen_from(Instant::now().0);
        let shared = Arc::new(Shared {
            realtime: Mutex::default(),
            complete_until: AtomicI64::new(i64::MIN),
            position: AtomicU64::new(position),
            ..Shared::default()
        });
        shared.show(engine.status());
        let follower = Follower::new(Arc::clone(&store), position).with_partials();
        let saved = Saved {
            at: Clock::now(),
            position,
            events: 0,
            told_nothing: true,
        };
        Ok(Self {
            options: *options,
            store,
            rules,
            signals,
            metrics,
            shared,
            engine: Some(engine),
            follower,
            heartbeats: Waiting::default(),
            shown: Clock::now(),
            saved,
        })
    }

    /// Takes over the alerts that alerting holds open, so that each of them ends when its condition does.
    #[must_use]
    pub fn with_open(mut self, open: &[OpenGroup]) -> Self {
        if let Some(engine) = &mut self.engine {
            engine.owe(open);
        }
        self
    }

    /// Listens to agents' heartbeats: who is heard with nothing left to send is complete without sending anything.
    #[must_use]
    pub fn with_heartbeats(mut self, heartbeats: Heartbeats) -> Self {
        self.heartbeats = Waiting::new(heartbeats);
        self
    }

    /// The live view.
    #[must_use]
    pub fn handle(&self) -> AnalyticsHandle {
        AnalyticsHandle(Arc::clone(&self.shared))
    }

    /// The room's routes.
    pub fn routes(&self) -> OpenApiRouter {
        let (store, max_groups) = (Arc::clone(&self.store), self.options.max_groups as usize);
        routes::routes(routes::Context {
            handle: self.handle(),
            store,
            max_groups,
            rules: self.rules.clone(),
        })
    }

    /// Follows the log until told to stop or until storage or alerting has stopped; then saves a checkpoint.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), AnalyticsError> {
        // After an outage of the hub the agents need a moment to come back with their backlog; until then the clock must not close windows in their place.
        let closes_from = tokio::time::Instant::now() + self.options.idle_timeout.std();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut rules_live = true;
        let _filling = self.fill_live_view();
        loop {
            self.shared.turn(self.follower.position());
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                changed = self.rules.changed(), if rules_live => {
                    rules_live = changed.is_ok();
                    Wake::Rules
                }
                // Not while it catches up: a read that takes longer than a tick would begin anew at each of them and never end.
                _ = ticks.tick(), if self.follower.caught_up() => Wake::Tick,
                part = self.follower.next() => Wake::Log(part),
            };
            let told = match wake {
                Wake::Stop | Wake::Log(Err(FollowError::Closed)) => break,
                Wake::Rules => {
                    let rules = Arc::clone(&self.rules.borrow_and_update());
                    if let Some(engine) = &mut self.engine {
                        take_rules(engine, &rules);
                        self.shared.show(engine.status());
                    }
                    Ok(())
                }
                Wake::Tick if tokio::time::Instant::now() < closes_from => {
                    self.show();
                    Ok(())
                }
                Wake::Tick => self.tick().await?,
                Wake::Log(Ok(part)) => {
                    (0..part.unreadable).for_each(|_| self.metrics.unreadable());
                    self.show_lag().await;
                    self.work(Work::Log(part.batches)).await?
                }
            };
            if told.is_err() || self.checkpoint(false).await?.is_err() {
                tracing::info!("alerting has stopped, so analytics stops");
                return Ok(());
            }
        }
        if self.checkpoint(true).await?.is_err() {
            tracing::debug!("alerting stopped first, so the last checkpoint stands");
        }
        Ok(())
    }

    /// Fills the live view in the background with what came before the checkpoint; ends when it is dropped.
    fn fill_live_view(&self) -> JoinSet<()> {
        let (store, shared, end) = (
            Arc::clone(&self.store),
            Arc::clone(&self.shared),
            self.follower.position(),
        );
        let mut filling = JoinSet::new();
        filling.spawn(async move {
            let show = move |batch: &LogBatch| shared.see(batch, Instant::now().0);
            if let Err(error) = refill::refill(&*store, end, Instant::now().0, show).await {
                tracing::warn!(%error, "the live view begins empty");
            }
        });
        filling
    }

    /// Shows what the batches since have changed, while the clock closes no windows yet.
    fn show(&mut self) {
        if let Some(engine) = &self.engine {
            self.shared.show(engine.status());
            self.shown = Clock::now();
        }
    }

    async fn tick(&mut self) -> Result<Result<(), Disconnected>, AnalyticsError> {
        if self.heartbeats.collect() {
            match self.store.stats().await {
                Ok(stats) => self.heartbeats.wait_for(stats.position),
                Err(error) => tracing::debug!(%error, "heartbeats wait until the store answers"),
            }
        }
        let heard = self.heartbeats.ready(self.follower.position());
        self.work(Work::Tick(Instant::now().0 - TICK_MARGIN_MS, heard)).await
    }

    async fn show_lag(&self) {
        let behind = if self.follower.caught_up() {
            0
        } else {
            let position = self.store.stats().await.map_or(0, |stats| stats.position);
            position.saturating_sub(self.follower.position()).cast_signed()
        };
        self.metrics.lag.set(behind);
    }

    /// Lets the engine work on a thread where it may take its time, and hands its verdicts on.
    async fn work(&mut self, work: Work) -> Result<Result<(), Disconnected>, AnalyticsError> {
        let Some(mut engine) = self.engine.take() else {
            return Ok(Ok(()));
        };
        let (shared, metrics) = (Arc::clone(&self.shared), self.metrics.clone());
        let show = self.shown.elapsed() >= TICK;
        if show {
            self.shown = Clock::now();
        }
        let task = tokio::task::spawn_blocking(move || {
            let outcomes = match work {
                Work::Tick(now, heard) => {
                    engine.hear(&heard);
                    vec![engine.tick(now)]
                }
                Work::Log(batches) => batches
                    .iter()
                    .map(|batch| evaluate(&mut engine, batch, &shared, &metrics))
                    .collect(),
            };
            shared.complete_until.store(engine.complete_until(), Ordering::Relaxed);
            if show {
                shared.show(engine.status());
            }
            (engine, outcomes)
        });
        let (engine, outcomes) = task.await?;
        self.engine = Some(engine);
        let mut signals: Vec<Signal> = Vec::new();
        for mut outcome in outcomes {
            self.saved.events += outcome.events;
            self.metrics.add(&outcome, &mut self.shared.tallies());
            signals.append(&mut outcome.signals);
        }
        self.saved.told_nothing &= signals.is_empty();
        // A list of its own for each message: to split one again and again would copy all that is left of it each time.
        let mut signals = signals.into_iter();
        loop {
            let message: Vec<Signal> = signals.by_ref().take(SIGNALS_PER_MESSAGE).collect();
            if message.is_empty() {
                return Ok(Ok(()));
            }
            if self.signals.send(message).await.is_err() {
                return Ok(Err(Disconnected));
            }
        }
    }

    /// Saves the state when it is time to, after alerting has made durable all verdicts that led to it.
    async fn checkpoint(&mut self, now: bool) -> Result<Result<(), Disconnected>, AnalyticsError> {
        let position = self.follower.position();
        let due = self.saved.at.elapsed() >= self.options.checkpoint_interval.std()
            || self.saved.events >= self.options.checkpoint_events;
        let unchanged = position == self.saved.position && self.saved.told_nothing;
        if unchanged || !(due || now) {
            return Ok(Ok(()));
        }
        if self.signals.flush().await.is_err() {
            return Ok(Err(Disconnected));
        }
        let Some(engine) = self.engine.take() else {
            return Ok(Ok(()));
        };
        let (engine, bytes) = tokio::task::spawn_blocking(move || {
            let bytes = checkpoint::encode(&engine.state());
            (engine, bytes)
        })
        .await?;
        self.engine = Some(engine);
        self.saved = Saved {
            at: Clock::now(),
            position,
            events: 0,
            told_nothing: true,
        };
        if let Err(reason) = self.save(position, bytes).await {
            // The log holds everything: an older checkpoint only means a longer replay.
            tracing::warn!(%reason, "the checkpoint was not saved");
        }
        Ok(Ok(()))
    }

    async fn save(&self, position: u64, bytes: Result<Vec<u8>, CheckpointError>) -> Result<(), String> {
        let bytes = bytes.map_err(|e| e.to_string())?;
        let size = bytes.len();
        self.store
            .put_checkpoint(CHECKPOINT, position, bytes)
            .await
            .map_err(|e| e.to_string())?;
        self.metrics.checkpoints.inc();
        self.metrics
            .checkpoint_bytes
            .set(i64::try_from(size).unwrap_or(i64::MAX));
        Ok(())
    }
}

fn evaluate(engine: &mut Engine, batch: &LogBatch, shared: &Shared, metrics: &Metrics) -> Outcome {
    let outcome = engine.ingest(batch);
    let now = Instant::now().0;
    let mut events = batch.clone();
    follow::hide_partials(&mut events);
    shared.see(&events, now);
    for span in &batch.spans {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a delay")]
        metrics.duration.observe((now - span.stored_at).max(0) as f64 / 1000.0);
    }
    outcome
}

fn take_rules(engine: &mut Engine, rules: &[Rule]) {
    for (rule, errors) in engine.set_rules(rules) {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        tracing::warn!(
            rule,
            reasons = reasons.join("; "),
            "a rule does not compile and is not evaluated"
        );
    }
}

/// The engine of the last checkpoint, or a new one that reads as much of the log as the longest window needs.
async fn open(options: Options, store: &dyn Store, rules: &[Rule]) -> Result<(Engine, u64), AnalyticsError> {
    if let Some((position, bytes)) = store.checkpoint(CHECKPOINT).await? {
        match checkpoint::decode(&bytes) {
            Ok(state) => return Ok((Engine::restore(options, state), position)),
            Err(reason) => tracing::warn!(%reason, "the checkpoint is not used; windows are rebuilt from the log"),
        }
    }
    let longest = rules
        .iter()
        .map(|rule| rule.draft.reach().ms())
        .max()
        .unwrap_or(0)
        .max(SPAN_MS);
    let since = Instant::now().0.saturating_sub(longest);
    let position = follow::position_before(store, since).await?;
    let origin = if position == 0 { i64::MIN } else { since };
    Ok((Engine::new(options, origin), position))
}

#[cfg(test)]
mod tests;
