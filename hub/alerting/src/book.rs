//! All incidents, rules and channels in memory: what a verdict, the clock or a person changes, and what must then be written.
//!
//! Pure: values and `now` in, changes out. The caller makes the changes durable before anybody sees them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use streamflow_model::{Alert, AlertState, Channel, Instant, Level, OpenGroup, Rule, Signal};

use crate::{
    history::History,
    incident::{Incident, SYSTEM, Step},
    options::Options,
    outbox::Outgoing,
    text,
};

/// What has changed since the changes were last taken.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Incidents to write.
    pub(crate) written: BTreeSet<String>,
    /// Incidents whose value moved.
    pub(crate) touched: BTreeSet<String>,
    /// Alerts that are forgotten, as they were last; their documents go.
    pub(crate) forgotten: Vec<Alert>,
    /// Ids of documents that retention removes.
    pub(crate) expired: Vec<String>,
    /// Notifications to write and send.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Level of each alert that began to fire.
    pub(crate) fired: Vec<Level>,
    /// Verdicts of new groups refused because too many incidents are open.
    pub(crate) refused: u64,
}

/// Rules, channels and the newest incident of each group.
#[derive(Debug)]
pub(crate) struct Book {
    options: Options,
    external_url: String,
    rules: BTreeMap<String, Arc<Rule>>,
    /// Verdicts of older versions of a rule, still under way when it began to ask something else, no longer count.
    asks_since: HashMap<String, i64>,
    channels: BTreeMap<String, Arc<Channel>>,
    groups: HashMap<String, Slot>,
    ids: HashMap<String, String>,
    timers: BTreeSet<(i64, String)>,
    history: History,
    open: usize,
    changes: Changes,
}

#[derive(Debug)]
struct Slot {
    incident: Incident,
    due: Option<i64>,
    /// The closed incident before, while this one may still be forgotten: it knows when the group was last told of.
    before: Option<Box<Incident>>,
}

impl Book {
    /// From what is stored; `incidents` newest first.
    pub(crate) fn load(
        options: Options,
        external_url: &str,
        rules: Vec<Rule>,
        channels: Vec<Channel>,
        incidents: Vec<Incident>,
        now: i64,
    ) -> Self {
        let rules = rules
            .into_iter()
            .map(|rule| (rule.id.clone(), Arc::new(rule)))
            .collect();
        let channels = channels
            .into_iter()
            .map(|channel| (channel.name.clone(), Arc::new(channel)))
            .collect();
        let mut book = Self {
            options,
            external_url: external_url.trim_end_matches('/').to_owned(),
            rules,
            asks_since: HashMap::new(),
            channels,
            groups: HashMap::new(),
            ids: HashMap::new(),
            timers: BTreeSet::new(),
            history: History::default(),
            open: 0,
            changes: Changes::default(),
        };
        for incident in incidents.iter().rev().filter(|incident| !incident.is_open()) {
            book.history.add(&incident.alert);
        }
        for mut incident in incidents {
            let key = incident.alert.group_key.clone();
            if let Some(newer) = book.groups.get_mut(&key) {
                if newer.incident.alert.fired_at.is_none() && newer.before.is_none() {
                    newer.before = Some(Box::new(incident));
                }
                continue;
            }
            if let Some(rule) = book.rules.get(&incident.alert.rule_id) {
                let earliest = now + book.options.restart_grace.ms() - rule.draft.hold.ms();
                incident.memory.held_from = incident.memory.held_from.max(earliest);
            }
            book.insert(key, incident);
        }
        let orphans: BTreeSet<String> = book.open_alerts().map(|alert| alert.rule_id.clone()).collect();
        for rule_id in orphans {
            if book.rules.get(&rule_id).is_none_or(|rule| !rule.draft.enabled) {
                book.close_all(&rule_id, SYSTEM, "its rule is gone", now);
            }
        }
        book
    }

