//! Who is told next when nobody reacts, and who is on call.

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

use crate::{Hours, Instant, Span};

/// A step of an escalation policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// How long after the step before, the first after the alert was told of.
    pub after: Span,
    /// Channels, or `oncall:SCHEDULE`.
    pub channels: Vec<String>,
}

/// An escalation policy: its steps are taken one after the other until somebody acknowledges the alert, or it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// Unique name.
    pub name: String,
    /// The steps.
    pub steps: Vec<EscalationStep>,
    /// How often all steps are taken again.
    #[serde(default)]
    pub repeat: u32,
    /// An acknowledgement lapses when the alert still fires after this time, and the steps begin anew.
    #[serde(default)]
    pub resume_after: Option<Span>,
}

/// Somebody who can be on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Unique in the schedule.
    pub name: String,
    /// Channels that reach the person.
    pub channels: Vec<String>,
}

/// People who take turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Names, in their order.
    pub people: Vec<String>,
    /// The first one's turn begins on this day.
    #[schema(value_type = String, example = "2026-01-05")]
    pub starts_on: Date,
    /// Turns change at this time of the day.
    #[serde(default)]
    #[schema(value_type = String, example = "09:00")]
    pub hand_over: Time,
    /// Length of a turn.
    #[serde(default = "week")]
    pub every_days: u32,
    /// Only at these times; another rotation, or everybody, has the rest. Their time zone is their own.
    #[serde(default)]
    pub hours: Option<Hours>,
}

/// Somebody takes over for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who.
    pub person: String,
    /// From then on.
    pub from: Instant,
    /// Until then.
    pub until: Instant,
}

/// An on-call schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OncallSchedule {
    /// Unique name; channels are written `oncall:NAME`.
    pub name: String,
    /// IANA name of the time zone of days and hand-overs.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Vienna")]
    pub time_zone: String,
    /// Who can be on call.
    pub people: Vec<Person>,
    /// A later rotation that applies wins over an earlier one.
    pub rotations: Vec<Rotation>,
    /// An override wins over all rotations, a later one over an earlier one.
    #[serde(default)]
    pub overrides: Vec<Override>,
}

const fn week() -> u32 {
    7
}

fn utc() -> String {
    "UTC".to_owned()
}
