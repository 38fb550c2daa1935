//! A rule plugin at work for one rule: columns in, alerts out, state between calls.

mod answer;
mod project;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use streamflow_model::Level;
use streamflow_proto::{batch::DecodeError, filter::Columns};

use crate::{
    plugin::Plugin,
    sandbox::{Fault, RuleInstance, Spent, StartError, nanoseconds, types},
};
pub(crate) use project::{Projection, whole};

/// Largest state that a rule plugin may save.
pub const MAX_STATE: usize = 1 << 20;
/// Most rows of one call.
pub const MAX_ROWS: usize = 4096;

/// One thing that is wrong with a rule's use of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Field of the rule: `plugin`, or below `config`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a call of a rule plugin brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It does not run: disabled, in quarantine, or gone. It may run later.
    #[error("{0}")]
    Unavailable(String),
    /// It does not take the configuration, or the state that it saved.
    #[error("the plugin refuses: {0}")]
    Refused(String),
    /// The sandbox ended the call. The instance is gone.
    #[error("{0}")]
    Fault(String),
    /// It answered that it failed. The instance goes on.
    #[error("{0}")]
    Failed(String),
}

/// What a rule plugin found out.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleAlert {
    /// The incident.
    pub key: String,
    /// Severity; the rule's own when absent.
    pub level: Option<Level>,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// The number behind it.
    pub value: Option<f64>,
    /// The incident is over.
    pub resolved: bool,
    /// The last row that shows why, by its number in the batch that was projected.
    pub row: Option<u32>,
    /// Names and values.
    pub labels: BTreeMap<String, String>,
}

/// A version of a rule plugin, from which instances are made.
#[derive(Clone)]
pub struct RulePlugin(pub(crate) Arc<Plugin>);

/// Rows of a batch as a rule plugin gets them.
pub struct RuleRows {
    batch: types::Batch,
    rows: Vec<u32>,
}

impl RuleRows {
    /// The rows, by their numbers in the batch that was projected.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Reads every value once, natively: what a rule's work is measured against. The sum means nothing.
    #[must_use]
    pub fn walk(&self) -> u64 {
        let text = |column: &types::TextColumn| -> u64 {
            let of = |index: &u32| column.ends.get(*index as usize).copied().map_or(0, u64::from);
            column.index.iter().map(of).fold(0, u64::wrapping_add)
        };
        let batch = &self.batch;
        let times = batch
            .time
            .iter()
            .fold(0, |sum: u64, at| sum.wrapping_add(at.cast_unsigned()));
        let severities = batch
            .severity
            .iter()
            .map(|own| u64::from(*own))
            .fold(0, u64::wrapping_add);
        let columns = batch.columns.iter().map(|column| match &column.data {
            types::ColumnData::Boolean(values) => values.iter().map(|own| u64::from(*own)).fold(0, u64::wrapping_add),
            types::ColumnData::Integer(values) => values
                .iter()
                .fold(0, |sum: u64, own| sum.wrapping_add(own.cast_unsigned())),
            types::ColumnData::Float(values) => values.iter().map(|own| own.to_bits()).fold(0, u64::wrapping_add),
            types::ColumnData::Text(texts) => text(texts),
        });
        let columns = columns.fold(0, u64::wrapping_add);
        [times, severities, text(&batch.kind), text(&batch.source), columns]
            .into_iter()
            .fold(0, u64::wrapping_add)
    }
}

/// A live instance for one rule.
pub struct RuleRun {
    plugin: Arc<Plugin>,
    /// None after a fault.
    instance: Option<RuleInstance>,
    /// Computing time of all its calls.
    spent: Duration,
}

