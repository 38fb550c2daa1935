//! Why nobody is told of an alert now: silences, maintenance windows, and alerts that inhibit it.
//!
//! Pure: the caller asks anew when [`Mutes::next_change`] has come, and when an alert that inhibits others begins or ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamflow_model::{Inhibition, Maintenance, RuleError, Silence};

use crate::{calendar::Calendar, matchers::Matchers};

type Labels = BTreeMap<String, String>;

/// Everything that mutes.
#[derive(Debug, Default)]
pub(crate) struct Mutes {
    silences: BTreeMap<String, (Silence, Matchers)>,
    windows: BTreeMap<String, Window>,
    inhibit: Vec<Inhibitor>,
}

/// A maintenance window, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) maintenance: Maintenance,
    matchers: Matchers,
    calendar: Calendar,
}

/// A rule of inhibition, compiled, with the alerts that are its sources now.
#[derive(Debug)]
pub(crate) struct Inhibitor {
    source: Matchers,
    target: Matchers,
    equal: Vec<String>,
    /// By the values of `equal`: group keys and ids of firing sources.
    firing: HashMap<Vec<String>, BTreeMap<String, String>>,
}

impl Window {
    pub(crate) fn compile(maintenance: Maintenance) -> Result<Self, Vec<RuleError>> {
        let matchers = Matchers::compile("matchers", &maintenance.matchers);
        let calendar = Calendar::compile("hours", &maintenance.hours);
        match (matchers, calendar) {
            (Ok(matchers), Ok(calendar)) => Ok(Self {
                maintenance,
                matchers,
                calendar,
            }),
            (matchers, calendar) => {
                let mut errors = matchers.err().unwrap_or_default();
                errors.extend(calendar.err().unwrap_or_default());
                Err(errors)
            }
        }
    }

    /// Whether it mutes at this moment what matches.
    pub(crate) fn is_on(&self, now: i64) -> bool {
        let Maintenance {
            starts_at,
            ends_at,
            enabled,
            ..
        } = &self.maintenance;
        *enabled
            && starts_at.is_none_or(|at| at.0 <= now)
            && ends_at.is_none_or(|at| now < at.0)
            && self.calendar.contains(now)
    }

    /// When [`Self::is_on`] may change.
    pub(crate) fn next_change(&self, now: i64) -> Option<i64> {
        let Maintenance { starts_at, ends_at, .. } = &self.maintenance;
        let bounds = [*starts_at, *ends_at].into_iter().flatten().map(|at| at.0);
        let edges = bounds.chain(self.calendar.next_change(now));
        edges.filter(|at| *at > now && self.maintenance.enabled).min()
    }
}

impl Inhibitor {
    /// `field` is the rule's place in the document, for the errors.
    pub(crate) fn compile(field: &str, rule: &Inhibition) -> Result<Self, Vec<RuleError>> {
        let source = Matchers::compile(&format!("{field}.source"), &rule.source);
        let target = Matchers::compile(&format!("{field}.target"), &rule.target);
        match (source, target) {
            (Ok(source), Ok(target)) => Ok(Self {
                source,
                target,
                equal: rule.equal.clone(),
                firing: HashMap::new(),
            }),
            (source, target) => {
                let mut errors = source.err().unwrap_or_default();
                errors.extend(target.err().unwrap_or_default());
                Err(errors)
            }
        }
    }

    fn values(&self, labels: &Labels) -> Vec<String> {
        let value = |name: &String| labels.get(name).cloned().unwrap_or_default();
        self.equal.iter().map(value).collect()
    }
}

impl Mutes {
    /// Adds or replaces a silence.
    pub(crate) fn put_silence(&mut self, silence: Silence, matchers: Matchers) {
        self.silences.insert(silence.id.clone(), (silence, matchers));
    }

    /// Removes a silence.
    pub(crate) fn remove_silence(&mut self, id: &str) {
        self.silences.remove(id);
    }

    /// Silences by id, expired ones among them.
    pub(crate) fn silences(&self) -> impl ExactSizeIterator<Item = &Silence> {
        self.silences.values().map(|(silence, _)| silence)
    }

    /// One silence.
    pub(crate) fn silence(&self, id: &str) -> Option<&Silence> {
        self.silences.get(id).map(|(silence, _)| silence)
    }

