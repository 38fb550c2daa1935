//! What an operator may choose.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// Section `[analytics]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How far behind an agent's newest event its other events may be and still count.
    pub out_of_orderness: Span,
    /// An agent that has sent nothing for this long no longer holds windows open; windows also close this long after the last event of all.
    pub idle_timeout: Span,
    /// An agent whose newest event is older than this when it arrives does not hold windows open for the others.
    pub max_lag: Span,
    /// Events this far ahead of the hub's clock are stored, but in no window.
    pub max_future: Span,
    /// An agent that has sent nothing for this long is no longer missed when completeness is judged.
    pub forget_agents: Span,
    /// Most groups of one rule at a time; further ones are counted in the group `other`.
    pub max_groups: u32,
    /// Time between checkpoints.
    pub checkpoint_interval: Span,
    /// Events between checkpoints.
    pub checkpoint_events: u64,
    /// Most metrics that may be kept, those that come with the hub included.
    pub max_metrics: u32,
    /// Most series of one metric in a day; further ones are counted in the series `other`.
    pub metric_series: u32,
    /// Windows of metrics are written this often.
    pub rollup_interval: Span,
    /// Windows of a minute are kept this long.
    pub keep_minutes: Span,
    /// Windows of an hour are kept this long.
    pub keep_hours: Span,
    /// Windows of a day are kept this long.
    pub keep_days: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            out_of_orderness: Span::from_secs(2),
            idle_timeout: Span::from_secs(30),
            max_lag: Span::from_secs(60),
            max_future: Span::from_secs(600),
            forget_agents: Span::from_secs(600),
            max_groups: 10_000,
            checkpoint_interval: Span::from_secs(10),
            checkpoint_events: 1_000_000,
            max_metrics: 200,
            metric_series: 1000,
            rollup_interval: Span::from_secs(1),
            keep_minutes: Span::from_secs(60 * 86_400),
            keep_hours: Span::from_secs(400 * 86_400),
            keep_days: Span::from_secs(3650 * 86_400),
        }
    }
}
