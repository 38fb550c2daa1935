//! Which agents a window result rests on.

use serde::{Deserialize, Serialize};

/// Most names in each list of a [`Completeness`].
pub const MAX_NAMES: usize = 100;

/// Which agents a window result rests on. The lists hold the first hundred names each; the numbers are exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Completeness {
    /// Every known agent has passed the window's end.
    pub complete: bool,
    /// Number of agents that have passed the end.
    pub reported: u32,
    /// Agents that have not: the silent ones and those behind.
    pub missing: Vec<String>,
    /// Number of all agents that are known.
    #[serde(default)]
    pub agents: u32,
    /// Agents that have passed the end, by their events or by a heartbeat with an empty backlog.
    #[serde(default)]
    pub passed: Vec<String>,
    /// Agents that have not, and of which nothing was heard lately.
    #[serde(default)]
    pub silent: Vec<String>,
    /// Agents that have not, but are heard.
    #[serde(default)]
    pub behind: Vec<String>,
}
