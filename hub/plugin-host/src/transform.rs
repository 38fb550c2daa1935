//! A transform at work: a batch in the making goes in as columns, and what the plugin answers is done to its columns. Runs in agents.

mod answer;
mod host;
mod measure;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use streamflow_component::Manifest;
use streamflow_proto::{
    build::{BatchBuilder, EditError, GivenUp},
    filter::Columns,
};

use crate::{
    RuleProblem,
    plugin::Plugin,
    rule::{self, Projection},
    sandbox::{Fault, StartError, TransformInstance},
    secrets,
};
pub use host::{TransformHost, TransformLoadError};
pub use measure::TransformCost;

/// Most events of a batch that a transform is given.
pub const MAX_TRANSFORM_ROWS: usize = rule::MAX_ROWS;

/// How often it is said that a transform makes values too long.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Why a batch was not transformed. It is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// It is in quarantine.
    #[error("{0}")]
    Unavailable(String),
    /// It does not take its configuration.
    #[error("the plugin refuses its configuration: {0}")]
    Refused(String),
    /// The sandbox ended the call, or the answer makes no sense. The instance is gone.
    #[error("{reason}")]
    Fault {
        /// In one word: `deadline`, `memory`, `stack`, `copy`, `trap` or `answer`.
        cause: &'static str,
        /// In words.
        reason: String,
    },
    /// It answered that it failed, or more than a batch can hold. The instance goes on.
    #[error("{0}")]
    Failed(String),
    /// The batch cannot be shown to it.
    #[error("the batch cannot be shown to a plugin: {0}")]
    Batch(String),
}

impl TransformError {
    /// Kinds of failures in one word each, for metrics.
    pub const CAUSES: [&str; 9] = [
        "deadline",
        "memory",
        "stack",
        "copy",
        "trap",
        "answer",
        "failed",
        "quarantined",
        "batch",
    ];

    /// Which of [`Self::CAUSES`] it is.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "quarantined",
            Self::Refused(_) | Self::Failed(_) => "failed",
            Self::Fault { cause, .. } => cause,
            Self::Batch(_) => "batch",
        }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transformed {
    /// Events that the plugin turned away.
    pub turned_away: u64,
    /// Further events, which were given up: a value that the plugin wrote may not stand there, for one that has become too long.
    pub given_up: u64,
    /// Time of the call.
    pub took: Duration,
    /// Memory of the instance after it.
    pub memory: usize,
}

/// A version of a transform, from which instances are made.
#[derive(Clone)]
pub struct TransformPlugin {
    plugin: Arc<Plugin>,
    /// Whose word there is for it: `shipped`, `signed by KEY` or `unsigned`.
    signature: String,
}

/// A transform with its configuration, and a live instance of it once there was something to do.
pub struct TransformRun {
    plugin: Arc<Plugin>,
    used_by: Arc<str>,
    config: Arc<Map<String, Value>>,
    projection: Arc<Projection>,
    /// None before the first batch and after a fault.
    instance: Option<TransformInstance>,
    /// When it was last said that events were given up.
    said: Option<Instant>,
}

impl TransformPlugin {
    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// Whose word there is for it: `shipped`, `signed by KEY` or `unsigned`.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Why it is in quarantine, if it is.
    #[must_use]
    pub fn quarantine(&self) -> Option<String> {
        self.plugin.quarantined().map(|quarantine| quarantine.reason)
    }

    /// How long it has been in quarantine; zero when it is not.
    #[must_use]
    pub fn quiet_for(&self, now: Instant) -> Duration {
        self.plugin.quiet_for(now)
    }

    /// Takes it out of quarantine.
    pub fn release(&self) {
        self.plugin.release();
    }

    /// Everything that is wrong with a configuration: by the schema, by the fields that it names, and by the plugin's own word.
    pub async fn check(&self, config: &Map<String, Value>) -> Vec<RuleProblem> {
        let config = &match self.resolved(config) {
            Ok(config) => config,
            Err(found) => return vec![found],
        };
        let problems = self.plugin.problems(config);
        if !problems.is_empty() {
            return problems;
        }
        let problem = |field: &str, reason| {
            vec![RuleProblem {
                field: field.to_owned(),
                reason,
            }]
        };
        if let Err(found) = self.projection(config) {
            return vec![found];
        }
        match self.plugin.start_transform("", config).await {
            Ok(_) => Vec::new(),
            Err(StartError::Refused(reason)) => problem("config", reason),
            Err(StartError::Fault(fault)) => problem("plugin", self.plugin.note_fault(&fault)),
        }
    }

    fn projection(&self, config: &Map<String, Value>) -> Result<Projection, RuleProblem> {
        let input = &self.manifest().input;
        let columns = input.columns(&Value::Object(config.clone()));
        let columns = columns.map_err(|error| RuleProblem {
            field: format!("config.{}", error.key),
            reason: error.reason,
        })?;
        Projection::of(input.envelope, &columns).map_err(|(path, error)| RuleProblem {
            field: "config".to_owned(),
            reason: format!("`{path}`: {error}"),
        })
    }

    /// The configuration with its secrets read from where `env:NAME` and `file:/path` say.
    fn resolved(&self, config: &Map<String, Value>) -> Result<Map<String, Value>, RuleProblem> {
        let mut config = config.clone();
        for key in self.manifest().secret_keys() {
            let Some(Value::String(text)) = config.get_mut(&key) else {
                continue;
            };
            if text.starts_with("env:") || text.starts_with("file:") {
                let secret = secrets::resolve(&key, text).map_err(|error| RuleProblem {
                    field: format!("config.{key}"),
                    reason: error.to_string(),
                })?;
                secret.expose_secret().clone_into(text);
            }
        }
        Ok(config)
    }

