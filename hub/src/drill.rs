//! Fire drills: does an event from a real agent reach a person, and how long does every hop take? Where the rooms meet: a door asks an agent, a copy of the live engine judges
//! the event, alerting tells the channels.
//!
//! A drill disturbs nothing: its event is marked, and rules, windows and metrics pass over it; a private copy of the rule, which lives for the drill alone, sees nothing else;
//! its alert tells nobody but the channels of drills unless it is asked to page, inhibits no other and shares no message with one.

mod copy;
mod course;
mod log;
mod matcher;
mod meters;
mod options;
mod plan;
mod routes;
mod run;
mod schedule;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::Registry;
use streamflow_alerting::AlertingHandle;
use streamflow_analytics::AnalyticsHandle;
use streamflow_bus::signals::SignalSender;
use streamflow_ingest::IngestHandle;
use streamflow_model::{Drill, DrillRequest, HopName, Instant};
use streamflow_storage::{Origin, Receipt, Store, StoreError};
use streamflow_web::{ApiError, ApiResult};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::meters::Meters;
pub use self::{options::Options, routes::routes};

/// Drills at a time; more are refused.
const AT_ONCE: usize = 4;
/// Who sends the events of drills without an agent. Names of the hub's own doors begin with `@`.
pub const HUB: &str = "@drill";

/// Why drills cannot be.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A metric's name is taken.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The rooms that a drill goes through.
#[derive(Clone)]
pub struct Rooms {
    /// The log.
    pub store: Arc<dyn Store>,
    /// The door of agents.
    pub ingest: IngestHandle,
    /// How far windows are judged.
    pub analytics: AnalyticsHandle,
    /// Alerts and deliveries.
    pub alerting: AlertingHandle,
    /// The way from verdicts to alerting.
    pub signals: SignalSender,
    /// How the live engine is set.
    pub engine: streamflow_analytics::Options,
}

/// Everything that drills need. Cheap to clone.
#[derive(Clone)]
pub struct Drills(Arc<Inner>);

struct Inner {
    options: Options,
    rooms: Rooms,
    meters: Meters,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Of events that begin here: a random epoch for every start, so that sequences need not be remembered.
    epoch: u64,
    last_seq: AtomicU64,
    /// Whose turn it is to hand an event to the store.
    turn: Semaphore,
    schedules: schedule::Schedules,
}

impl Drills {
    /// Reads the drills of before.
    ///
    /// # Errors
    /// When the store fails or a metric's name is taken.
    pub async fn build(options: Options, rooms: Rooms, registry: &Registry) -> Result<Self, DrillError> {
        let meters = Meters::new(registry)?;
        let before = log::recall(&rooms.store).await?;
        let schedules = schedule::Schedules::new(&options, &before, Instant::now());
        Ok(Self(Arc::new(Inner {
            options,
            rooms,
            meters,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            epoch: uuid::Uuid::new_v4().as_u64_pair().0 >> 1,
            last_seq: AtomicU64::new(0),
            turn: Semaphore::new(1),
            schedules,
        })))
    }

    /// Starts the drills of schedules, until the token is cancelled and all drills have ended.
    pub async fn run(self, token: CancellationToken) {
        self.keep_schedules(&token).await;
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Begins a drill, and answers it as it then is.
    ///
    /// # Errors
    /// When it cannot be as it is asked for: 400 with the field, 404 for a rule or agent that is not there, 409 when no agent is connected, 429 when as many run as may.
    pub async fn start(&self, request: DrillRequest, by: &str, schedule: Option<&str>) -> ApiResult<Drill> {
        let Ok(permit) = self.0.slots.clone().try_acquire_owned() else {
            let message =
                format!("{AT_ONCE} drills are under way, which is as many as may; try again when one has ended");
            return Err(ApiError::too_many(5).with_message(message));
        };
        let mut planned = self.plan(request, by, schedule).await?;
        let store = &self.0.rooms.store;
        // From here on its event is one of a drill, also for a hub that starts after a crash.
        log::save(store.as_ref(), &planned.drill)
            .await
            .map_err(ApiError::internal)?;
        store.tail().drills().add(&planned.drill.id);
        let drill = planned.drill.clone();
        tracing::info!(
            drill = drill.id,
            target = drill.target,
            agent = drill.agent,
            by,
            "a fire drill begins"
        );
        let drills = self.clone();
        self.0.tasks.spawn(async move {
            let _permit = permit;
            drills.0.meters.running.inc();
            drills.carry_out(&mut planned).await;
            drills.0.meters.running.dec();
            drills.finish(&planned.drill).await;
        });
        Ok(drill)
    }

    async fn finish(&self, drill: &Drill) {
        self.0.meters.ended(drill);
        let (lost_at, reason) = (drill.lost_at.map(HopName::name), drill.reason.as_deref());
        tracing::info!(
            drill = drill.id,
            outcome = drill.state.name(),
            lost_at,
            reason,
            took_ms = drill.took_ms(),
            "a fire drill is over"
        );
        let store = self.0.rooms.store.as_ref();
        let kept = async {
            log::save(store, drill).await?;
            log::trim(store, self.0.options.keep, Instant::now()).await
        };
        if let Err(error) = kept.await {
            tracing::error!(drill = drill.id, %error, "the outcome of a fire drill cannot be written");
        }
    }

    /// Hands the store an event that begins here. One after the other: a number that is overtaken by a later one is taken for known.
    async fn append(&self, event: &str, now: Instant) -> Result<Receipt, String> {
        let origin = Origin {
            agent: HUB.into(),
            epoch: self.0.epoch,
        };
        let _turn = self.0.turn.acquire().await.map_err(|error| error.to_string())?;
        let seq = self.0.last_seq.load(Ordering::Relaxed) + 1;
        let frame = copy::frame(event, now.0, seq)?;
        self.0.last_seq.store(seq, Ordering::Relaxed);
        let receipt = self.0.rooms.store.append(origin, frame).await;
        receipt.map_err(|error| error.to_string())
    }
}
