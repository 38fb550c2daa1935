//! The shell around recorder and ledger: follows the log, writes windows with the place that they reach, removes old ones.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus::Registry;
use streamflow_model::{
    Instant, Metric,
    metric::{DAY, HOUR, MINUTE},
};
use streamflow_storage::{
    StoreError,
    store::{LogBatch, RollupQuery, RollupWrite, Store},
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::{
    catalog::Catalog,
    history::History,
    ledger::{Keep, Ledger, WindowKey},
    meters::Meters,
    placement::{EdgeLink, Placer},
    recorder::{Bounds, Delta, Recorder},
    routes,
};
use crate::{
    AnalyticsHandle, Options,
    follow::{FollowError, Follower},
};

/// Name of the place in the log.
const CHECKPOINT: &str = "rollups";
/// Windows and series that wait at most before they are written.
const MAX_PENDING: usize = 50_000;
/// Most rows of a stored window.
const MAX_ROWS: usize = 1_000_000;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_secs(1);
/// Old windows are looked for this often.
const UPKEEP: Duration = Duration::from_secs(3600);
/// Windows below a minute are kept at most this long, ms.
const FINE_KEEP: i64 = DAY;

/// Why the metrics stopped.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// A figure's name is taken.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The recorder panicked.
    #[error("the recorder failed: {0}")]
    Recorder(#[from] tokio::task::JoinError),
}

/// The stage, built and not running yet.
#[derive(Debug)]
pub struct Rollups {
    store: Arc<dyn Store>,
    catalog: Catalog,
    changes: watch::Receiver<Arc<Vec<Arc<Metric>>>>,
    live: AnalyticsHandle,
    meters: Meters,
    keep: Keep,
    interval: Duration,
    /// `None` while a blocking task has it.
    core: Option<Core>,
    follower: Follower,
    /// The place in the log that is saved.
    saved: Option<u64>,
    metrics: Arc<Vec<Arc<Metric>>>,
    complete: Complete,
    edge: EdgeLink,
}

#[derive(Debug)]
struct Core {
    recorder: Recorder,
    ledger: Ledger,
}

/// Up to when windows are complete, once what is behind it is written.
#[derive(Debug)]
struct Complete {
    shown: Arc<AtomicI64>,
    /// A place in the log and what was complete when the log ended there.
    next: Option<(u64, i64)>,
}

/// What woke the loop.
enum Wake {
    Stop,
    Changed,
    Flush,
    Upkeep,
    Log(Result<crate::follow::Part, FollowError>),
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

impl Rollups {
    /// Reads the metrics and finds the place in the log.
    ///
    /// # Errors
    /// When the store fails or a figure's name is taken.
    pub async fn build(
        options: &Options,
        store: Arc<dyn Store>,
        live: AnalyticsHandle,
        registry: &Registry,
    ) -> Result<Self, RollupError> {
        let meters = Meters::register(registry)?;
        let catalog = Catalog::open(Arc::clone(&store), options.max_metrics as usize).await?;
        let saved = store.checkpoint(CHECKPOINT).await?.map(|(position, _)| position);
        let follower = Follower::new(Arc::clone(&store), saved.unwrap_or(0)).with_partials();
        let keep = Keep {
            fine: FINE_KEEP.min(options.keep_minutes.ms()),
            minutes: options.keep_minutes.ms(),
            hours: options.keep_hours.ms(),
            days: options.keep_days.ms(),
        };
        let series = options.metric_series as usize;
        let mut recorder = Recorder::new(Bounds {
            series,
            future: options.max_future.ms(),
            age: keep.days,
        });
        let changes = catalog.subscribe();
        let metrics = catalog.all();
        take_metrics(&mut recorder, &metrics);
        let core = Some(Core {
            recorder,
            ledger: Ledger::new(series),
        });
        let complete = Complete {
            shown: Arc::new(AtomicI64::new(i64::MIN)),
            next: None,
        };
        Ok(Self {
            store,
            catalog,
            changes,
            live,
            meters,
            keep,
            interval: options.rollup_interval.std().max(Duration::from_millis(10)),
            core,
            follower,
            saved,
            metrics,
            complete,
            edge: EdgeLink::default(),
        })
    }

    /// Has metrics computed by agents, too, once the [`Placer`] runs.
    #[must_use]
    pub fn with_edge(mut self, link: EdgeLink) -> Self {
        self.edge = link;
        self
    }

    /// What keeps agents told of the metrics that they are to compute.
    #[must_use]
    pub fn placer(&self) -> Placer {
        Placer {
            metrics: self.catalog.subscribe(),
            link: self.edge.clone(),
        }
    }

    /// What has been kept, for whoever shows it.
    #[must_use]
    pub fn history(&self) -> History {
        History::new(
            Arc::clone(&self.store),
            self.catalog.clone(),
            Arc::clone(&self.complete.shown),
        )
    }

    /// The routes about metrics and the ready-made views.
    pub fn routes(&self) -> OpenApiRouter {
        routes::routes(self.catalog.clone(), self.history(), self.edge.clone())
            .merge(crate::views::routes(self.history()))
    }

    /// Follows the log until told to stop or until storage has stopped; then writes what waits.
    ///
    /// # Errors
    /// When the store refuses for good, or the recorder fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RollupError> {
        let mut flushes = tokio::time::interval(self.interval);
        flushes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                Ok(()) = self.changes.changed() => Wake::Changed,
                _ = flushes.tick() => Wake::Flush,
                _ = upkeep.tick() => Wake::Upkeep,
                part = self.follower.next() => Wake::Log(part),
            };
            let flow = match wake {
                Wake::Stop | Wake::Log(Err(FollowError::Closed)) => Flow::Stop,
                Wake::Changed => self.take_changes(&stop).await?,
                Wake::Flush => self.flush(&stop).await?,
                Wake::Upkeep => {
                    self.expire().await;
                    Flow::On
                }
                Wake::Log(Ok(part)) => {
                    self.meters.unreadable.inc_by(part.unreadable);
                    // What was stored after a metric had been declared finds it here.
                    if self.changes.has_changed().unwrap_or(false) && self.take_changes(&stop).await? == Flow::Stop {
                        break;
                    }
                    self.record(part.batches, &stop).await?
                }
            };
            if flow == Flow::Stop {
                break;
            }
        }
        // Told to stop or not, what waits is written when the store takes it at once; else it is read from the log again.
        let at_once = CancellationToken::new();
        at_once.cancel();
        self.flush(&at_once).await?;
        Ok(())
    }

    async fn record(&mut self, batches: Vec<LogBatch>, stop: &CancellationToken) -> Result<Flow, RollupError> {
        let mut rest = VecDeque::from(batches);
        while !rest.is_empty() {
            let Some(mut core) = self.core.take() else {
                return Ok(Flow::Stop);
            };
            let meters = self.meters.clone();
            let task = tokio::task::spawn_blocking(move || {
                let mut reached = None;
                while let Some(batch) = rest.pop_front() {
                    meters.add(&core.recorder.record(&batch));
                    reached = batch.spans.iter().map(|span| span.position).max().or(reached);
                    if core.recorder.pending() >= MAX_PENDING {
                        break;
                    }
                }
                (core, rest, reached)
            });
            let (core, left, reached) = task.await?;
            rest = left;
            let full = core.recorder.pending() >= MAX_PENDING;
            self.core = Some(core);
            // What was read behind it is not counted yet.
            let position = if rest.is_empty() {
                Some(self.follower.position())
            } else {
                reached
            };
            if let Some(position) = position.filter(|_| full)
                && self.flush_to(position, stop).await? == Flow::Stop
            {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    async fn take_changes(&mut self, stop: &CancellationToken) -> Result<Flow, RollupError> {
        let metrics = Arc::clone(&self.changes.borrow_and_update());
        if self.flush(stop).await? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let stay: BTreeSet<&str> = metrics.iter().map(|metric| metric.series_id.as_str()).collect();
        let gone = self
            .metrics
            .iter()
            .filter(|metric| !stay.contains(metric.series_id.as_str()));
        for metric in gone {
            if let Some(core) = &mut self.core {
                core.ledger.forget(&metric.series_id);
            }
            if let Err(error) = self.store.drop_rollups(&metric.series_id).await {
                tracing::warn!(metric = metric.id, %error, "windows of a metric that is gone stay until they are too old");
            }
        }
        if let Some(core) = &mut self.core {
            take_metrics(&mut core.recorder, &metrics);
        }
        self.metrics = metrics;
        Ok(Flow::On)
    }

    /// Writes what waits, again and again until the store takes it. When it has to stop before, nothing is written later either: what was taken out of the
    /// recorder is read from the log again by the next start.
    async fn flush(&mut self, stop: &CancellationToken) -> Result<Flow, RollupError> {
        self.flush_to(self.follower.position(), stop).await
    }

    /// The same as far as a place in the log up to which everything was recorded.
    async fn flush_to(&mut self, position: u64, stop: &CancellationToken) -> Result<Flow, RollupError> {
        if self.saved.unwrap_or(0) < position {
            let Some(core) = &mut self.core else {
                return Ok(Flow::Stop);
            };
            let deltas = core.recorder.take();
            let flow = self.write(position, deltas, stop).await?;
            if flow == Flow::Stop {
                self.core = None;
                return Ok(flow);
            }
        }
        self.show(position).await;
        Ok(Flow::On)
    }

    async fn write(
        &mut self,
        position: u64,
        deltas: Vec<Delta>,
        stop: &CancellationToken,
    ) -> Result<Flow, RollupError> {
        while let Err(error) = self.load(&deltas).await {
            if self.wait(&error, stop).await == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        let rows = self.apply(deltas).await?;
        let written = rows.len() as u64;
        let write = RollupWrite {
            checkpoint: CHECKPOINT.to_owned(),
            after: self.saved,
            position,
            rows,
        };
        while let Err(error) = self.store.put_rollups(write.clone()).await {
            if matches!(error, StoreError::Conflict { .. }) {
                return Err(error.into());
            }
            if self.wait(&error, stop).await == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        self.saved = Some(position);
        self.meters.rows.inc_by(written);
        Ok(Flow::On)
    }

    async fn wait(&self, error: &StoreError, stop: &CancellationToken) -> Flow {
        if stop.is_cancelled() || matches!(error, StoreError::Closed) {
            return Flow::Stop;
        }
        tracing::warn!(%error, "windows of metrics are not written yet, trying again");
        match stop.run_until_cancelled(tokio::time::sleep(RETRY)).await {
            Some(()) => Flow::On,
            None => Flow::Stop,
        }
    }

    /// Reads the stored windows that deltas go into.
    async fn load(&mut self, deltas: &[Delta]) -> Result<(), StoreError> {
        let Some(core) = &mut self.core else { return Ok(()) };
        for (series_id, resolution) in core.ledger.unknown(deltas) {
            let newest = self.store.newest_rollup(&series_id, resolution).await?;
            core.ledger.know(series_id, resolution, newest);
        }
        for key in core.ledger.missing(deltas) {
            let WindowKey {
                series_id,
                resolution,
                start,
            } = key.clone();
            let query = RollupQuery {
                metric: series_id,
                resolution,
                from: start,
                to: start.saturating_add(1),
                limit: MAX_ROWS,
            };
            let unreadable = core.ledger.load(key, self.store.rollups(query).await?);
            self.meters.unreadable.inc_by(unreadable);
        }
        Ok(())
    }

    async fn apply(&mut self, deltas: Vec<Delta>) -> Result<Vec<streamflow_storage::store::RollupRow>, RollupError> {
        let Some(mut core) = self.core.take() else {
            return Ok(Vec::new());
        };
        let (keep, now) = (self.keep, Instant::now().0);
        let task = tokio::task::spawn_blocking(move || {
            let applied = core.ledger.apply(deltas, keep, now);
            core.ledger.trim();
            (core, applied)
        });
        let (core, applied) = task.await?;
        self.core = Some(core);
        self.meters.surplus.inc_by(applied.surplus);
        self.meters.unreadable.inc_by(applied.failed);
        Ok(applied.rows)
    }

    /// Shows up to when windows are complete: what was judged complete while the log ended at a place holds once that place is written.
    async fn show(&mut self, position: u64) {
        if let Some((_, until)) = self.complete.next.take_if(|(place, _)| *place <= position) {
            self.complete.shown.fetch_max(until, Ordering::Relaxed);
        }
        let until = self.live.complete_until();
        let Ok(stats) = self.store.stats().await else { return };
        self.meters
            .lag
            .set(i64::try_from(stats.position.saturating_sub(position)).unwrap_or(i64::MAX));
        if self.complete.next.is_none() {
            self.complete.next = Some((stats.position, until));
        }
    }

    async fn expire(&self) {
        let now = Instant::now().0;
        let fine = self.metrics.iter().map(|metric| metric.draft.base());
        let resolutions: BTreeSet<i64> = fine.chain([MINUTE, HOUR, DAY]).collect();
        for resolution in resolutions {
            let before = now.saturating_sub(self.keep.of(resolution));
            match self.store.expire_rollups(resolution, before).await {
                Ok(0) => {}
                Ok(windows) => {
                    self.meters.removed.inc_by(windows);
                    tracing::info!(windows, resolution, "old windows of metrics were removed");
                }
                Err(error) => tracing::warn!(%error, "old windows of metrics could not be removed"),
            }
        }
    }
}

fn take_metrics(recorder: &mut Recorder, metrics: &[Arc<Metric>]) {
    for (metric, errors) in recorder.set(metrics) {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        tracing::error!(
            metric,
            reasons = reasons.join("; "),
            "a stored metric does not compile and is not kept"
        );
    }
}
