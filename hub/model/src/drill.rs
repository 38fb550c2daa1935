//! Fire drills: one marked event from an agent to a person's acknowledgement, every hop timed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Instant, Level, Span};

/// Begins the ids of the rules that live for one drill.
pub const DRILL_RULE: &str = "drill:";
/// Label of a drill's alert; its value is the drill's id.
pub const DRILL_LABEL: &str = "drill";
/// What begins the words of every message about a drill.
pub const DRILL_WORDS: &str = "DRILL";

/// Id of the rule that lives for a drill.
#[must_use]
pub fn drill_rule_id(drill: &str) -> String {
    format!("{DRILL_RULE}{drill}")
}

/// Whether a rule lives for a drill alone.
#[must_use]
pub fn is_drill_rule(rule_id: &str) -> bool {
    rule_id.starts_with(DRILL_RULE)
}

/// What an event is on its way, from the hub's wish to a person's answer, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HopName {
    /// The hub asked the agent.
    Asked,
    /// The agent made the event.
    Emitted,
    /// The event is durable in the agent's spool.
    Spooled,
    /// The agent put it on the stream to the hub.
    Sent,
    /// The event is durable in the log.
    Stored,
    /// The rule's expression matched it in its window.
    Matched,
    /// The alert fires.
    Fired,
    /// A notification was made, and is durable.
    Notified,
    /// Every channel that is told has accepted it.
    Accepted,
    /// A person took the alert.
    Acknowledged,
}

impl HopName {
    /// All, in the order in which they happen.
    pub const ALL: [Self; 10] = [
        Self::Asked,
        Self::Emitted,
        Self::Spooled,
        Self::Sent,
        Self::Stored,
        Self::Matched,
        Self::Fired,
        Self::Notified,
        Self::Accepted,
        Self::Acknowledged,
    ];

    /// The name used in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Emitted => "emitted",
            Self::Spooled => "spooled",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Matched => "matched",
            Self::Fired => "fired",
            Self::Notified => "notified",
            Self::Accepted => "accepted",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Whether it happens at the agent.
    #[must_use]
    pub const fn is_of_agent(self) -> bool {
        matches!(self, Self::Emitted | Self::Spooled | Self::Sent)
    }
}

/// One hop of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrillHop {
    /// Which.
    pub hop: HopName,
    /// When it happened by the hub's clock; that of hops at the agent is the agent's, less by how far its clock is ahead.
    pub at: Instant,
    /// Time since the hop before, ms. Below 0 when clocks disagree by more than is known.
    pub took_ms: i64,
    /// In words: by whom, through which channels, by which route.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Where a drill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DrillState {
    /// Under way.
    Running,
    /// It came all the way.
    Passed,
    /// It was lost; `lost_at` and `reason` say where and why.
    Failed,
}

impl DrillState {
    /// The name used in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// What is drilled, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DrillRequest {
    /// Id or name of a rule. Either this or `route`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Labels of an alert that goes by the routing tree. Either this or `rule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<BTreeMap<String, String>>,
    /// Level of the alert of a `route`; `critical` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Id or name of the agent that emits the event; when absent, one that is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// No agent takes part: the event begins in the hub's own log.
    pub from_hub: bool,
    /// Channels that are told, `oncall:NAME` among them; when absent, those of `[drills] channels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// Tell those whom the real alert would tell. Nothing else does.
    pub page: bool,
    /// Whether a person has to acknowledge; else the drill has passed when the channels have accepted. Yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<bool>,
    /// How long the way to the channels may take; `[drills] deadline` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// How long a person may take from then on; `[drills] acknowledge_within` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge_within: Option<Span>,
    /// Fields of the event, as `type`, `source`, `severity`, `data`; when absent, those of the newest stored event that the rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub event: Option<Map<String, Value>>,
}

/// A drill and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drill {
    /// UUIDv7; the event carries it at `metadata.streamflow_drill`.
    pub id: String,
    /// Where it stands.
    pub state: DrillState,
    /// Who asked for it: a user, or `schedule NAME`.
    pub by: String,
    /// The schedule that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Name of the rule, or the labels of the route.
    pub target: String,
    /// What was asked.
    pub request: DrillRequest,
    /// The agent that emits the event; `@drill` is the hub itself.
    pub agent: String,
    /// The event, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The alert, once it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<String>,
    /// Channels that are told.
    pub channels: Vec<String>,
    /// Channels that the real alert would tell.
    pub would_tell: Vec<String>,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// What happened so far, in order.
    pub hops: Vec<DrillHop>,
    /// The hop that did not happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<HopName>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the drill did not try.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Drill {
    /// When a hop happened.
    #[must_use]
    pub fn at(&self, hop: HopName) -> Option<Instant> {
        self.hops.iter().find(|one| one.hop == hop).map(|one| one.at)
    }

    /// Notes a hop, once. Hops that are heard of late are put where they belong.
    pub fn reach(&mut self, hop: HopName, at: Instant, detail: impl Into<String>) {
        if self.at(hop).is_some() {
            return;
        }
        let detail = detail.into();
        self.hops.push(DrillHop {
            hop,
            at,
            took_ms: 0,
            detail,
        });
        self.hops.sort_by_key(|one| one.hop);
        let mut before = self.started_at;
        for one in &mut self.hops {
            one.took_ms = one.at.0.saturating_sub(before.0);
            before = one.at;
        }
    }

    /// The hop that it waits for: the first after the last one that happened.
    #[must_use]
    pub fn waits_for(&self) -> Option<HopName> {
        let last = self.hops.last().map(|one| one.hop);
        let from_hub = self.request.from_hub;
        let next = |hop: &HopName| last.is_none_or(|last| *hop > last) && !(from_hub && hop.is_of_agent());
        HopName::ALL.into_iter().find(next)
    }

    /// From the wish to the last hop, ms.
    #[must_use]
    pub fn took_ms(&self) -> i64 {
        let last = self.hops.last().map_or(self.started_at, |one| one.at);
        last.0.saturating_sub(self.started_at.0)
    }

    /// It came all the way.
    pub fn pass(&mut self, now: Instant) {
        self.state = DrillState::Passed;
        self.ended_at = Some(now);
    }

    /// It was lost at this hop.
    pub fn fail(&mut self, hop: HopName, reason: impl Into<String>, now: Instant) {
        self.state = DrillState::Failed;
        self.ended_at = Some(now);
        self.lost_at = Some(hop);
        self.reason = Some(reason.into());
    }
}

#[cfg(test)]
mod tests;
