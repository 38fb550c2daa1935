//! Shadow runs: a new version of a rule plugin beside the one that runs, on the same events, with nothing but a comparison coming of it.

mod comparison;
mod run;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use streamflow_model::Instant;

pub(crate) use comparison::Comparison;
pub use comparison::{Difference, DifferenceKind, Verdict, VerdictCounts};
pub use run::{Said, ShadowRun};

use crate::{PluginInfo, RulePlugin, plugin::Plugin, signature::Trust};

/// A version that runs in the shadow of another one of its name.
#[derive(Clone)]
pub(crate) struct Shadow {
    pub(crate) plugin: Arc<Plugin>,
    /// Its file.
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) since: Instant,
    // Written by the threads of the rules that it follows, a few times a second, and read by the API.
    comparison: Arc<Mutex<Comparison>>,
}

impl Shadow {
    pub(crate) fn new(plugin: Arc<Plugin>, path: PathBuf, trust: Trust) -> Self {
        Self {
            plugin,
            path,
            trust,
            since: Instant::now(),
            comparison: Arc::default(),
        }
    }

    /// Compared with another version from now on.
    pub(crate) fn begin_anew(&mut self) {
        self.since = Instant::now();
        self.comparison = Arc::default();
    }

    pub(crate) fn handle(&self) -> ShadowPlugin {
        ShadowPlugin {
            plugin: RulePlugin(Arc::clone(&self.plugin)),
            comparison: Arc::clone(&self.comparison),
        }
    }

    /// What was found out so far, beside this active version.
    pub(crate) fn info(&self, active: &PluginInfo) -> ShadowInfo {
        let found = lock(&self.comparison).clone();
        let own = self.plugin.info();
        let reason = own.reason.or(found.ended);
        let state = match (&reason, found.rules.is_empty()) {
            (Some(_), _) => ShadowState::Stopped,
            (None, true) => ShadowState::Waiting,
            (None, false) => ShadowState::Running,
        };
        let per_event = |spent: std::time::Duration| {
            let ns = spent.as_nanos().checked_div(found.events.into())?;
            u64::try_from(ns).ok()
        };
        ShadowInfo {
            name: active.name.clone(),
            version: own.version,
            active_version: active.version.clone(),
            state,
            reason,
            signature: self.trust.text(),
            since: self.since,
            rules: found.rules.into_iter().collect(),
            calls: found.calls,
            events: found.events,
            passed_over_calls: found.passed_over,
            verdicts: found.counts,
            active: ShadowCost {
                cpu_ns_per_event: per_event(found.active),
                memory_bytes: active.memory_bytes,
                errors: active.errors,
                traps: active.traps,
            },
            shadow: ShadowCost {
                cpu_ns_per_event: per_event(found.shadow),
                memory_bytes: own.memory_bytes,
                errors: own.errors,
                traps: own.traps,
            },
            examples: found.examples,
        }
    }
}

/// A version in the shadow, as rules lead it.
#[derive(Debug, Clone)]
pub struct ShadowPlugin {
    pub(crate) plugin: RulePlugin,
    comparison: Arc<Mutex<Comparison>>,
}

impl ShadowPlugin {
    /// Whether it is the same comparison: the same version beside the same active one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.comparison, &other.comparison)
    }

    pub(crate) fn comparison(&self) -> MutexGuard<'_, Comparison> {
        lock(&self.comparison)
    }
}

fn lock(comparison: &Mutex<Comparison>) -> MutexGuard<'_, Comparison> {
    comparison.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a shadow is shown events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShadowState {
    /// No rule uses the plugin, or none has seen an event since.
    Waiting,
    /// It follows at least one rule.
    Running,
    /// It refused a rule's configuration or state, or failed too often.
    Stopped,
}

/// What one of the two versions costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShadowCost {
    /// Mean computing time of an event, over the calls that were compared.
    pub cpu_ns_per_event: Option<u64>,
    /// Memory of the instance that was called last.
    pub memory_bytes: u64,
    /// Calls that it answered with a failure.
    pub errors: u64,
    /// Calls that the sandbox ended.
    pub traps: u64,
}

/// What a shadow run has shown so far.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ShadowInfo {
    /// Name of the plugin.
    pub name: String,
    /// The version in the shadow.
    pub version: String,
    /// The version that runs.
    pub active_version: String,
    /// Whether it is shown events.
    pub state: ShadowState,
    /// Why it is not.
    pub reason: Option<String>,
    /// Whose word there is for it.
    pub signature: String,
    /// Since when they are compared.
    pub since: Instant,
    /// Names of the rules that it follows.
    pub rules: Vec<String>,
    /// Calls that were compared.
    pub calls: u64,
    /// Events of these calls.
    pub events: u64,
    /// Calls of the active version that were not compared, because the shadow was slower or had failed.
    pub passed_over_calls: u64,
    /// How many verdicts were alike.
    pub verdicts: VerdictCounts,
    /// The version that runs.
    pub active: ShadowCost,
    /// The version in the shadow.
    pub shadow: ShadowCost,
    /// The first differences, at most 20.
    pub examples: Vec<Difference>,
}