    /// Silences that ended before `oldest`, and the oldest expired ones of more than `most`.
    pub(crate) fn expired(&self, oldest: i64, now: i64, most: usize) -> Vec<String> {
        let surplus = self.silences.len().saturating_sub(most);
        let over = |silence: &&Silence| silence.ends_at.0 <= now;
        let expired: Vec<&Silence> = self.silences().filter(over).collect();
        let old = expired.iter().filter(|silence| silence.ends_at.0 < oldest);
        let ids: BTreeSet<String> = old
            .chain(expired.iter().take(surplus))
            .map(|silence| silence.id.clone())
            .collect();
        ids.into_iter().collect()
    }

    /// Adds or replaces a maintenance window.
    pub(crate) fn put_window(&mut self, window: Window) {
        self.windows.insert(window.maintenance.name.clone(), window);
    }

    /// Removes a maintenance window.
    pub(crate) fn remove_window(&mut self, name: &str) -> bool {
        self.windows.remove(name).is_some()
    }

    /// Maintenance windows by name.
    pub(crate) const fn windows(&self) -> &BTreeMap<String, Window> {
        &self.windows
    }

    /// Replaces the rules of inhibition; the caller names the firing alerts anew with [`Self::source`].
    pub(crate) fn set_inhibition(&mut self, rules: Vec<Inhibitor>) {
        self.inhibit = rules;
    }

    /// The rules of inhibition, with no alert that fires.
    pub(crate) fn inhibition(&self) -> Vec<Inhibitor> {
        let bare = |rule: &Inhibitor| Inhibitor {
            source: rule.source.clone(),
            target: rule.target.clone(),
            equal: rule.equal.clone(),
            firing: HashMap::new(),
        };
        self.inhibit.iter().map(bare).collect()
    }

    /// Whether there is a rule of inhibition.
    pub(crate) const fn inhibits(&self) -> bool {
        !self.inhibit.is_empty()
    }

    /// Whether nothing can mute an alert.
    pub(crate) fn is_idle(&self) -> bool {
        self.silences.is_empty() && self.windows.is_empty() && self.inhibit.is_empty()
    }

    /// Silences and maintenance windows alone.
    pub(crate) fn without_inhibition(&self) -> Self {
        Self {
            silences: self.silences.clone(),
            windows: self.windows.clone(),
            inhibit: Vec::new(),
        }
    }

    /// An alert began to fire (or goes on to), or is over; answers whether that changes what others may do.
    pub(crate) fn source(&mut self, key: &str, id: &str, labels: &Labels, firing: bool) -> bool {
        let mut moved = false;
        for rule in &mut self.inhibit {
            if !rule.source.hold(labels) {
                continue;
            }
            let values = rule.values(labels);
            if firing {
                let sources = rule.firing.entry(values).or_default();
                moved |= sources.insert(key.to_owned(), id.to_owned()).is_none();
            } else if let Some(sources) = rule.firing.get_mut(&values) {
                moved |= sources.remove(key).is_some();
                if sources.is_empty() {
                    rule.firing.remove(&values);
                }
            }
        }
        moved
    }

    /// Why nobody is told of this alert now; empty when people are.
    pub(crate) fn reasons(&self, key: &str, labels: &Labels, now: i64) -> Vec<String> {
        let active = |silence: &Silence| silence.starts_at.0 <= now && now < silence.ends_at.0;
        let silences = self.silences.values();
        let silences = silences.filter(|(silence, matchers)| active(silence) && matchers.hold(labels));
        let windows = self.windows.values();
        let windows = windows.filter(|window| window.is_on(now) && window.matchers.hold(labels));
        let inhibitors = self.inhibit.iter().filter_map(|rule| rule.inhibited_by(key, labels));
        silences
            .map(|(silence, _)| format!("silence:{}", silence.id))
            .chain(windows.map(|window| format!("maintenance:{}", window.maintenance.name)))
            .chain(inhibitors.map(|id| format!("inhibition:{id}")))
            .collect()
    }

    /// When [`Self::reasons`] may change because of time alone.
    pub(crate) fn next_change(&self, now: i64) -> Option<i64> {
        let silences = self.silences();
        let edges = silences.flat_map(|silence| [silence.starts_at.0, silence.ends_at.0]);
        let edges = edges.filter(|at| *at > now);
        let windows = self.windows.values().filter_map(|window| window.next_change(now));
        edges.chain(windows).min()
    }
}

impl Inhibitor {
    /// The source that inhibits an alert: another one, and never one of two that inhibit each other by the same rule.
    fn inhibited_by(&self, key: &str, labels: &Labels) -> Option<&String> {
        if self.firing.is_empty() || !self.target.hold(labels) || self.source.hold(labels) {
            return None;
        }
        let sources = self.firing.get(&self.values(labels))?;
        sources
            .iter()
            .find(|(source, _)| source.as_str() != key)
            .map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests;
