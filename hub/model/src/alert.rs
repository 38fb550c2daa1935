//! Alerts: one incident of one rule and group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Completeness, Instant, Level};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition holds, but not yet for the rule's `for`.
    Pending,
    /// The condition held long enough.
    Firing,
    /// A person took it.
    Acknowledged,
    /// Over.
    Resolved,
    /// The data behind it is incomplete.
    Stale,
}

impl AlertState {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Stale => "stale",
        }
    }
}

/// One line of an alert's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: Instant,
    /// What happened: `pending`, `firing`, `notified`, `acknowledged`, `resolved` …
    pub what: String,
    /// Who did it: a user, or `streamflow`.
    pub by: String,
    /// The alert's value then.
    #[serde(default)]
    pub value: Option<f64>,
    /// Detail in words.
    pub detail: String,
}

/// One incident of one rule and group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alert {
    /// UUIDv7.
    pub id: String,
    /// The rule.
    pub rule_id: String,
    /// Its name when the alert began.
    pub rule_name: String,
    /// Where the incident stands.
    pub state: AlertState,
    /// Severity.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Some lines.
    pub message: String,
    /// Last value of the rule's aggregate.
    pub value: f64,
    /// Group labels, the rule's name and level.
    pub labels: BTreeMap<String, String>,
    /// Texts of the rule for messages, such as a link to a runbook.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// `rule id` and group: one open alert for each.
    pub group_key: String,
    /// Condition first held.
    pub pending_at: Option<Instant>,
    /// Began firing.
    pub fired_at: Option<Instant>,
    /// Taken by a person.
    pub acknowledged_at: Option<Instant>,
    /// Who took it.
    pub acknowledged_by: Option<String>,
    /// Over since.
    pub resolved_at: Option<Instant>,
    /// Who resolved it: a user, or `streamflow`.
    pub resolved_by: Option<String>,
    /// Its condition comes and goes; it stays open until that has been quiet for a while.
    #[serde(default)]
    pub flapping: bool,
    /// Why nobody is told of it now: `silence:ID`, `maintenance:NAME` or `inhibition:ID` of the alert that inhibits it.
    #[serde(default)]
    pub muted_by: Vec<String>,
    /// Window bounds, threshold and other details.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
    /// What the last value rests on.
    pub completeness: Completeness,
    /// Its history.
    pub timeline: Vec<TimelineEntry>,
}
