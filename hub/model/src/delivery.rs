//! One notification on its way to one channel: a row of the outbox and of the delivery log.

use serde::{Deserialize, Serialize};

use crate::Instant;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waiting for its first or next attempt.
    Pending,
    /// The channel accepted it.
    Delivered,
    /// Given up: a permanent refusal, or attempts used up. Can be sent again by hand.
    Failed,
}

/// A notification for one channel; written in the transaction that changes the alert, so a crash cannot lose it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Identifier, UUIDv7.
    pub id: String,
    /// Alert it tells of; of a group, the first.
    pub alert_id: String,
    /// Alerts it tells of, the first thousand.
    #[serde(default)]
    pub alert_ids: Vec<String>,
    /// The group, when it tells of alerts together.
    #[serde(default)]
    pub group_id: Option<String>,
    /// Channel name.
    pub channel: String,
    /// `firing` or `resolved`, or another alert state.
    pub status: String,
    /// The same over retries, restarts and failover.
    pub idempotency_key: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempts: u32,
    /// Next attempt not before.
    pub next_attempt_at: Option<Instant>,
    /// Last failure in words.
    pub error: Option<String>,
    /// Reference that the channel answered.
    pub reference: Option<String>,
    /// When it was queued.
    pub created_at: Instant,
    /// When the channel accepted it.
    pub delivered_at: Option<Instant>,
    /// A message sent by `POST …/test`.
    #[serde(default)]
    pub test: bool,
}
