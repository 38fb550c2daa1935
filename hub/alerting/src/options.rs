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
    /// An alert whose window ended longer ago than this is marked as late.
    pub late_after: Span,
    /// So many changes of a condition within `flap_window` are flapping; 0 turns its detection off.
    pub flap_changes: usize,
    /// See `flap_changes`; a flapping alert ends when it has been quiet for as long.
    pub flap_window: Span,
    /// Notifications sent at once to one channel.
    pub channel_concurrency: usize,
    /// Longest time for one attempt.
    pub send_timeout: Span,
    /// Wait after the first failed attempt; doubles with each one.
    pub retry_first: Span,
    /// Longest wait between attempts.
    pub retry_longest: Span,
    /// Failed attempts in a row after which a channel is left alone for a while; 0 = never.
    pub breaker_failures: u32,
    /// How long it is left alone the first time; doubles with each time that it fails again.
    pub breaker_pause: Span,
    /// Longest time that it is left alone.
    pub breaker_longest: Span,
    /// How long the link in a message acknowledges; 0 = messages have none.
    pub link_ttl: Span,
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
            late_after: Span::from_secs(120),
            flap_changes: 5,
            flap_window: Span::from_secs(900),
            channel_concurrency: 8,
            send_timeout: Span::from_secs(30),
            retry_first: Span::from_secs(1),
            retry_longest: Span::from_secs(300),
            breaker_failures: 5,
            breaker_pause: Span::from_secs(30),
            breaker_longest: Span::from_secs(300),
            link_ttl: Span::from_secs(86_400),
            max_attempts: 500,
            max_age: Span::from_secs(24 * 3600),
            keep_for: Span::from_secs(30 * 86_400),
            keep_at_most: 10_000,
        }
    }
}
