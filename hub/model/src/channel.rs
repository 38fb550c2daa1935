//! Notification channels: a plugin with its configuration.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Instant, Level};

/// A named destination for notifications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Channel {
    /// Unique name, used by rules.
    pub name: String,
    /// Channel plugin that delivers.
    pub plugin: String,
    /// The plugin's configuration, checked against its schema. Secrets are masked in answers.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Alerts below this level are not sent here.
    #[serde(default)]
    pub level: Level,
    /// A disabled channel delivers nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was made.
    #[serde(default)]
    pub created_at: Instant,
    /// Last change.
    #[serde(default)]
    pub updated_at: Instant,
}

const fn yes() -> bool {
    true
}
