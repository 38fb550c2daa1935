//! Silences and maintenance windows: times when nobody is told of certain alerts.

use serde::{Deserialize, Serialize};

use crate::{Hours, Instant, Matcher};

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It silences now.
    Active,
    /// It is over.
    Expired,
}

/// Nobody is told of alerts that match, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Silence {
    /// UUIDv7.
    pub id: String,
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// From then on.
    pub starts_at: Instant,
    /// Until then.
    pub ends_at: Instant,
    /// Why.
    pub comment: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Instant,
    /// Last change.
    pub updated_at: Instant,
}

impl Silence {
    /// Where it stands at a time, ms.
    #[must_use]
    pub const fn state(&self, now: i64) -> SilenceState {
        if now < self.starts_at.0 {
            SilenceState::Pending
        } else if now < self.ends_at.0 {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }
}

/// Nobody is told of alerts that match, at recurring times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Unique name.
    pub name: String,
    /// All of them must hold; none = every alert.
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// When.
    pub hours: Hours,
    /// Not before.
    #[serde(default)]
    pub starts_at: Option<Instant>,
    /// Not after.
    #[serde(default)]
    pub ends_at: Option<Instant>,
    /// Why.
    #[serde(default)]
    pub comment: String,
    /// A disabled one silences nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}
