//! Why somebody is told, and what keeps others from being told: noted by the cores as they decide, counted live, listed in a
//! rehearsal.

use serde::{Deserialize, Serialize};

/// Why a notification was made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = PagingCause)]
pub enum Cause {
    /// An alert fires that has not been told of.
    #[default]
    Fired,
    /// An alert that was told of is told of anew: nothing holds it back any more, its level has risen, or an acknowledgement lapsed.
    Again,
    /// A group that was told of goes on.
    Repeat,
    /// A step of an escalation policy.
    Escalation,
    /// Somebody has taken an alert, or all alerts of a group.
    Acknowledged,
    /// An alert is over.
    Over,
}

impl Cause {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Again => "again",
            Self::Repeat => "repeat",
            Self::Escalation => "escalation",
            Self::Acknowledged => "acknowledged",
            Self::Over => "over",
        }
    }
}

/// What kept a notification from being sent, or sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PagingGate)]
pub enum Gate {
    /// A silence.
    Silence,
    /// A maintenance window.
    Maintenance,
    /// Another alert.
    Inhibition,
    /// The rule's `suppression_minutes`.
    Suppression,
    /// The channel takes alerts of higher levels only.
    Level,
    /// The channel is disabled.
    Disabled,
    /// There is no such channel.
    Missing,
    /// Neither rule nor routing names anybody.
    Unrouted,
    /// Told of together with others.
    Grouping,
    /// Too many alerts are open.
    Refused,
    /// The channel is not told at this hour: it waits.
    ActiveHours,
    /// The channel has had as many notifications as it takes in a minute: it waits.
    RateLimit,
}

impl Gate {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
            Self::Inhibition => "inhibition",
            Self::Suppression => "suppression",
            Self::Level => "level",
            Self::Disabled => "disabled",
            Self::Missing => "missing",
            Self::Unrouted => "unrouted",
            Self::Grouping => "grouping",
            Self::Refused => "refused",
            Self::ActiveHours => "active_hours",
            Self::RateLimit => "rate_limit",
        }
    }

    /// What an entry of `muted_by` is about: its gate, and the silence or window.
    pub(crate) fn of_reason(reason: &str) -> (Self, &str) {
        match reason.split_once(':') {
            Some(("silence", id)) => (Self::Silence, id),
            Some(("maintenance", name)) => (Self::Maintenance, name),
            // The alert that inhibits is one of many; which, its own history tells.
            _ => (Self::Inhibition, ""),
        }
    }
}

/// Something that was held back once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// By what.
    pub(crate) gate: Gate,
    /// The silence, window, rule or channel by its name.
    pub(crate) name: String,
    /// The alert; empty when it is about a group.
    pub(crate) alert: String,
    /// How many alerts, or notifications.
    pub(crate) count: u64,
    /// For how long, when that is known, ms.
    pub(crate) delay: i64,
}

impl Held {
    /// One alert.
    pub(crate) fn one(gate: Gate, name: &str, alert: &str) -> Self {
        Self {
            gate,
            name: name.to_owned(),
            alert: alert.to_owned(),
            count: 1,
            delay: 0,
        }
    }

    /// Until it is sent after all.
    pub(crate) const fn for_ms(mut self, delay: i64) -> Self {
        self.delay = delay;
        self
    }
}

/// By which schedule a channel is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct OnDuty {
    /// The on-call schedule.
    pub(crate) schedule: String,
    /// Who is on call; none when everybody is told.
    pub(crate) person: Option<String>,
}

/// A channel that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meant {
    /// Its name.
    pub(crate) channel: String,
    /// By which schedule.
    pub(crate) oncall: Option<OnDuty>,
}

impl Meant {
    /// A channel by its name.
    pub(crate) const fn channel(channel: String) -> Self {
        Self { channel, oncall: None }
    }
}
