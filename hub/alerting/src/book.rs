//! All incidents, rules and channels in memory: what a verdict, the clock or a person changes, and what must then be written.
//!
//! Pure: values and `now` in, changes out. The caller makes the changes durable before anybody sees them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    mem,
    sync::Arc,
};

use streamflow_model::{Alert, Channel, Escalation, Level, OpenGroup, Routing, Rule, Signal, drill::is_drill_rule};

use crate::{
    documents::Read,
    grouping::Group,
    held::{Gate, Held},
    history::History,
    id::AlertId,
    incident::{Incident, SYSTEM, Step},
    mute::Mutes,
    oncall::Roster,
    options::Options,
    outbox::Outgoing,
    packed::Packer,
    register::Register,
    route::{Compiled, Tree},
    text,
};

mod bundles;
mod cold;
mod drill;
mod external;
mod muting;
mod policies;
mod resting;
mod setup;
mod slots;
mod start;
mod telling;
mod under;

use bundles::Bundle;
use cold::Cold;

/// Timers of incidents that run before the changes are taken: of ten thousand that are due at once, nobody else waits for all.
const TIMERS: usize = 1000;

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
    /// Channels whose template failed, and why.
    pub(crate) template_failures: Vec<(String, String)>,
    /// Level of each alert that began to fire.
    pub(crate) fired: Vec<Level>,
    /// Groups of alerts to write, by key.
    pub(crate) groups: BTreeSet<String>,
    /// Ids of groups that are over; their documents go.
    pub(crate) groups_ended: Vec<String>,
    /// Incidents that changed and then gave way to a newer one of their group, as they were last: to write, and to show.
    pub(crate) replaced: Vec<Incident>,
    /// Incidents to write that are no longer the newest of their group.
    pub(crate) older: Vec<Incident>,
    /// Verdicts of new groups refused because too many incidents are open.
    pub(crate) refused: u64,
    /// What kept somebody from being told.
    pub(crate) held: Vec<Held>,
}

/// Rules, channels and the newest incident of each group.
#[derive(Debug)]
pub(crate) struct Book {
    options: Options,
    external_url: String,
    register: Register,
    /// Verdicts of older versions of a rule, still under way when it began to ask something else, no longer count.
    asks_since: HashMap<String, i64>,
    groups: HashMap<Arc<str>, Box<Slot>>,
    /// The others: those that nobody has touched for a while, when there are many.
    cold: Cold,
    packer: Packer,
    /// There are more to be laid to rest.
    tired: bool,
    /// Keys of those that are at hand.
    ids: HashMap<AlertId, Arc<str>>,
    timers: BTreeSet<(i64, AlertId)>,
    history: History,
    open: usize,
    /// Incidents to tell of as soon as everything of this moment is taken in.
    untold: BTreeSet<String>,
    mutes: Mutes,
    /// When silences or maintenance windows change next.
    mute_due: Option<i64>,
    /// What mutes has changed: incidents are to be asked anew.
    mutes_moved: bool,
    routing: Routing,
    tree: Tree,
    bundles: BTreeMap<String, Bundle>,
    bundle_timers: BTreeSet<(i64, String)>,
    /// Ids of alerts, and groups that have told of them, which is still to be noted in them; and when they did.
    marks: VecDeque<(AlertId, Arc<str>, i64)>,
    /// Timers that have run, and marks that were made, since the changes were last taken.
    done: Done,
    changes: Changes,
}

/// How much of what may be very much is in the changes already; the rest is of the next ones.
#[derive(Debug, Default)]
struct Done {
    timers: usize,
    marks: usize,
}