    /// Takes verdicts in.
    pub(crate) fn signals(&mut self, signals: &[Signal], now: i64) {
        for signal in signals {
            let Some(rule) = self
                .rules
                .get(&signal.rule_id)
                .filter(|rule| rule.draft.enabled)
                .map(Arc::clone)
            else {
                continue;
            };
            if self
                .asks_since
                .get(&signal.rule_id)
                .is_some_and(|version| signal.rule_version < *version)
            {
                continue;
            }
            let key = group_key(signal);
            let (seen, open, last_told) = match self.groups.get(&key) {
                Some(Slot { incident, .. }) => (
                    incident.has_seen(signal),
                    incident.is_open(),
                    incident.memory.notified_at,
                ),
                None => (false, false, None),
            };
            if open {
                self.apply(&key, now, |incident, rule| incident.signal(rule, signal, now));
            } else if signal.met && !seen && self.open >= self.options.max_open {
                self.changes.refused += 1;
            } else if signal.met && !seen {
                let (incident, step) = Incident::open(&rule, key.clone(), last_told, signal, now);
                self.insert(key.clone(), incident);
                self.changes
                    .fired
                    .extend((step != Step::Changed).then_some(rule.draft.level));
                self.follow(&key, step, now);
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: i64) {
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, key)) = self.timers.pop_first() {
                self.apply(&key, now, |incident, rule| incident.tick(rule, now));
            }
        }
        let oldest = now - self.options.keep_for.ms();
        for closed in self.history.expire(oldest, self.options.keep_at_most) {
            match self.groups.get_mut(&closed.group_key) {
                Some(slot) if slot.incident.alert.id == closed.id => drop(self.groups.remove(&closed.group_key)),
                Some(slot) if slot.before.as_ref().is_some_and(|before| before.alert.id == closed.id) => {
                    slot.before = None
                }
                _ => {}
            }
            self.ids.remove(&closed.id);
            self.changes.expired.push(closed.id);
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<i64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// A person takes an alert; `None` when it is not in memory.
    pub(crate) fn acknowledge(&mut self, id: &str, by: &str, comment: &str, now: i64) -> Option<Alert> {
        let key = self.ids.get(id)?.clone();
        let apply = |incident: &mut Incident, _: &Rule| {
            let new = incident.is_open() && incident.acknowledge(by, comment, now);
            if new { Step::Changed } else { Step::Ignored }
        };
        self.apply(&key, now, apply);
        self.by_id(id).map(|incident| incident.alert.clone())
    }

    /// A person closes an alert; `None` when it is not in memory.
    pub(crate) fn resolve(&mut self, id: &str, by: &str, comment: &str, now: i64) -> Option<Alert> {
        let key = self.ids.get(id)?.clone();
        self.apply(&key, now, |incident, _| incident.resolve(by, comment, now));
        self.by_id(id).map(|incident| incident.alert.clone())
    }

    /// What came of a notification, for the alert's history.
    pub(crate) fn note(&mut self, alert_id: &str, what: &str, detail: &str, now: i64) {
        let Some(key) = self.ids.get(alert_id).cloned() else {
            return;
        };
        if let Some(slot) = self
            .groups
            .get_mut(&key)
            .filter(|slot| slot.incident.alert.id == alert_id)
        {
            slot.incident.note(now, what, SYSTEM, detail);
            self.changes.written.insert(key);
        }
    }

    /// Adds or replaces a rule. Alerts of a rule that now asks something else, or nothing, are over.
    pub(crate) fn put_rule(&mut self, rule: Rule, by: &str, now: i64) {
        let before = self.rules.insert(rule.id.clone(), Arc::new(rule.clone()));
        let Some(before) = before else { return };
        if !rule.draft.enabled {
            self.close_all(&rule.id, by, "its rule was disabled", now);
        } else if !asks_the_same(&before, &rule) {
            self.asks_since.insert(rule.id.clone(), rule.version);
            self.close_all(&rule.id, by, "its rule was changed", now);
        } else {
            let keys: Vec<String> = self.keys_of(&rule.id);
            keys.into_iter().for_each(|key| self.reschedule(&key));
        }
    }

    /// Removes a rule; its alerts are over.
    pub(crate) fn remove_rule(&mut self, id: &str, by: &str, now: i64) -> Option<Arc<Rule>> {
        self.close_all(id, by, "its rule was deleted", now);
        self.asks_since.remove(id);
        self.rules.remove(id)
    }

    /// Adds or replaces a channel.
    pub(crate) fn put_channel(&mut self, channel: Channel) {
        self.channels.insert(channel.name.clone(), Arc::new(channel));
    }

    /// Removes a channel.
    pub(crate) fn remove_channel(&mut self, name: &str) {
        self.channels.remove(name);
    }

    /// Rules by id.
    pub(crate) const fn rules(&self) -> &BTreeMap<String, Arc<Rule>> {
        &self.rules
    }

    /// Channels by name.
    pub(crate) const fn channels(&self) -> &BTreeMap<String, Arc<Channel>> {
        &self.channels
    }

    /// Alerts that are not over.
    pub(crate) fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.groups
            .values()
            .filter(|slot| slot.incident.is_open())
            .map(|slot| &slot.incident.alert)
    }

