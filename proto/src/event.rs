//! The event as rows know it: what a client sends and what a query answers.

pub mod time;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Severity {
    /// Of interest to whoever looks for it.
    Low,
    /// The ordinary case.
    #[default]
    Medium,
    /// Worth a look soon.
    High,
    /// Worth waking someone.
    Critical,
}

impl Severity {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of an ordinal as columns hold it.
    pub fn from_ordinal(ordinal: u8) -> Option<Self> {
        Self::ALL.get(usize::from(ordinal)).copied()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of low, medium, high, critical")]
pub struct UnknownSeverity;

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(name: &str) -> Result<Self, UnknownSeverity> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == name)
            .ok_or(UnknownSeverity)
    }
}

/// One event as a row. Serializes as the contract's JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Its identity; the same id twice is one event.
    pub id: Uuid,
    /// What happened, as `web.click`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it happened.
    pub source: String,
    /// When, in milliseconds since 1970; RFC 3339 in JSON.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: i64,
    /// How much it matters.
    pub severity: Severity,
    /// An object, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// An object, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Joins events of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Joins events of one visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
}

fn rfc3339<S: Serializer>(timestamp: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time::Rfc3339(*timestamp))
}

/// Why an event was not accepted: the field and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Rejection {
    /// The field that is wrong, as `data` or `tags`; `event` when the whole text is.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub reason: String,
}

impl Rejection {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// The most bytes of a `type`.
pub const MAX_TYPE: usize = 128;
/// The most bytes of `source`, of an id string and of a tag.
pub const MAX_TEXT: usize = 256;
/// The most bytes of `data` or `metadata` as JSON.
pub const MAX_OBJECT: usize = 64 * 1024;
/// The most tags on an event.
pub const MAX_TAGS: usize = 64;
/// The deepest nesting of objects and arrays, the event itself counted.
pub const MAX_DEPTH: usize = 64;
