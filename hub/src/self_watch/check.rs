//! What is looked for, and the rules under which it is told.

use serde_json::json;
use streamflow_model::{Instant, Level, Rule, Span, rule::SELF};

use super::Options;

/// One thing that the hub looks for in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Nothing is heard of an agent.
    AgentSilent,
    /// An agent drops events.
    AgentDropping,
    /// An agent's clock is off.
    AgentClock,
    /// A plugin failed so often that it is not called any more.
    PluginQuarantined,
    /// A channel does not work, or has given up notifications.
    ChannelFailing,
    /// The store is nearly full.
    StoreFull,
    /// The engine falls behind the log.
    LogLag,
    /// A certificate is near its end.
    Certificate,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AgentSilent,
        Self::AgentDropping,
        Self::AgentClock,
        Self::PluginQuarantined,
        Self::ChannelFailing,
        Self::StoreFull,
        Self::LogLag,
        Self::Certificate,
    ];

    /// Its key in `[self]`, and the end of its rule's id.
    pub const fn key(self) -> &'static str {
        match self {
            Self::AgentSilent => "agent_silent",
            Self::AgentDropping => "agent_dropping",
            Self::AgentClock => "agent_clock",
            Self::PluginQuarantined => "plugin_quarantined",
            Self::ChannelFailing => "channel_failing",
            Self::StoreFull => "store_full",
            Self::LogLag => "log_lag",
            Self::Certificate => "certificate",
        }
    }

    /// The check of a rule.
    pub fn of_rule(rule_id: &str) -> Option<Self> {
        let key = rule_id.strip_prefix(SELF)?;
        Self::ALL.into_iter().find(|check| check.key() == key)
    }

    /// The id of its rule.
    pub fn rule_id(self) -> String {
        format!("{SELF}{}", self.key())
    }

    /// The name of its rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentSilent => "streamflow: agent silent",
            Self::AgentDropping => "streamflow: agent dropping",
            Self::AgentClock => "streamflow: agent's clock off",
            Self::PluginQuarantined => "streamflow: plugin quarantined",
            Self::ChannelFailing => "streamflow: channel failing",
            Self::StoreFull => "streamflow: store nearly full",
            Self::LogLag => "streamflow: log lag growing",
            Self::Certificate => "streamflow: certificate near its end",
        }
    }

    /// What it means, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::AgentSilent => "nothing was heard of an agent on the allow-list for agent_silent_after",
            Self::AgentDropping => "the losses that an agent reports grow; over after quiet_after without more",
            Self::AgentClock => "an agent's clock is agent_clock_off ahead or behind, for a minute",
            Self::PluginQuarantined => "a plugin failed so often that it is not called any more",
            Self::ChannelFailing => "a channel's breaker is not closed, or notifications to it were given up",
            Self::StoreFull => "the disk of data_dir, or storage.max_mib, is used to store_full_percent, for a minute",
            Self::LogLag => "rules are evaluated log_lag_after behind the log",
            Self::Certificate => "a certificate of the hub or of an agent ends within certificate_before",
        }
    }

    /// How bad it is.
    pub const fn level(self) -> Level {
        match self {
            Self::AgentClock | Self::Certificate => Level::Warning,
            _ => Level::Error,
        }
    }

    /// How long it must last before it is told.
    pub const fn hold(self) -> Span {
        match self {
            Self::AgentClock | Self::StoreFull => Span::from_secs(60),
            _ => Span::ZERO,
        }
    }

    /// The labels that tell its alerts apart.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::AgentSilent | Self::AgentDropping | Self::AgentClock => &["agent", "host"],
            Self::PluginQuarantined => &["plugin"],
            Self::ChannelFailing => &["channel"],
            Self::StoreFull | Self::LogLag => &[],
            Self::Certificate => &["certificate", "agent", "host"],
        }
    }

    /// Why an alert is over.
    pub const fn over(self) -> &'static str {
        match self {
            Self::AgentSilent => "it was heard again, or is no longer on the allow-list",
            Self::AgentDropping => "it has not dropped any more for a while",
            Self::AgentClock => "its clock agrees with the hub's again",
            Self::PluginQuarantined => "it is out of quarantine",
            Self::ChannelFailing => "it works again",
            Self::StoreFull => "there is room again",
            Self::LogLag => "the engine has caught up",
            Self::Certificate => "there is a new certificate, or the agent is no longer on the allow-list",
        }
    }
}

/// The rules under which it is told; those of checks that are switched off are there, and disabled.
pub fn rules(options: &Options) -> Vec<Rule> {
    let rule = |check: Check| {
        // Every other field has a default, and none of them is asked: the verdicts do not come from events.
        let draft = json!({
            "name": check.name(),
            "match": "false",
            "threshold": 0,
            "for": check.hold(),
            "level": check.level(),
            "labels": {"streamflow": "self", "check": check.key()},
            "enabled": options.wants(check),
            "tags": ["built in"],
            "metadata": {"about": check.about(), "key": format!("self.{}", check.key())},
        });
        Some(Rule {
            id: check.rule_id(),
            draft: serde_json::from_value(draft).ok()?,
            version: 1,
            created_at: Instant(0),
            updated_at: Instant(0),
            provisioned: None,
        })
    };
    Check::ALL.into_iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_rule_that_can_be_switched_off() {
        let options = Options {
            log_lag: false,
            ..Options::default()
        };
        let rules = rules(&options);
        assert_eq!(rules.len(), Check::ALL.len());
        for (rule, check) in rules.iter().zip(Check::ALL) {
            rule.draft.compile().unwrap();
            assert!(rule.is_builtin() && rule.draft.name.starts_with("streamflow: "));
            assert_eq!(Check::of_rule(&rule.id), Some(check));
            assert_eq!(rule.draft.enabled, check != Check::LogLag);
        }
        let none = Options {
            enabled: false,
            ..Options::default()
        };
        assert!(super::rules(&none).iter().all(|rule| !rule.draft.enabled));
    }
}
