//! Configuration section `[alerting]`.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// What operators may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Incidents open at once; more are refused and counted, so that a rule with endless groups cannot take all memory.
    pub max_open: usize,
    /// After a start, pending alerts wait at least this long, so that analytics can catch up before they fire.
    pub restart_grace: Span,
    /// Notifications sent at once to one channel.
    pub channel_concurrency: usize,
    /// Longest time for one attempt.
    pub send_timeout: Span,
    /// Wait after the first failed attempt; doubles with each one.
    pub retry_first: Span,
    /// Longest wait between attempts.
    pub retry_longest: Span,
    /// Attempts before a notification is given up.
    pub max_attempts: u32,
    /// Age at which a notification is given up.
    pub max_age: Span,
    /// Closed alerts are removed after this long.
    pub keep_for: Span,
    /// Closed alerts, and finished deliveries, kept at most.
    pub keep_at_most: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_open: 100_000,
            restart_grace: Span::from_secs(10),
            channel_concurrency: 8,
            send_timeout: Span::from_secs(30),
            retry_first: Span::from_secs(1),
            retry_longest: Span::from_secs(300),
            max_attempts: 500,
            max_age: Span::from_secs(24 * 3600),
            keep_for: Span::from_secs(30 * 86_400),
            keep_at_most: 10_000,
        }
    }
}
