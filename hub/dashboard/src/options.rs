//! Configuration section `[dashboard]`.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// Configuration section `[dashboard]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Live connections at a time; more are refused with 503.
    pub max_clients: usize,
    /// Most events in one live update; when more arrive, a sample is sent and the rest counted.
    pub events_per_tick: usize,
    /// A live client that takes nothing for this long is cut off.
    pub stall: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_clients: 256,
            events_per_tick: 50,
            stall: Span::from_secs(8),
        }
    }
}
