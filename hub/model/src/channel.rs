//! Notification channels: a plugin with its configuration.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Hours, Instant, Level};

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
    /// Outside of these times notifications wait.
    #[serde(default)]
    pub active_hours: Option<Hours>,
    /// At most this many notifications in any minute, 1 to 6000; the rest waits.
    #[serde(default)]
    pub rate_per_minute: Option<u32>,
    /// Template of the one line of a message, in place of the hub's own.
    #[serde(default)]
    pub title_template: Option<String>,
    /// Template of the text of a message.
    #[serde(default)]
    pub body_template: Option<String>,
    /// A disabled channel delivers nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was made.
    #[serde(default)]
    pub created_at: Instant,
    /// Last change.
    #[serde(default)]
    pub updated_at: Instant,
    /// The file that the channel is kept in, when it is not kept through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<String>,
}

const fn yes() -> bool {
    true
}
