//! What a rehearsal of paging answers.

use std::collections::BTreeMap;

use serde::Serialize;
use streamflow_model::{AlertState, Instant, Level};

use crate::held::{Cause, Gate};

/// Who would have been told how often and when, and what was held back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct PagingReport {
    /// Alerts that would have begun to fire.
    pub fired: u64,
    /// Notifications sent to channels.
    pub notifications: u64,
    /// Alerts that somebody would have acknowledged, when it was asked what would be if somebody did.
    pub acknowledged: u64,
    /// Who would have been told, most often told first.
    pub who: Vec<Recipient>,
    /// What kept notifications from being sent, or from being sent at once, most frequent first.
    pub held: Vec<HeldBack>,
    /// Notifications on each day, UTC.
    pub days: BTreeMap<String, u64>,
    /// Each notification, oldest first; at most 10,000.
    pub pages: Vec<Page>,
}

/// A channel, and the person who was on call when that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PagingRecipient)]
pub struct Recipient {
    /// The channel.
    pub channel: String,
    /// The on-call schedule by which it was told.
    pub schedule: Option<String>,
    /// Who was on call; absent when no schedule decided, or the schedule told everybody.
    pub person: Option<String>,
    /// Notifications.
    pub notifications: u64,
    /// Of them by what they were made for: `fired`, `again`, `repeat`, `escalation`, `over`.
    pub causes: BTreeMap<String, u64>,
    /// Notifications by hour of the day, 0 to 23, UTC.
    pub by_hour: Vec<u64>,
    /// The first one.
    pub first_at: Instant,
    /// The last one.
    pub last_at: Instant,
}

/// What one gate held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PagingHeldBack)]
pub struct HeldBack {
    /// What kind of gate.
    pub gate: Gate,
    /// Which: id of the silence, name of the window, rule or channel; empty where the kind says it all.
    pub name: String,
    /// The comment of the silence or window.
    pub comment: Option<String>,
    /// Alerts, or for gates of channels notifications, that it held back.
    pub count: u64,
    /// Of them those that somebody was told of later, while they still fired.
    pub told_later: u64,
    /// Longest time that one waited at the channel, ms.
    pub longest_ms: i64,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PagingPage)]
pub struct Page {
    /// When it would have been sent.
    pub at: Instant,
    /// When it was made; earlier where its channel made it wait.
    pub made_at: Instant,
    /// The channel.
    pub channel: String,
    /// The on-call schedule by which it was told.
    pub schedule: Option<String>,
    /// Who was on call.
    pub person: Option<String>,
    /// Why it was made.
    pub cause: Cause,
    /// State that it tells.
    pub state: AlertState,
    /// Level that it tells.
    pub level: Level,
    /// Its one line, in the channel's words.
    pub title: String,
    /// Alerts that it tells of.
    pub alerts: u64,
}
