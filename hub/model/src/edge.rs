//! What agents make of metrics that are pushed to them.

use std::collections::BTreeMap;

/// An agent, as far as computing metrics goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdgeAgent {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Version of its program.
    pub version: String,
    /// Whether a session is open.
    pub connected: bool,
    /// Whether it takes metrics at all.
    pub capable: bool,
    /// Whether it has answered to the metrics that are pushed now.
    pub answered: bool,
    /// Series that it has refused in this session, each with its reason.
    pub refused: BTreeMap<String, String>,
}
