//! One live instance of a plugin: made for one channel, kept between calls, thrown away after a fault.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{Store, UpdateDeadline};

use super::{
    Cause, Fault,
    bindings::{ChannelPlugin, Failure, wit_notice},
    code::Code,
    engine::TICK,
    guest::Guest,
};
use crate::Notice;

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

/// A live instance.
pub(crate) struct Instance {
    store: Store<Guest>,
    plugin: ChannelPlugin,
    limits: CallLimits,
}

/// Why there is no instance.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The plugin does not take the configuration.
    Refused(String),
    /// It could not even say so.
    Fault(Fault),
}

impl Instance {
    /// Makes an instance and hands it its configuration.
    pub(crate) async fn start(code: &Code, guest: Guest, limits: CallLimits) -> Result<Self, StartError> {
        let config = serde_json::Value::Object(guest.config.as_ref().clone()).to_string();
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
        begin(&mut store, limits.deadline);
        let work = async {
            let plugin = code.instantiate(&mut store).await?;
            let answer = plugin
                .streamflow_plugin_channel()
                .call_init(&mut store, &config)
                .await?;
            wasmtime::Result::Ok((plugin, answer))
        };
        let outcome = tokio::time::timeout(limits.wall, work).await;
        let (plugin, answer) = outcome
            .map_err(|_| overdue(limits))
            .and_then(|done| done.map_err(|error| fault(&store, &error)))
            .map_err(StartError::Fault)?;
        answer.map_err(|reason| StartError::Refused(store.data().shown(&reason)))?;
        Ok(Self { store, plugin, limits })
    }

    /// Delivers one notice. After a fault the instance must not be used again, which taking it by value ensures.
    pub(crate) async fn deliver(
        mut self,
        notice: &Notice,
        attempt: u32,
    ) -> (Result<Result<String, Failure>, Fault>, Spent, Option<Self>) {
        let notice = wit_notice(notice, &self.store.data().channel);
        begin(&mut self.store, self.limits.deadline);
        let started = Instant::now();
        let work = self
            .plugin
            .streamflow_plugin_channel()
            .call_deliver(&mut self.store, &notice, attempt);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        let total = started.elapsed();
        let guest = self.store.data();
        let spent = Spent {
            total,
            computed: total.saturating_sub(guest.waited),
            memory: guest.budget.memory(),
        };
        match outcome {
            Ok(Ok(answer)) => {
                let answer = answer.map(|text| guest.shown(&text)).map_err(|failure| match failure {
                    Failure::Transient((reason, after)) => Failure::Transient((guest.shown(&reason), after)),
                    Failure::Permanent(reason) => Failure::Permanent(guest.shown(&reason)),
                });
                (Ok(answer), spent, Some(self))
            }
            Ok(Err(error)) => (Err(fault(&self.store, &error)), spent, None),
            Err(_) => (Err(overdue(self.limits)), spent, None),
        }
    }

    /// The channel's configuration that it was made with.
    pub(crate) fn config(&self) -> &Arc<serde_json::Map<String, serde_json::Value>> {
        &self.store.data().config
    }
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

fn begin(store: &mut Store<Guest>, deadline: Duration) {
    // One more: the tick that is under way when the call begins is not whole.
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis()).saturating_add(1);
    store.data_mut().begin(u32::try_from(ticks).unwrap_or(u32::MAX));
    store.set_epoch_deadline(1);
}

fn fault(store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
    Fault::of(error, store.data().said())
}

fn overdue(limits: CallLimits) -> Fault {
    Fault {
        cause: Cause::Deadline,
        reason: format!("no answer in {} s", limits.wall.as_secs_f32()),
    }
}
