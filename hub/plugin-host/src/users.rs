//! Who uses a plugin. Rules and channels are kept in other rooms; the hub says here whom to ask.

use std::sync::OnceLock;

/// Rules and channels that use a plugin, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginUsers {
    /// Rules of kind `plugin`.
    pub rules: Vec<String>,
    /// Channels.
    pub channels: Vec<String>,
}

type Ask = dyn Fn(&str) -> PluginUsers + Send + Sync;

/// Whom to ask; nobody uses anything until that is said.
#[derive(Default)]
pub(crate) struct Users(OnceLock<Box<Ask>>);

impl Users {
    pub(crate) fn ask(&self, ask: Box<Ask>) {
        if self.0.set(ask).is_err() {
            tracing::error!("who uses plugins was said twice; the first one is asked");
        }
    }

    pub(crate) fn of(&self, plugin: &str) -> PluginUsers {
        self.0.get().map(|ask| ask(plugin)).unwrap_or_default()
    }
}

impl PluginUsers {
    /// Nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.channels.is_empty()
    }
}

impl std::fmt::Display for PluginUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |what: &str, names: &[String]| match names {
            [] => None,
            [one] => Some(format!("{what} `{one}`")),
            many => Some(format!("{what}s `{}`", many.join("`, `"))),
        };
        let parts = [part("rule", &self.rules), part("channel", &self.channels)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named() {
        let users = |rules: &[&str], channels: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (rules, channels) = (names(rules), names(channels));
            PluginUsers { rules, channels }.to_string()
        };
        assert_eq!(users(&["a"], &[]), "rule `a`");
        assert_eq!(users(&["a", "b"], &["ops"]), "rules `a`, `b` and channel `ops`");
    }
}
