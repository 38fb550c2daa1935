//! Conditions on an alert's labels, as silences, routes and inhibition rules hold them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub enum MatchOp {
    /// Is this value.
    #[default]
    #[serde(rename = "=")]
    Equal,
    /// Is not this value.
    #[serde(rename = "!=")]
    NotEqual,
    /// Matches this regular expression from end to end.
    #[serde(rename = "=~")]
    Matches,
    /// Does not.
    #[serde(rename = "!~")]
    NotMatches,
}

impl MatchOp {
    /// The operator as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

/// A condition on one label. A label that an alert does not have counts as empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// What it is compared with.
    pub value: String,
    /// How.
    #[serde(default)]
    pub op: MatchOp,
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.name(), self.value)
    }
}
