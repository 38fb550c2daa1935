//! Who is told of alerts whose rule names no channels: a tree of routes, and rules of inhibition.

use serde::{Deserialize, Serialize};

use crate::{Instant, Level, Matcher, Span};

/// A node of the tree. What it leaves out it takes from the node above.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// All of them must hold. The root has none.
    pub matchers: Vec<Matcher>,
    /// Only alerts of this level or a worse one.
    pub level: Option<Level>,
    /// Channels, or `oncall:SCHEDULE`.
    pub channels: Option<Vec<String>>,
    /// Escalation policy.
    pub escalation: Option<String>,
    /// Alerts with the same values of these labels share a notification; `...` = never.
    pub group_by: Option<Vec<String>>,
    /// How long the first notification of a group waits for more alerts.
    pub group_wait: Option<Span>,
    /// How long at least between notifications of a group that has news.
    pub group_interval: Option<Span>,
    /// After how long a group that still fires is told of again.
    pub repeat_interval: Option<Span>,
    /// Look at the next routes as well when this one matches.
    #[serde(rename = "continue")]
    pub go_on: bool,
    /// Nodes below; the first that matches takes the alert.
    #[schema(no_recursion)]
    pub routes: Vec<Route>,
}

/// While a source fires, nobody is told of its targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Inhibition {
    /// Alerts that inhibit.
    pub source: Vec<Matcher>,
    /// Alerts that are inhibited.
    pub target: Vec<Matcher>,
    /// Labels that must be the same in both.
    #[serde(default)]
    pub equal: Vec<String>,
}

/// The whole of it, as a user writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingDraft {
    /// The root of the tree, which takes every alert.
    pub route: Route,
    /// Rules of inhibition.
    pub inhibit: Vec<Inhibition>,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Routing {
    /// What the user wrote.
    #[serde(flatten)]
    pub draft: RoutingDraft,
    /// 0 before the first change.
    pub version: i64,
    /// Last change.
    pub updated_at: Instant,
    /// The file that the routing is kept in, when it is not kept through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<String>,
}
