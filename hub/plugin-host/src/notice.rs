//! What a channel is asked to tell: one change of one alert.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{AlertState, Level};

/// One notification. It holds everything that a message needs, so that a channel asks the hub for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The alert's id.
    pub id: String,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's name.
    pub rule: String,
    /// The incident: one rule and one group of labels.
    pub key: String,
    /// Where the incident stands. Nobody is told of pending ones.
    pub state: AlertState,
    /// Severity.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// When this change happened, ms since 1970.
    pub at_ms: i64,
    /// When the incident began.
    pub starts_at_ms: i64,
    /// When it ended; none while it goes on.
    pub ends_at_ms: Option<i64>,
    /// The last value of the rule's aggregate.
    pub value: Option<f64>,
    /// All labels of the alert.
    pub labels: BTreeMap<String, String>,
    /// The labels that the rule groups by.
    pub group_labels: BTreeMap<String, String>,
    /// Further texts, such as a link to a runbook.
    pub annotations: BTreeMap<String, String>,
    /// The same over retries, restarts and failover.
    pub idempotency_key: String,
    /// Address of the hub as people reach it; may be empty.
    pub external_url: String,
    /// Link to the alert; may be empty.
    pub url: String,
    /// A test message, not an incident.
    pub test: bool,
    /// The alerts that it tells of one by one; empty when it tells of one alert, or is a test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Alerts that it tells of and that are not among [`Self::members`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

/// One alert of a group that is told of together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The alert's id.
    pub id: String,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's name.
    pub rule: String,
    /// The incident: one rule and one group of labels.
    pub key: String,
    /// Where the incident stands.
    pub state: AlertState,
    /// Severity.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// When the incident began, ms since 1970.
    pub starts_at_ms: i64,
    /// When it ended; none while it goes on.
    pub ends_at_ms: Option<i64>,
    /// The last value of the rule's aggregate.
    pub value: Option<f64>,
    /// All labels of the alert.
    pub labels: BTreeMap<String, String>,
    /// Further texts, such as a link to a runbook.
    pub annotations: BTreeMap<String, String>,
    /// Link to the alert; may be empty.
    pub url: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
