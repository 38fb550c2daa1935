//! Configuration section `[self]`.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

use super::check::Check;

/// Shortest and longest time between two looks.
const INTERVAL: (Span, Span) = (Span::from_ms(100), Span::from_secs(60));

/// Section `[self]`: by what the hub watches itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether it does so at all.
    pub enabled: bool,
    /// Time between two looks.
    pub interval: Span,
    /// Whether an agent of which nothing is heard is an alert.
    pub agent_silent: bool,
    /// For how long nothing was heard of it.
    pub agent_silent_after: Span,
    /// Whether an agent that drops events is an alert.
    pub agent_dropping: bool,
    /// Whether an agent whose clock is off is an alert.
    pub agent_clock: bool,
    /// By how much, ahead or behind.
    pub agent_clock_off: Span,
    /// Whether a plugin in quarantine is an alert.
    pub plugin_quarantined: bool,
    /// Whether a channel that does not work, or that has given up notifications, is an alert.
    pub channel_failing: bool,
    /// Whether a store that is nearly full is an alert.
    pub store_full: bool,
    /// So many per cent of the disk, or of `storage.max_mib`, are nearly full.
    pub store_full_percent: u8,
    /// Whether an engine that falls behind the log is an alert.
    pub log_lag: bool,
    /// For how long the oldest batch that it has not read has been stored.
    pub log_lag_after: Span,
    /// Whether a certificate near its end is an alert.
    pub certificate: bool,
    /// So long before its end; for agents a quarter of `quic.certificate_ttl` when that is shorter.
    pub certificate_before: Span,
    /// Drops and dead letters are over when there were no more of them for this long.
    pub quiet_after: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Span::from_secs(5),
            agent_silent: true,
            agent_silent_after: Span::from_secs(120),
            agent_dropping: true,
            agent_clock: true,
            agent_clock_off: Span::from_secs(5),
            plugin_quarantined: true,
            channel_failing: true,
            store_full: true,
            store_full_percent: 90,
            log_lag: true,
            log_lag_after: Span::from_secs(60),
            certificate: true,
            certificate_before: Span::from_secs(14 * 86_400),
            quiet_after: Span::from_secs(600),
        }
    }
}

impl Options {
    /// Whether a check is made.
    pub const fn wants(&self, check: Check) -> bool {
        self.enabled
            && match check {
                Check::AgentSilent => self.agent_silent,
                Check::AgentDropping => self.agent_dropping,
                Check::AgentClock => self.agent_clock,
                Check::PluginQuarantined => self.plugin_quarantined,
                Check::ChannelFailing => self.channel_failing,
                Check::StoreFull => self.store_full,
                Check::LogLag => self.log_lag,
                Check::Certificate => self.certificate,
            }
    }

    /// Values that cannot work: key and reason.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.interval < INTERVAL.0 || self.interval > INTERVAL.1 {
            wrong.push((
                "self.interval",
                format!("must be between {} and {}", INTERVAL.0, INTERVAL.1),
            ));
        }
        if !(1..=100).contains(&self.store_full_percent) {
            wrong.push(("self.store_full_percent", "must be between 1 and 100".to_owned()));
        }
        for (key, span) in [
            ("self.agent_silent_after", self.agent_silent_after),
            ("self.agent_clock_off", self.agent_clock_off),
            ("self.log_lag_after", self.log_lag_after),
        ] {
            if span == Span::ZERO {
                wrong.push((key, "must be longer than nothing".to_owned()));
            }
        }
        wrong
    }
}
