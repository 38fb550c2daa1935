//! What is told about a plugin.

use std::{path::Path, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};
use streamflow_component::{FieldType, Manifest};
use streamflow_model::Instant;

/// What runs under a plugin's name, as `GET /api/v1/plugins` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginInfo {
    /// Unique name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `rule`, `channel` or `transform`.
    pub kind: String,
    /// Whether it runs.
    pub state: PluginState,
    /// Why it does not run.
    pub reason: Option<String>,
    /// What it is, in a line.
    pub description: String,
    /// Rights that its manifest asks for.
    pub capabilities: Vec<String>,
    /// Rights that somebody has approved; what is asked for beyond them waits for somebody's word.
    pub granted: Vec<String>,
    /// Of `timestamp`, `severity`, `type` and `source`, which every event has, those that a rule or a transform is shown.
    pub envelope: Vec<String>,
    /// Fields of an event that it is shown besides.
    pub fields: Vec<PluginField>,
    /// How often a rule hears of time, ms.
    pub tick_ms: Option<u64>,
    /// What it may take; null while it is not loaded.
    pub limits: Option<PluginLimits>,
    /// JSON schema of its configuration; secrets are marked `writeOnly`.
    #[schema(value_type = Object)]
    pub config_schema: Map<String, Value>,
    /// Calls since the hub started.
    pub calls: u64,
    /// Calls that it answered with a failure.
    pub errors: u64,
    /// Calls that the sandbox ended.
    pub traps: u64,
    /// Mean computing time of an event; for a channel an event is one notification.
    pub cpu_ns_per_event: Option<u64>,
    /// Mean time of a call, with all that it waits for.
    pub ns_per_call: Option<u64>,
    /// Memory of the instance that was called last.
    pub memory_bytes: u64,
    /// Whose word there is for it: `shipped`, `signed by KEY` or `unsigned`.
    pub signature: String,
    /// The version to which `rollback` returns.
    pub previous_version: Option<String>,
    /// The version that runs in its shadow, to be compared with it.
    pub shadow_version: Option<String>,
    /// Kind of the fault that put it into quarantine: `deadline`, `memory`, `stack`, `copy`, `trap` or `answer`.
    pub quarantine_cause: Option<String>,
    /// Since when it is in quarantine.
    pub quarantined_since: Option<Instant>,
}

/// A field of an event that a plugin is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginField {
    /// Where it sits, such as `data.value`.
    pub path: String,
    /// As what it is read.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "float")]
    pub kind: FieldType,
}

/// What a plugin may take: the hub's limits, or less when its manifest says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginLimits {
    /// Memory of an instance.
    pub memory_bytes: u64,
    /// Computing time of a call.
    pub deadline_ms: u64,
    /// Time of a call with all that it waits for.
    pub call_ms: u64,
}

impl PluginLimits {
    pub(crate) fn new(memory: usize, deadline: Duration, call: Duration) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            memory_bytes: memory as u64,
            deadline_ms: ms(deadline),
            call_ms: ms(call),
        }
    }
}

/// Whether a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// It runs.
    Active,
    /// Somebody has switched it off.
    Disabled,
    /// It waits for somebody to approve it, or rights that it did not have before.
    AwaitingApproval,
    /// It failed too often, and is not called until somebody enables it.
    Quarantined,
    /// It is a transform: agents run it, not the hub.
    ForAgents,
    /// It could not be loaded.
    Failed,
}

/// A plugin that is not called any more, because it failed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// `rule`, `channel` or `transform`.
    pub kind: String,
    /// Kind of the last fault: `deadline`, `memory`, `stack`, `copy`, `trap` or `answer`.
    pub cause: &'static str,
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: Instant,
}

impl PluginInfo {
    /// A file of which not even the manifest can be read.
    pub(crate) fn unreadable(path: &Path, reason: String) -> Self {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self {
            name: stem.unwrap_or_default(),
            version: String::new(),
            kind: "unknown".to_owned(),
            state: PluginState::Failed,
            reason: Some(reason),
            description: String::new(),
            capabilities: Vec::new(),
            granted: Vec::new(),
            envelope: Vec::new(),
            fields: Vec::new(),
            tick_ms: None,
            limits: None,
            config_schema: Map::new(),
            calls: 0,
            errors: 0,
            traps: 0,
            cpu_ns_per_event: None,
            ns_per_call: None,
            memory_bytes: 0,
            signature: String::new(),
            previous_version: None,
            shadow_version: None,
            quarantine_cause: None,
            quarantined_since: None,
        }
    }

    /// What a manifest alone says.
    pub(crate) fn of(manifest: &Manifest, state: PluginState, reason: Option<String>) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            kind: manifest.kind.name().to_owned(),
            state,
            reason,
            description: manifest.description.clone(),
            capabilities: manifest.capabilities(),
            granted: Vec::new(),
            envelope: manifest.envelope().map(str::to_owned).collect(),
            fields: fields(manifest),
            tick_ms: manifest.input.tick_ms,
            limits: None,
            config_schema: manifest.schema.clone(),
            calls: 0,
            errors: 0,
            traps: 0,
            cpu_ns_per_event: None,
            ns_per_call: None,
            memory_bytes: 0,
            signature: String::new(),
            previous_version: None,
            shadow_version: None,
            quarantine_cause: None,
            quarantined_since: None,
        }
    }
}

fn fields(manifest: &Manifest) -> Vec<PluginField> {
    let fields = manifest.input.fields.iter();
    let shown = fields.map(|field| PluginField {
        path: field.path.clone(),
        kind: field.kind,
    });
    shown.collect()
}
