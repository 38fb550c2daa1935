//! The host's side of one instance: its budget, its rights, and its log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounter;
use streamflow_component::Manifest;

use super::{
    bindings::{streamflow::plugin as host, wit_member},
    budget::Budget,
};
use crate::{
    Member,
    egress::Egress,
    journal::{Entry, Journal, LineLevel},
    mail::Mailer,
    meters::Outcomes,
    secrets::{Secrets, hide},
};

/// Lines of one plugin per second that reach the log.
const MAX_LINES: u32 = 100;
/// Longest line.
const MAX_LINE: usize = 4096;
/// Requests of one call.
const MAX_REQUESTS: u32 = 16;
/// Mail messages of one call: a second one would go out again whenever the first fails.
const MAX_MAILS: u32 = 1;

/// What the instances of one plugin have in common.
#[derive(Debug)]
pub(crate) struct GuestSetup {
    pub(crate) manifest: Arc<Manifest>,
    /// The way out; agents have none.
    pub(crate) egress: Option<Arc<Egress>>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) lines: Mutex<Lines>,
    pub(crate) lines_dropped: IntCounter,
    pub(crate) http: Outcomes,
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) mail: Outcomes,
    pub(crate) journal: Arc<Journal>,
}

/// What the store of an instance holds.
pub(crate) struct Guest {
    pub(crate) budget: Budget,
    pub(crate) setup: Arc<GuestSetup>,
    /// The channel or rule that it works for.
    pub(crate) used_by: Arc<str>,
    pub(crate) config: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Names of the secrets that it may use.
    pub(crate) may: Vec<String>,
    /// The configuration's own secret texts, never to be shown.
    hidden: Vec<String>,
    said: Option<String>,
    /// Its number among the plugin's instances.
    instance: u64,
    requests: u32,
    mails: u32,
    /// Recipients that the relay refused of a message that went out to others in this call, each with the reason.
    pub(crate) unreached: Vec<String>,
    pub(crate) waited: Duration,
    /// Alerts of the notice that is being delivered, and how many more it tells of.
    pub(crate) group: (Vec<Member>, u32),
}

impl Guest {
    pub(crate) fn new(
        setup: Arc<GuestSetup>,
        budget: Budget,
        used_by: Arc<str>,
        config: Arc<serde_json::Map<String, serde_json::Value>>,
    ) -> Self {
        let instance = setup.journal.instance();
        let mut may = setup.manifest.secrets.clone();
        texts(config.values(), &mut |text| {
            may.extend(crate::secrets::names(text).map(str::to_owned))
        });
        let mut hidden = Vec::new();
        let keys = setup.manifest.secret_keys();
        texts(keys.iter().filter_map(|key| config.get(key)), &mut |text| {
            hidden.push(text.to_owned())
        });
        Self {
            budget,
            setup,
            used_by,
            config,
            may,
            hidden,
            said: None,
            instance,
            requests: 0,
            mails: 0,
            unreached: Vec::new(),
            waited: Duration::ZERO,
            group: (Vec::new(), 0),
        }
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self, ticks: u32) {
        self.budget.refill(ticks);
        self.said = None;
        self.requests = MAX_REQUESTS;
        self.mails = MAX_MAILS;
        self.unreached.clear();
        self.waited = Duration::ZERO;
    }

    /// Takes one request of this call's allowance.
    pub(crate) const fn take_request(&mut self) -> bool {
        let left = self.requests > 0;
        self.requests = self.requests.saturating_sub(1);
        left
    }

    /// Takes one mail message of this call's allowance.
    pub(crate) const fn take_mail(&mut self) -> bool {
        let left = self.mails > 0;
        self.mails = self.mails.saturating_sub(1);
        left
    }

    /// The last error line of this call.
    pub(crate) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Text of a plugin as it may be shown in one line: no secrets, no control characters, not endless.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.shown_lines(text).replace('\n', " ")
    }

    /// The same with its line ends.
    pub(crate) fn shown_lines(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.setup.secrets.redact(&mut text);
        for value in &self.hidden {
            hide(&mut text, value);
        }
        let mut length = 0;
        let fits = |c: &char| {
            length += c.len_utf8();
            length <= MAX_LINE
        };
        text.chars()
            .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
            .take_while(fits)
            .collect()
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a serde_json::Value>, found: &mut impl FnMut(&str)) {
    use serde_json::Value;
    // An explicit stack: the depth of a configuration is its author's choice.
    let mut left: Vec<&Value> = values.collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => found(text),
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Lets so many lines a second through.
#[derive(Debug)]
pub(crate) struct Lines {
    since: Instant,
    left: u32,
}

impl Lines {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            left: MAX_LINES,
        }
    }

    fn pass(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        let pass = self.left > 0;
        self.left = self.left.saturating_sub(1);
        pass
    }
}

impl host::types::Host for Guest {}

impl host::group::Host for Guest {
    fn members(&mut self, most: u32) -> host::group::Listing {
        let (members, omitted) = &self.group;
        let listed = members.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let left = u32::try_from(members.len() - listed).unwrap_or(u32::MAX);
        host::group::Listing {
            members: members.iter().take(listed).map(wit_member).collect(),
            omitted: omitted.saturating_add(left),
        }
    }
}

impl host::log::Host for Guest {
    fn write(&mut self, verbosity: host::log::Verbosity, message: String) {
        use host::log::Verbosity;
        let line = self.shown(&message);
        if verbosity == Verbosity::Error {
            self.said = Some(line.clone());
        }
        if !self
            .setup
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pass(Instant::now())
        {
            self.setup.lines_dropped.inc();
            self.setup.journal.drop_line();
            return;
        }
        let entry = Entry {
            level: match verbosity {
                Verbosity::Debug => LineLevel::Debug,
                Verbosity::Info => LineLevel::Info,
                Verbosity::Warn => LineLevel::Warn,
                Verbosity::Error => LineLevel::Error,
            },
            version: &self.setup.manifest.version,
            used_by: &self.used_by,
            instance: Some(self.instance),
            line: &line,
        };
        self.setup.journal.push(streamflow_model::Instant::now(), entry);
        let (plugin, used_by) = (self.setup.manifest.name.as_str(), &*self.used_by);
        match verbosity {
            Verbosity::Debug => tracing::debug!(plugin, used_by, line, "plugin says"),
            Verbosity::Info => tracing::info!(plugin, used_by, line, "plugin says"),
            Verbosity::Warn => tracing::warn!(plugin, used_by, line, "plugin says"),
            Verbosity::Error => tracing::error!(plugin, used_by, line, "plugin says"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        assert_eq!((0..1000).filter(|_| lines.pass(start)).count(), 100);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| lines.pass(later)).count(), 100);
    }
}
