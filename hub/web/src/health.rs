//! Named readiness checks of the rooms.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// `Err` says in words why the room cannot do its work now.
pub type CheckResult = Result<(), String>;

type Check = Arc<dyn Fn() -> CheckResult + Send + Sync>;

/// Registry of checks; clones share it. A check answers from memory at once and never waits.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<String, Check>>>,
}

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CheckReport {
    /// Whether the room can do its work.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `/health` and `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HealthReport {
    /// `healthy` from `/health`; `ready` or `not_ready` from `/ready`.
    pub status: String,
    /// Outcome of each room's check.
    pub checks: BTreeMap<String, CheckReport>,
}

impl Health {
    /// Adds a check, or replaces the one of that name.
    pub fn register(&self, name: &str, check: impl Fn() -> CheckResult + Send + Sync + 'static) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.to_owned(), Arc::new(check));
    }

    /// Makes `/ready` red, so that load balancers send nothing more.
    pub fn stopping(&self) {
        self.register("lifecycle", || Err("the hub is stopping".to_owned()));
    }

    /// Runs every check.
    #[must_use]
    pub fn report(&self) -> BTreeMap<String, CheckReport> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let run = |check: Check| {
            let reason = check().err();
            CheckReport {
                ready: reason.is_none(),
                reason,
            }
        };
        checks.into_iter().map(|(name, check)| (name, run(check))).collect()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