/// What is stored apart from incidents, as it is read at the start.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Rules.
    pub(crate) rules: Vec<Rule>,
    /// Rules that nobody has written, and that are not stored.
    pub(crate) builtin: Vec<Rule>,
    /// Channels.
    pub(crate) channels: Vec<Channel>,
    /// Escalation policies.
    pub(crate) escalations: Vec<Escalation>,
    /// On-call schedules.
    pub(crate) rosters: Vec<Roster>,
    /// Groups of alerts.
    pub(crate) groups: Vec<Group>,
    /// What mutes.
    pub(crate) mutes: Mutes,
    /// Who is told of alerts whose rule names nobody.
    pub(crate) routing: Option<(Routing, Compiled)>,
}

#[derive(Debug)]
struct Slot {
    incident: Incident,
    due: Option<i64>,
    /// The closed incident before, while this one may still be forgotten: it knows when the group was last told of.
    before: Option<Box<Incident>>,
}

impl Book {
    /// From what is stored, and all incidents at once, newest first.
    pub(crate) fn load(
        options: Options,
        external_url: &str,
        stored: Stored,
        incidents: Vec<Incident>,
        now: i64,
    ) -> Self {
        let mut book = Self::new(options, external_url, stored, now);
        book.take_up(incidents.into_iter().map(Read::from).collect(), now);
        book.taken_up(now);
        book
    }

    /// From what is stored: incidents follow with [`Self::take_up`].
    pub(crate) fn new(options: Options, external_url: &str, stored: Stored, now: i64) -> Self {
        let Stored {
            rules,
            builtin,
            channels,
            escalations,
            rosters,
            groups,
            mutes,
            routing,
        } = stored;
        let (routing, compiled) = routing.unzip();
        let mut register = Register::default();
        rules.into_iter().for_each(|rule| drop(register.put_rule(rule)));
        builtin.into_iter().for_each(|rule| register.put_builtin(rule));
        channels.into_iter().for_each(|channel| register.put_channel(channel));
        escalations
            .into_iter()
            .for_each(|policy| register.put_escalation(policy));
        rosters.into_iter().for_each(|roster| register.put_roster(roster));
        let mut book = Self {
            options,
            external_url: external_url.trim_end_matches('/').to_owned(),
            register,
            asks_since: HashMap::new(),
            groups: HashMap::new(),
            cold: Cold::default(),
            packer: Packer::default(),
            tired: false,
            ids: HashMap::new(),
            timers: BTreeSet::new(),
            history: History::default(),
            open: 0,
            untold: BTreeSet::new(),
            mutes,
            mute_due: Some(now),
            mutes_moved: true,
            routing: routing.unwrap_or_default(),
            tree: Tree::empty(),
            bundles: BTreeMap::new(),
            bundle_timers: BTreeSet::new(),
            marks: VecDeque::new(),
            done: Done::default(),
            changes: Changes::default(),
        };
        if let Some(compiled) = compiled {
            book.tree = compiled.tree;
            book.mutes.set_inhibition(compiled.inhibit);
        }
        groups.into_iter().for_each(|group| book.restore_bundle(group, now));
        book
    }

    /// Takes verdicts in.
    pub(crate) fn signals(&mut self, signals: &[Signal], now: i64) {
        for signal in signals {
            let key = group_key(signal);
            self.warm(&key);
            let Some(terms) = self.register.terms(&self.options, &signal.rule_id) else {
                continue;
            };
            if !terms.rule.draft.enabled {
                continue;
            }
            if self
                .asks_since
                .get(&signal.rule_id)
                .is_some_and(|version| signal.rule_version < *version)
            {
                continue;
            }
            let last = self.groups.get(key.as_str()).map(|slot| &slot.incident);
            if last.is_some_and(Incident::is_open) {
                self.apply(&key, now, |incident, terms| incident.signal(terms, signal, now));
                continue;
            }
            if !signal.met || last.is_some_and(|last| last.has_seen(signal, terms.asks)) {
                continue;
            }
            if self.open >= self.options.max_open {
                self.changes.refused += 1;
                continue;
            }
            let (incident, step) = Incident::open(&terms, key.clone(), last.map(|last| &last.memory), signal, now);
            // What is only practised does not count.
            let real = !is_drill_rule(&incident.alert.rule_id);
            let fired = incident.alert.fired_at.filter(|_| real).map(|_| incident.alert.level);
            let waits = fired.is_some() && incident.waits();
            self.insert(key.clone(), incident);
            self.changes.fired.extend(fired);
            if waits {
                self.hold_alert(&key, Gate::Suppression);
            }
            self.follow(&key, step, now);
        }
        self.settle(now);
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: i64) {
        self.mutes_moved |= self.mute_due.is_some_and(|due| due <= now);
        self.settle(now);
        let oldest = now - self.options.keep_for.ms();
        for closed in self.history.expire(oldest, self.options.keep_at_most) {
            self.warm(&closed.group_key);
            let key = closed.group_key.as_str();
            match self.groups.get_mut(key) {
                Some(slot) if slot.incident.alert.id == closed.id => drop(self.groups.remove(key)),
                Some(slot) if slot.before.as_ref().is_some_and(|before| before.alert.id == closed.id) => {
                    slot.before = None
                }
                _ => {}
            }
            self.ids.remove(&AlertId::of(&closed.id));
            self.changes.expired.push(closed.id);
        }
    }