impl RulePlugin {
    /// What tells this version from others, in whatever they differ.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.0.sha256()
    }

    /// Version, as its manifest says.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.manifest().version
    }

    /// How often it hears of time, in event time, ms.
    #[must_use]
    pub fn tick_ms(&self) -> Option<i64> {
        self.0.manifest().input.tick_ms.and_then(|ms| i64::try_from(ms).ok())
    }

    /// Everything that is wrong with a configuration.
    pub async fn check(&self, config: &Map<String, Value>) -> Vec<RuleProblem> {
        self.0.check_rule(config).await
    }

    /// Makes an instance for a rule of this name.
    ///
    /// # Errors
    /// When it does not run, or does not take configuration or state.
    pub async fn start(
        &self,
        rule: &str,
        config: &Map<String, Value>,
        state: Option<&[u8]>,
    ) -> Result<RuleRun, RuleError> {
        self.0.available().map_err(RuleError::Unavailable)?;
        let started = self.0.start_rule(rule, config, state).await;
        let instance = started.map_err(|error| match error {
            StartError::Refused(reason) => RuleError::Refused(reason),
            StartError::Fault(fault) => self.0.rule_fault(&fault),
        })?;
        Ok(RuleRun {
            plugin: Arc::clone(&self.0),
            instance: Some(instance),
            spent: Duration::ZERO,
        })
    }

    /// The rows of a batch with the columns that the plugin reads, in parts that one call takes.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn project(&self, columns: &mut Columns<'_>, rows: &[u32]) -> Result<Vec<RuleRows>, DecodeError> {
        project::project(columns, self.0.projection(), rows)
    }
}

impl RuleRun {
    /// Shows it rows.
    ///
    /// # Errors
    /// When the call brought nothing. After a fault the run is over.
    pub async fn on_events(&mut self, rows: &RuleRows) -> Result<Vec<RuleAlert>, RuleError> {
        let instance = self.instance()?;
        let (answer, spent) = instance.on_events(&rows.batch).await;
        let alerts = self.settle(answer, spent, rows.rows.len() as u64)?;
        self.checked(alerts, &rows.rows)
    }

    /// Lets it hear of time, event time in ms.
    ///
    /// # Errors
    /// When the call brought nothing. After a fault the run is over.
    pub async fn on_tick(&mut self, now: i64) -> Result<Vec<RuleAlert>, RuleError> {
        let (answer, spent) = self.instance()?.on_tick(nanoseconds(now)).await;
        let alerts = self.settle(answer, spent, 0)?;
        self.checked(alerts, &[])
    }

    /// Its state, for the next instance.
    ///
    /// # Errors
    /// When the call brought nothing. After a fault the run is over.
    pub async fn save(&mut self) -> Result<Vec<u8>, RuleError> {
        let (answer, spent) = self.instance()?.save().await;
        let state = self.settle(answer, spent, 0)?;
        if state.len() > MAX_STATE {
            return Err(self.end(&Fault::answer(format!(
                "its state has {} bytes; {MAX_STATE} are allowed",
                state.len()
            ))));
        }
        Ok(state)
    }

    /// Computing time of all its calls so far.
    #[must_use]
    pub const fn spent(&self) -> Duration {
        self.spent
    }

    fn instance(&mut self) -> Result<&mut RuleInstance, RuleError> {
        self.plugin.available().map_err(RuleError::Unavailable)?;
        self.instance
            .as_mut()
            .ok_or_else(|| RuleError::Fault("the instance ended with its last fault".to_owned()))
    }

    fn settle<T>(
        &mut self,
        answer: Result<Result<T, String>, Fault>,
        spent: Spent,
        events: u64,
    ) -> Result<T, RuleError> {
        self.spent += spent.computed;
        self.plugin.count_call(spent, events);
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(reason)) => {
                self.plugin.count_failure(&reason);
                Err(RuleError::Failed(reason))
            }
            Err(fault) => Err(self.end(&fault)),
        }
    }

    fn checked(&mut self, alerts: Vec<types::Alert>, rows: &[u32]) -> Result<Vec<RuleAlert>, RuleError> {
        let Some(instance) = &self.instance else {
            return Ok(Vec::new());
        };
        answer::check(alerts, rows, instance.guest()).map_err(|fault| self.end(&fault))
    }

    fn end(&mut self, fault: &Fault) -> RuleError {
        self.instance = None;
        self.plugin.rule_fault(fault)
    }
}

impl std::fmt::Debug for RuleRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleRun")
            .field("plugin", &self.plugin.manifest().name)
            .field("live", &self.instance.is_some())
            .finish()
    }
}

impl std::fmt::Debug for RulePlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RulePlugin").field(&self.0.manifest().name).finish()
    }
}
