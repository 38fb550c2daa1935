//! What all live instances have in common: limits of their calls, and what a call cost.

use std::time::{Duration, Instant};

use tokio::time::error::Elapsed;
use wasmtime::{Store, UpdateDeadline};

use super::{Cause, Fault, code::Code, engine::TICK, guest::Guest};

/// What one call may make the host copy out of guest memory.
const MAX_COPY: usize = 8 << 20;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// Computing time.
    pub(crate) deadline: Duration,
    /// With waiting.
    pub(crate) wall: Duration,
}

/// Why there is no instance.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The plugin does not take the configuration, or the state.
    Refused(String),
    /// It could not even say so.
    Fault(Fault),
}

/// What a call cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// With waiting.
    pub(crate) total: Duration,
    /// Without.
    pub(crate) computed: Duration,
    /// Memory of the instance after it.
    pub(crate) memory: usize,
}

/// A store for one instance, under limits.
fn store(code: &Code, guest: Guest) -> Store<Guest> {
    let mut store = Store::new(code.engine(), guest);
    store.limiter(|guest| &mut guest.budget);
    store.set_hostcall_fuel(MAX_COPY);
    // Every tick the guest gives way to other tasks; when its computing time is used up, it ends.
    store.epoch_deadline_callback(|mut store| {
        let left = store.data_mut().budget.spend_tick();
        Ok(if left {
            UpdateDeadline::Yield(1)
        } else {
            UpdateDeadline::Interrupt
        })
    });
    store
}

/// A call begins.
pub(super) fn begin(store: &mut Store<Guest>, deadline: Duration) -> Instant {
    // One more: the tick that is under way when the call begins is not whole.
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis()).saturating_add(1);
    store.data_mut().begin(u32::try_from(ticks).unwrap_or(u32::MAX));
    store.set_epoch_deadline(1);
    Instant::now()
}

/// The first call of an instance begins, which makes it and hands it its configuration: its store, and the configuration as JSON.
pub(super) fn open(code: &Code, guest: Guest, limits: CallLimits) -> (Store<Guest>, String, Instant) {
    let config = serde_json::Value::Object(guest.config.as_ref().clone()).to_string();
    let mut store = store(code, guest);
    let began = begin(&mut store, limits.deadline);
    (store, config, began)
}

/// What the first call of a plugin answers: the plugin, and whether it takes its configuration.
pub(super) type Opened<P> = (P, Result<(), String>);

/// The first call is over: what it made, if the plugin takes its configuration.
pub(super) fn opened<P>(
    store: &Store<Guest>,
    limits: CallLimits,
    began: Instant,
    outcome: Result<wasmtime::Result<Opened<P>>, Elapsed>,
) -> Result<P, StartError> {
    let (outcome, _) = settle(store, limits, began, outcome);
    let (plugin, answer) = outcome.map_err(StartError::Fault)?;
    answer.map_err(|reason| StartError::Refused(store.data().shown(&reason)))?;
    Ok(plugin)
}

/// A call is over.
pub(super) fn settle<T>(
    store: &Store<Guest>,
    limits: CallLimits,
    began: Instant,
    outcome: Result<wasmtime::Result<T>, Elapsed>,
) -> (Result<T, Fault>, Spent) {
    let total = began.elapsed();
    let guest = store.data();
    let spent = Spent {
        total,
        computed: total.saturating_sub(guest.waited),
        memory: guest.budget.memory(),
    };
    let outcome = match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Fault::of(&error, guest.said())),
        Err(_) => Err(Fault {
            cause: Cause::Deadline,
            reason: format!("no answer in {} s", limits.wall.as_secs_f32()),
        }),
    };
    (outcome, spent)
}