    /// Takes the steps of incidents whose time has come.
    fn run_timers(&mut self, now: i64) {
        while self.done.timers < TIMERS && self.timers.first().is_some_and(|(due, _)| *due <= now) {
            self.done.timers += 1;
            let next = self.timers.pop_first();
            if let Some(key) = next.and_then(|(_, id)| self.key_of(id)) {
                self.apply(&key, now, |incident, terms| incident.tick(terms, now));
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<i64> {
        let incidents = self.timers.first().map(|(due, _)| *due);
        let bundles = self.bundle_timers.first().map(|(due, _)| *due);
        let marks = self.marks.front().map(|(.., at)| *at);
        let timers = [incidents, bundles, self.mute_due, marks];
        timers.into_iter().flatten().min()
    }

    /// Plugins whose channels are told of acknowledgements.
    pub(crate) fn set_acknowledging(&mut self, plugins: Vec<String>) {
        self.register.set_acknowledging(plugins);
    }

    /// A person takes an alert; `None` when it is not in memory.
    pub(crate) fn acknowledge(&mut self, id: &str, by: &str, comment: &str, now: i64) -> Option<Alert> {
        let key = self.key_of(AlertId::of(id))?;
        let mut new = false;
        self.apply(&key, now, |incident, _| {
            new = incident.is_open() && incident.acknowledge(by, comment, now);
            if new { Step::Changed } else { Step::Ignored }
        });
        if new {
            self.tell_taken(&key, now);
        }
        self.settle(now);
        self.by_id(id).map(|incident| incident.alert.clone())
    }

    /// A person closes an alert; `None` when it is not in memory.
    pub(crate) fn resolve(&mut self, id: &str, by: &str, comment: &str, now: i64) -> Option<Alert> {
        let key = self.key_of(AlertId::of(id))?;
        self.apply(&key, now, |incident, _| incident.resolve(by, comment, now));
        self.settle(now);
        self.by_id(id).map(|incident| incident.alert.clone())
    }

    /// What came of a notification, for the alert's history.
    pub(crate) fn note(&mut self, alert_id: &str, what: &str, detail: &str, now: i64) {
        let Some(key) = self.key_of(AlertId::of(alert_id)) else {
            return;
        };
        self.warm(&key);
        if let Some(slot) = self
            .groups
            .get_mut(&key)
            .filter(|slot| slot.incident.alert.id == alert_id)
        {
            slot.incident.note(now, what, SYSTEM, detail);
            self.changes.written.insert(key.to_string());
        }
    }

    /// Adds or replaces a rule. Alerts of a rule that now asks something else, or nothing, are over.
    pub(crate) fn put_rule(&mut self, rule: Rule, by: &str, now: i64) {
        let before = self.register.put_rule(rule.clone());
        let Some((before, same)) = before else { return };
        if !rule.draft.enabled {
            self.close_all(&rule.id, by, "its rule was disabled", now);
        } else if !before.draft.enabled || !same {
            self.asks_since.insert(rule.id.clone(), rule.version);
            self.close_all(&rule.id, by, "its rule was changed", now);
        } else {
            let keys = self.keys_of(&rule.id);
            keys.into_iter().for_each(|key| self.reschedule(&key));
        }
        self.settle(now);
    }

    /// Removes a rule; its alerts are over.
    pub(crate) fn remove_rule(&mut self, id: &str, by: &str, now: i64) -> Option<Arc<Rule>> {
        self.close_all(id, by, "its rule was deleted", now);
        self.settle(now);
        self.asks_since.remove(id);
        self.register.remove_rule(id)
    }

    /// Adds or replaces a channel.
    pub(crate) fn put_channel(&mut self, channel: Channel) {
        self.register.put_channel(channel);
    }

    /// Removes a channel.
    pub(crate) fn remove_channel(&mut self, name: &str) {
        self.register.remove_channel(name);
    }

    /// Rules by id.
    pub(crate) const fn rules(&self) -> &BTreeMap<String, Arc<Rule>> {
        self.register.rules()
    }

    /// What users have written down.
    pub(crate) const fn register(&self) -> &Register {
        &self.register
    }

    /// Channels by name.
    pub(crate) const fn channels(&self) -> &BTreeMap<String, Arc<Channel>> {
        self.register.channels()
    }

    /// Groups that wait for a verdict that ends their alert.
    pub(crate) fn open_groups(&self) -> impl Iterator<Item = OpenGroup> {
        let warm = self.groups.values().map(|slot| &slot.incident);
        let warm = warm.filter(|incident| incident.is_open()).map(Incident::group);
        let cold = self.cold.iter().filter(|packed| packed.is_open());
        warm.chain(cold.map(|packed| packed.group()))
    }

    /// The newest incident of a group, when it is at hand, as those are that have just changed.
    pub(crate) fn incident(&self, group_key: &str) -> Option<&Incident> {
        self.groups.get(group_key).map(|slot| &slot.incident)
    }

    /// An incident that is the newest of its group, when it is at hand.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Incident> {
        let incident = self.ids.get(&AlertId::of(id)).and_then(|key| self.incident(key));
        incident.filter(|incident| incident.alert.id == id)
    }

    /// Alerts that are over.
    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// What is to be told of what has changed.
    pub(crate) fn outgoing(&self) -> impl Iterator<Item = &Outgoing> {
        self.changes.outgoing.iter()
    }

    /// Whether what has changed is to be told through this channel.
    pub(crate) fn tells(&self, channel: &str) -> bool {
        self.outgoing().any(|outgoing| outgoing.delivery.channel == channel)
    }

    /// What has changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        self.done = Done::default();
        mem::take(&mut self.changes)
    }

    fn keys_of(&self, rule_id: &str) -> Vec<Arc<str>> {
        let open = self.groups.iter().filter(|(_, slot)| slot.incident.is_open());
        let warm = open.filter(|(_, slot)| slot.incident.alert.rule_id == rule_id);
        let mut keys: Vec<Arc<str>> = warm.map(|(key, _)| key.clone()).collect();
        keys.extend(self.resting(|packed| packed.is_open() && packed.rule_id() == rule_id));
        keys
    }

    fn close_all(&mut self, rule_id: &str, by: &str, reason: &str, now: i64) {
        for key in self.keys_of(rule_id) {
            self.warm(&key);
            let Some(slot) = self.groups.get_mut(&key) else {
                continue;
            };
            let step = slot.incident.resolve(by, reason, now);
            self.follow(&key, step, now);
        }
    }
}

/// One open alert for each rule and group: `<rule id>{source=web-1}`.
fn group_key(signal: &Signal) -> String {
    format!("{}{{{}}}", signal.rule_id, text::group(&signal.labels))
}

#[cfg(test)]
mod tests;