    /// The plugin at work for a processor of this name, without an instance yet.
    ///
    /// # Errors
    /// When the configuration names fields, or secrets, that cannot be read.
    pub fn start(&self, used_by: &str, config: &Map<String, Value>) -> Result<TransformRun, TransformError> {
        let refused = |problem: RuleProblem| TransformError::Refused(format!("{}: {}", problem.field, problem.reason));
        Ok(TransformRun {
            plugin: Arc::clone(&self.plugin),
            used_by: used_by.into(),
            config: Arc::new(self.resolved(config).map_err(refused)?),
            projection: Arc::new(self.projection(config).map_err(refused)?),
            instance: None,
            said: None,
        })
    }
}

impl Clone for TransformRun {
    /// The same with an instance of its own, once it needs one.
    fn clone(&self) -> Self {
        Self {
            plugin: Arc::clone(&self.plugin),
            used_by: Arc::clone(&self.used_by),
            config: Arc::clone(&self.config),
            projection: Arc::clone(&self.projection),
            instance: None,
            said: None,
        }
    }
}

impl TransformRun {
    /// Has the plugin look at a batch of at most [`MAX_TRANSFORM_ROWS`] events and does to it what the plugin says.
    ///
    /// # Errors
    /// When the plugin fails at it; the batch is then as it was, and after a fault the next call has a fresh instance.
    pub async fn apply(&mut self, builder: &mut BatchBuilder) -> Result<Transformed, TransformError> {
        self.plugin.available().map_err(TransformError::Unavailable)?;
        let view = builder
            .view()
            .map_err(|error| TransformError::Batch(error.to_string()))?;
        let batch = rule::whole(&mut Columns::new(&view), &self.projection, MAX_TRANSFORM_ROWS);
        let batch = batch.map_err(TransformError::Batch)?;
        if self.instance.is_none() {
            let started = self.plugin.start_transform(&self.used_by, &self.config).await;
            self.instance = Some(started.map_err(|error| match error {
                StartError::Refused(reason) => TransformError::Refused(reason),
                StartError::Fault(fault) => self.fault(&fault),
            })?);
        }
        let Some(instance) = &mut self.instance else {
            return Err(TransformError::Batch("there is no instance".to_owned()));
        };
        let rows = builder.len();
        let (outcome, spent) = instance.apply(&batch).await;
        self.plugin.count_call(spent, rows as u64);
        let output = match outcome {
            Ok(Ok(output)) => output,
            Ok(Err(reason)) => {
                self.plugin.count_error();
                return Err(TransformError::Failed(reason));
            }
            Err(fault) => {
                let error = self.fault(&fault);
                self.instance = None;
                return Err(error);
            }
        };
        let edit = match answer::edit(output, rows) {
            Ok(edit) => edit,
            Err(reason) => return Err(self.senseless(&reason)),
        };
        let given_up = match builder.apply_where_it_fits(edit) {
            Ok(given_up) => given_up,
            // Whoever writes the events has a hand in how large they become, so this must not stop the transform for all the others.
            Err(error @ EditError::TooLarge { .. }) => {
                self.plugin.count_error();
                return Err(TransformError::Failed(error.to_string()));
            }
            Err(EditError::Decode(error)) => return Err(TransformError::Batch(error.to_string())),
            Err(error) => return Err(self.senseless(&error.to_string())),
        };
        if let Some(given_up) = &given_up {
            self.say(given_up);
        }
        let given_up = given_up.map_or(0, |given_up| given_up.rows);
        Ok(Transformed {
            turned_away: (rows - builder.len()).saturating_sub(given_up) as u64,
            given_up: given_up as u64,
            took: spent.total,
            memory: spent.memory,
        })
    }

    /// An answer that makes no sense costs the instance.
    fn senseless(&mut self, reason: &str) -> TransformError {
        // What the plugin has written stands in the reason, names of fields for example.
        let instance = self.instance.take();
        let reason = instance.map_or_else(|| reason.to_owned(), |instance| instance.shown(reason));
        self.fault(&Fault::answer(reason))
    }

    /// Says that events were given up, though not for every batch.
    fn say(&mut self, given_up: &GivenUp) {
        self.plugin.count_error();
        let now = Instant::now();
        if self.said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return;
        }
        self.said = Some(now);
        let reason = given_up.why.to_string();
        let reason = match &self.instance {
            Some(instance) => instance.shown(&reason),
            None => reason,
        };
        tracing::warn!(
            plugin = self.plugin.manifest().name,
            used_by = %self.used_by,
            events = given_up.rows,
            reason,
            "events given up: what a transform writes may not stand in them"
        );
    }

    fn fault(&self, fault: &Fault) -> TransformError {
        TransformError::Fault {
            cause: fault.cause.name(),
            reason: self.plugin.note_fault(fault),
        }
    }
}

impl std::fmt::Debug for TransformPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TransformPlugin").field(&self.manifest().name).finish()
    }
}

impl std::fmt::Debug for TransformRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransformRun")
            .field("plugin", &self.plugin.manifest().name)
            .field("live", &self.instance.is_some())
            .finish_non_exhaustive()
    }
}
