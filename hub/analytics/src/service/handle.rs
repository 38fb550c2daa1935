//! What others may ask of the running room.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Instant as Clock,
};

use streamflow_model::Instant;

use super::Shared;
use crate::{
    engine::{EngineStatus, Late},
    realtime::{Snapshot, Tick},
};

/// The live view, for whoever shows it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AnalyticsHandle(pub(super) Arc<Shared>);

impl AnalyticsHandle {
    /// The last five minutes.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.realtime().snapshot(Instant::now().0)
    }

    /// The last whole second, with the metrics that came after `since` (wall clock ms).
    #[must_use]
    pub fn tick(&self, since: i64) -> Tick {
        self.0.realtime().tick(since, Instant::now().0)
    }

    /// How far the engine is.
    #[must_use]
    pub fn status(&self) -> Arc<EngineStatus> {
        Arc::clone(&self.0.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events that came too late since the hub started, by agent and source.
    #[must_use]
    pub fn late(&self) -> Vec<Late> {
        let tallies = self.0.tallies();
        let late = tallies.late.iter().map(|(agent, source, events)| Late {
            agent: agent.to_owned(),
            source: source.to_owned(),
            events,
        });
        late.collect()
    }

    /// Place in the log up to which it is evaluated.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.position.load(Ordering::Relaxed)
    }

    /// When the engine's loop began its last turn, which it does every second at least; `None` before the first.
    #[must_use]
    pub fn last_turn(&self) -> Option<Clock> {
        *self.0.turned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Event time up to which all hosts have reported.
    #[must_use]
    pub fn complete_until(&self) -> i64 {
        self.0.complete_until.load(Ordering::Relaxed)
    }
}