    /// Groups that wait for a verdict that ends their alert.
    pub(crate) fn open_groups(&self) -> Vec<OpenGroup> {
        let incidents = self.groups.values().map(|slot| &slot.incident);
        incidents
            .filter(|incident| incident.is_open())
            .map(Incident::group)
            .collect()
    }

    /// The newest incident of a group.
    pub(crate) fn incident(&self, group_key: &str) -> Option<&Incident> {
        self.groups.get(group_key).map(|slot| &slot.incident)
    }

    /// An incident that is the newest of its group.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Incident> {
        let incident = self.ids.get(id).and_then(|key| self.incident(key));
        incident.filter(|incident| incident.alert.id == id)
    }

    /// Alerts that are over.
    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// What has changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        mem::take(&mut self.changes)
    }

    fn keys_of(&self, rule_id: &str) -> Vec<String> {
        let open = self.groups.iter().filter(|(_, slot)| slot.incident.is_open());
        open.filter(|(_, slot)| slot.incident.alert.rule_id == rule_id)
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn close_all(&mut self, rule_id: &str, by: &str, reason: &str, now: i64) {
        for key in self.keys_of(rule_id) {
            let Some(slot) = self.groups.get_mut(&key) else {
                continue;
            };
            let step = slot.incident.resolve(by, reason, now);
            self.follow(&key, step, now);
        }
    }

    fn insert(&mut self, key: String, incident: Incident) {
        let open = incident.is_open();
        self.open += usize::from(open);
        self.ids.insert(incident.alert.id.clone(), key.clone());
        let before = self.groups.remove(&key).map(|slot| Box::new(slot.incident));
        if let Some(before) = &before {
            self.ids.remove(&before.alert.id);
        }
        self.groups.insert(
            key.clone(),
            Slot {
                incident,
                due: None,
                before,
            },
        );
        if open {
            self.reschedule(&key);
        }
    }

    fn apply(&mut self, key: &str, now: i64, step: impl FnOnce(&mut Incident, &Rule) -> Step) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let Some(rule) = self.rules.get(&slot.incident.alert.rule_id) else {
            return;
        };
        let fired_before = slot.incident.alert.fired_at;
        let step = if slot.incident.is_open() {
            step(&mut slot.incident, rule)
        } else {
            Step::Ignored
        };
        if fired_before.is_none() && slot.incident.alert.fired_at.is_some() {
            self.changes.fired.push(slot.incident.alert.level);
        }
        self.follow(key, step, now);
    }

    /// Books what a step of one incident entails.
    fn follow(&mut self, key: &str, step: Step, now: i64) {
        match step {
            Step::Ignored => {}
            Step::Touched => drop(self.changes.touched.insert(key.to_owned())),
            Step::Changed => drop(self.changes.written.insert(key.to_owned())),
            Step::Tell => {
                self.changes.written.insert(key.to_owned());
                self.tell(key, now);
            }
            Step::Gone => return self.forget(key, now),
        }
        if let Some(slot) = self
            .groups
            .get(key)
            .filter(|slot| step != Step::Ignored && !slot.incident.is_open())
        {
            self.open -= 1;
            self.history.add(&slot.incident.alert);
        }
        if let Some(slot) = self
            .groups
            .get_mut(key)
            .filter(|slot| slot.incident.alert.fired_at.is_some())
        {
            slot.before = None;
        }
        self.reschedule(key);
    }

    fn forget(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.remove(key) else { return };
        self.unschedule(slot.due, key);
        self.open -= 1;
        self.changes.written.remove(key);
        self.changes.touched.remove(key);
        let Incident { mut alert, memory } = slot.incident;
        self.ids.remove(&alert.id);
        if let Some(mut before) = slot.before {
            before.memory.seen = memory.seen;
            self.ids.insert(before.alert.id.clone(), key.to_owned());
            self.groups.insert(
                key.to_owned(),
                Slot {
                    incident: *before,
                    due: None,
                    before: None,
                },
            );
        }
        alert.state = AlertState::Resolved;
        alert.resolved_at = Some(Instant(now));
        self.changes.forgotten.push(alert);
    }

    fn tell(&mut self, key: &str, now: i64) {
        let Some(Slot { incident, .. }) = self.groups.get_mut(key) else {
            return;
        };
        let firing = incident.is_open();
        let names = match self.rules.get(&incident.alert.rule_id).filter(|_| firing) {
            Some(rule) => rule.draft.channels.clone(),
            None => incident.memory.told.clone(),
        };
        incident.memory.notices += 1;
        for name in names {
            let takes = |channel: &&Arc<Channel>| channel.enabled && (!firing || incident.alert.level >= channel.level);
            if self.channels.get(&name).filter(takes).is_none() {
                continue;
            }
            self.changes
                .outgoing
                .push(Outgoing::about(incident, &name, &self.external_url, now));
            if firing && !incident.memory.told.contains(&name) {
                incident.memory.told.push(name);
            }
        }
    }

    fn reschedule(&mut self, key: &str) {
        let Some(slot) = self.groups.get_mut(key) else { return };
        let rule = self.rules.get(&slot.incident.alert.rule_id);
        let due = rule
            .filter(|_| slot.incident.is_open())
            .and_then(|rule| slot.incident.due(rule));
        let before = mem::replace(&mut slot.due, due);
        self.unschedule(before, key);
        self.timers.extend(due.map(|due| (due, key.to_owned())));
    }

    fn unschedule(&mut self, due: Option<i64>, key: &str) {
        if let Some(due) = due {
            self.timers.remove(&(due, key.to_owned()));
        }
    }
}

/// One open alert for each rule and group: `<rule id>{source=web-1}`.
fn group_key(signal: &Signal) -> String {
    format!("{}{{{}}}", signal.rule_id, text::group(&signal.labels))
}

/// Whether alerts of the old rule are alerts of the new one.
fn asks_the_same(old: &Rule, new: &Rule) -> bool {
    let question = |rule: &Rule| {
        let d = &rule.draft;
        let texts = [d.matches.clone(), d.aggregate.clone(), d.condition.clone()];
        (
            texts,
            d.kind,
            d.window,
            d.group_by.clone(),
            d.threshold.map(f64::to_bits),
            d.evaluate,
            (d.plugin.clone(), d.config.clone()),
        )
    };
    old.draft.enabled && question(old) == question(new)
}

#[cfg(test)]
mod tests;
