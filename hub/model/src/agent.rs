//! What the hub knows of one agent.

use serde::{Deserialize, Serialize};

use crate::Instant;

/// How long after it has connected an agent is taken to have read what was written while it was away.
const SETTLE_MS: i64 = 5000;

/// An enrolled agent and how it does. `lag_ms` is the age of its oldest unacknowledged event as it last reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentStatus {
    /// The identity in its certificate.
    pub id: String,
    /// Host name it reported.
    pub name: String,
    /// Program version it reported.
    pub version: String,
    /// Whether a connection is open now.
    pub connected: bool,
    /// When the open connection began.
    pub connected_at: Option<Instant>,
    /// Last message of any kind.
    pub last_seen: Option<Instant>,
    /// Remote address of the last connection.
    pub remote: Option<String>,
    /// Spool epoch.
    pub epoch: u64,
    /// Highest sequence durably stored in that epoch.
    pub last_seq: u64,
    /// Its last heartbeat.
    pub heartbeat_at: Option<Instant>,
    /// How far its clock is ahead of the hub's, ms; negative when it is behind. As its last heartbeats tell, about the time that they take.
    pub clock_skew_ms: Option<i64>,
    /// Age of its oldest unacknowledged event, ms.
    pub lag_ms: i64,
    /// Bytes waiting in its spool.
    pub spool_bytes: u64,
    /// Events waiting in its spool.
    pub spool_events: u64,
    /// Events received from it since the hub started.
    pub events_total: u64,
    /// Events it reported as dropped by policy.
    pub dropped_total: u64,
    /// End of the newest certificate that the hub has given it.
    #[serde(default)]
    pub certificate_expires_at: Option<Instant>,
    /// Taken off the allow-list.
    pub revoked: bool,
}

impl AgentStatus {
    /// Whether everything that it had read was stored when it sent its last heartbeat. An agent that has just come back has not read yet what was written
    /// meanwhile, so its first heartbeats do not say so.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let Some(heard) = self.heartbeat_at else { return false };
        let settled = self
            .connected_at
            .is_none_or(|since| heard.0.saturating_sub(since.0) >= SETTLE_MS);
        settled && self.spool_events == 0 && self.lag_ms == 0
    }
}
