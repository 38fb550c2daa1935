//! Alerts that share notifications, by the routing tree.

mod shown;
mod taken;

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use streamflow_model::{Alert, Channel, Level, Routing, drill::is_drill_rule};
use uuid::Uuid;

use super::Book;
use crate::{
    compose::{NOTED, Together},
    grouping::{Contents, Group, Look},
    held::{Cause, Gate, Held},
    id::AlertId,
    incident::{Incident, SYSTEM},
    outbox::Outgoing,
    ranked::{HasId, Ranked},
    route::{Compiled, Tree},
};

/// Alerts that are written at once because their group has told of them.
const MARKED: usize = 1000;

/// An alert of a group that goes on.
#[derive(Debug)]
struct Open {
    id: AlertId,
    told: bool,
}

impl HasId for Open {
    fn id(&self) -> AlertId {
        self.id
    }
}

/// A group with its alerts.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) group: Group,
    /// Its alerts that go on, and whether it has told of them; they are found in the book by their id.
    open: Ranked<Open>,
    /// Those whose end is still to be told.
    over: BTreeMap<AlertId, Box<Incident>>,
    due: Option<i64>,
}

impl Book {
    /// The routing document.
    pub(crate) const fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Where an alert with these labels goes.
    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Replaces the routing tree and the rules of inhibition. Groups whose route is still there follow it.
    pub(crate) fn set_routing(&mut self, routing: Routing, compiled: Compiled, now: i64) {
        self.routing = routing;
        self.tree = compiled.tree;
        self.mutes.set_inhibition(compiled.inhibit);
        if self.mutes.inhibits() {
            let mut keys: Vec<Arc<str>> = self.groups.keys().cloned().collect();
            keys.extend(self.resting(|_| true));
            keys.iter().for_each(|key| self.note_source(key));
        }
        for key in self.bundles.keys().cloned().collect::<Vec<_>>() {
            let Some(bundle) = self.bundles.get_mut(&key) else {
                continue;
            };
            let target = self.tree.at(&bundle.group.target.route);
            let target = target.filter(|target| target.group_by == bundle.group.target.group_by);
            bundle.group.follow(target, now);
            let orphans: Vec<AlertId> = match target {
                Some(_) => Vec::new(),
                None => bundle.open.iter().map(HasId::id).collect(),
            };
            self.changes.groups.insert(key.clone());
            self.reschedule_bundle(&key);
            // They are told of by whatever route takes them now.
            for id in orphans {
                let Some(key) = self.key_of(id) else { continue };
                self.warm(&key);
                let (_, policy) = self.route(&key, now);
                if let (Some(slot), Some(policy)) = (self.groups.get_mut(&key), policy) {
                    slot.incident.begin_policy(&policy, now);
                }
            }
        }
        self.mutes_changed(now);
    }

    /// Puts an alert into the groups of its routes, as news; answers how many those are, and the escalation policy of the first
    /// route that has one.
    pub(super) fn route(&mut self, key: &str, now: i64) -> (usize, Option<String>) {
        let Some(slot) = self.groups.get_mut(key) else {
            return (0, None);
        };
        let incident = &mut slot.incident;
        if !incident.is_open() || incident.alert.fired_at.is_none() {
            return (0, None);
        }
        let alert = &incident.alert;
        let targets = self.tree.targets(&alert.labels, alert.level);
        let policy = targets.iter().find_map(|target| target.escalation.clone());
        let mut touched = Vec::new();
        for target in targets.into_iter().filter(|target| !target.channels.is_empty()) {
            let mut name = target.key(&alert.labels);
            if is_drill_rule(&alert.rule_id) {
                // Nobody reads of a drill in a message about real alerts.
                name = format!("{name} {}", alert.rule_id);
            }
            let bundle = self.bundles.entry(name.clone()).or_insert_with(|| {
                let labels = target.labels(&alert.labels);
                let group = Group::new(Uuid::now_v7().to_string(), name.clone(), labels, target.clone());
                Bundle::new(group)
            });
            let id = AlertId::of(&alert.id);
            bundle.open.insert(Open { id, told: false });
            bundle.group.news(now);
            touched.push(name);
        }
        for name in &touched {
            incident.memory.join(name);
        }
        let routes = touched.len();
        for name in touched {
            self.changes.groups.insert(name.clone());
            self.changes.written.insert(key.to_owned());
            self.reschedule_bundle(&name);
        }
        (routes, policy)
    }

    /// An alert is over: its groups tell that to whom they told of it.
    pub(super) fn leave_bundles(&mut self, key: &str, now: i64) {
        if !self.marks.is_empty()
            && let Some(id) = self.groups.get(key).map(|slot| AlertId::of(&slot.incident.alert.id))
        {
            self.catch_up(id, now);
        }
        let Some(slot) = self.groups.get_mut(key) else { return };
        let incident = &mut slot.incident;
        let id = AlertId::of(&incident.alert.id);
        for name in incident.memory.leave() {
            if let Some(bundle) = self.bundles.get_mut(&name) {
                bundle.open.remove(id);
                self.changes.groups.insert(name.clone());
                self.end_if_empty(&name);
            }
        }
        let Some(slot) = self.groups.get(key) else { return };
        let over = slot.incident.clone();
        for name in over.memory.groups() {
            if let Some(bundle) = self.bundles.get_mut(name) {
                bundle.open.remove(id);
                bundle.over.insert(id, Box::new(over.clone()));
                bundle.group.news(now);
                self.changes.groups.insert(name.to_owned());
                self.reschedule_bundle(name);
            }
        }
    }

    /// An alert that may be told of (again): its groups look at it.
    pub(super) fn news_of(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get(key) else { return };
        let groups: Vec<String> = slot.incident.memory.groups().map(str::to_owned).collect();
        for name in groups {
            if let Some(bundle) = self.bundles.get_mut(&name) {
                bundle.group.news(now);
                self.changes.groups.insert(name.clone());
                self.reschedule_bundle(&name);
            }
        }
    }

    /// Takes a stored group up again; its alerts follow with [`Self::rejoin`].
    pub(super) fn restore_bundle(&mut self, mut group: Group, now: i64) {
        group.restarted(now);
        let key = group.key.clone();
        self.bundles.insert(key.clone(), Bundle::new(group));
        self.reschedule_bundle(&key);
    }

    /// A stored incident is a member of its groups again.
    pub(super) fn rejoin(&mut self, incident: &Incident) {
        for (name, told) in incident.memory.memberships() {
            let Some(bundle) = self.bundles.get_mut(name) else {
                continue;
            };
            let id = AlertId::of(&incident.alert.id);
            if incident.is_open() {
                bundle.open.insert(Open { id, told });
            } else {
                bundle.over.insert(id, Box::new(incident.clone()));
            }
        }
    }

    /// Tells of the groups whose time has come.
    pub(super) fn look_at_bundles(&mut self, now: i64) {
        while self.bundle_timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, name)) = self.bundle_timers.pop_first() else {
                break;
            };
            if let Some(bundle) = self.bundles.get_mut(&name) {
                bundle.due = None;
            }
            self.look_at(&name, now);
        }
    }

    fn look_at(&mut self, name: &str, now: i64) {
        let contents = self.contents(name);
        let Some(bundle) = self.bundles.get_mut(name) else {
            return;
        };
        let look = bundle.group.look(now, contents);
        self.changes.groups.insert(name.to_owned());
        if look == Look::Tell {
            self.tell_bundle(name, now);
        }
        self.end_if_empty(name);
        self.reschedule_bundle(name);
    }

    fn contents(&self, name: &str) -> Contents {
        let mut contents = Contents {
            news: false,
            firing: false,
            open: false,
        };
        let Some(bundle) = self.bundles.get(name) else {
            return contents;
        };
        contents.open = !bundle.open.is_empty();
        contents.news = !bundle.over.is_empty();
        for Open { id, told } in bundle.open.iter() {
            let waits = self.brief(*id).is_some_and(|brief| !brief.muted && !brief.acknowledged);
            contents.firing |= waits;
            contents.news |= waits && !told && !bundle.group.orphan;
        }
        contents
    }

    /// One notification about the whole group for each of its channels.
    fn tell_bundle(&mut self, name: &str, now: i64) {
        let Some(bundle) = self.bundles.get(name) else { return };
        let mut fresh: Vec<AlertId> = Vec::new();
        let mut firing: Vec<Cow<'_, Alert>> = Vec::new();
        let mut counts = (0, 0);
        let mut level = None;
        // Of a large group, those that are new are listed first.
        let large = bundle.open.len() + bundle.over.len() > NOTED;
        let passes: &[Option<bool>] = if large { &[Some(false), Some(true)] } else { &[None] };
        for pass in passes {
            for Open { id, told } in bundle.open.iter() {
                if pass.is_some_and(|wanted| wanted != *told) {
                    continue;
                }
                let Some(brief) = self.brief(*id).filter(|brief| !brief.muted) else {
                    continue;
                };
                counts.0 += 1;
                level = level.max(Some(brief.level));
                if !told {
                    fresh.push(*id);
                }
                if firing.len() < NOTED {
                    firing.extend(self.look_id(*id).map(|incident| match incident {
                        Cow::Borrowed(incident) => Cow::Borrowed(&incident.alert),
                        Cow::Owned(incident) => Cow::Owned(incident.alert),
                    }));
                }
            }
        }
        let firing: Vec<&Alert> = firing.iter().map(AsRef::as_ref).collect();
        let over: Vec<&Alert> = bundle.over.values().map(|incident| &incident.alert).collect();
        counts.1 = over.len();
        let highest = level.max(over.iter().map(|alert| alert.level).max());
        let over: &[&Alert] = over.get(..NOTED).unwrap_or(&over);
        let level = level.unwrap_or(Level::Critical);
        let wanted = if bundle.group.orphan {
            Vec::new()
        } else {
            self.register.meant(&bundle.group.target.channels, now)
        };
        let mut told = bundle.group.told.clone();
        let takes = |channel: &&Arc<Channel>| {
            let known = told.contains(&channel.name);
            let meant = wanted.iter().any(|meant| meant.channel == channel.name);
            let new = meant && level >= channel.level && !firing.is_empty();
            channel.enabled && (new || (known && !over.is_empty()))
        };
        let channels: Vec<Arc<Channel>> = self.register.channels().values().filter(takes).cloned().collect();
        let cause = match (fresh.is_empty(), over.is_empty()) {
            (false, _) => Cause::Fired,
            (true, false) => Cause::Over,
            (true, true) => Cause::Repeat,
        };
        let mut held: Vec<Held> = Vec::new();
        if !firing.is_empty() {
            for name in wanted.iter().map(|meant| &meant.channel) {
                let gate = match self.register.channels().get(name) {
                    None => Gate::Missing,
                    Some(channel) if !channel.enabled => Gate::Disabled,
                    Some(channel) if level < channel.level && !told.contains(name) => Gate::Level,
                    Some(_) => continue,
                };
                held.push(Held::one(gate, name, ""));
            }
        }
        let others = (counts.0 + counts.1).saturating_sub(1);
        for channel in &channels {
            let open_at = self.register.open_at(&channel.name, now);
            if open_at > now {
                held.push(Held::one(Gate::ActiveHours, &channel.name, "").for_ms(open_at - now));
            }
            if others > 0 {
                let count = u64::try_from(others).unwrap_or(u64::MAX);
                held.push(Held {
                    count,
                    ..Held::one(Gate::Grouping, &channel.name, "")
                });
            }
        }
        let together = Together {
            group: &bundle.group,
            firing: &firing,
            over,
            counts,
            level: highest.unwrap_or(Level::Info),
            external_url: &self.external_url,
        };
        let mut failures = Vec::new();
        let made: Vec<Outgoing> = channels
            .iter()
            .map(|channel| {
                let oncall = wanted.iter().find(|meant| meant.channel == channel.name);
                let oncall = oncall.and_then(|meant| meant.oncall.as_ref());
                let outgoing = Outgoing::about_group(&together, channel, now);
                outgoing
                    .because(cause, oncall)
                    .not_before(self.register.open_at(&channel.name, now))
                    .worded(channel, &mut failures)
            })
            .collect();
        if !firing.is_empty() {
            for channel in channels {
                if !told.contains(&channel.name) {
                    told.push(channel.name.clone());
                }
            }
        }
        self.changes.outgoing.extend(made);
        self.changes.held.append(&mut held);
        self.changes.template_failures.append(&mut failures);
        if let Some(bundle) = self.bundles.get_mut(name) {
            bundle.group.told = told;
        }
        self.mark_told(name, &fresh, now);
    }

    /// Notes in some alerts that their group has told of them. Of very many the rest follows at once, but not in the same commit:
    /// a crash between them tells of the rest once more.
    pub(super) fn mark_some(&mut self, now: i64) {
        let some = self.marks.len().min(MARKED.saturating_sub(self.done.marks));
        self.done.marks += some;
        let marks: Vec<_> = self.marks.drain(..some).collect();
        for (id, name, _) in marks {
            self.mark(id, &name, now);
        }
        if self.marks.is_empty() {
            self.marks.shrink_to(MARKED);
        }
    }

    fn mark(&mut self, id: AlertId, name: &str, now: i64) {
        let Some(key) = self.key_of(id) else { return };
        self.warm(&key);
        let slot = self.groups.get_mut(&key);
        if let Some(slot) = slot.filter(|slot| AlertId::of(&slot.incident.alert.id) == id) {
            slot.incident.memory.group_told(name);
            slot.incident.note(now, "routed", SYSTEM, name);
            self.changes.written.insert(key.to_string());
        }
    }

    /// Notes at once what is still to be noted in this alert.
    fn catch_up(&mut self, id: AlertId, now: i64) {
        let (own, others): (VecDeque<_>, VecDeque<_>) = mem::take(&mut self.marks)
            .into_iter()
            .partition(|(other, ..)| *other == id);
        self.marks = others;
        for (id, name, _) in own {
            self.mark(id, &name, now);
        }
    }

    /// Remembers in the alerts that their group has told of them.
    fn mark_told(&mut self, name: &str, fresh: &[AlertId], now: i64) {
        let Some(bundle) = self.bundles.get_mut(name) else {
            return;
        };
        let over = mem::take(&mut bundle.over);
        for id in fresh {
            bundle.open.insert(Open { id: *id, told: true });
        }
        let shared: Arc<str> = name.into();
        let marks = fresh.iter().map(|id| (*id, Arc::clone(&shared), now));
        self.marks.extend(marks);
        self.mark_some(now);
        for (id, mut incident) in over {
            let others: Vec<String> = incident.memory.groups().map(str::to_owned).collect();
            for other in others {
                let bundle = self.bundles.get_mut(&other);
                if let Some(same) = bundle.and_then(|bundle| bundle.over.get_mut(&id)) {
                    same.memory.forget_group(name);
                }
            }
            let key = incident.alert.group_key.clone();
            self.warm(&key);
            match self
                .groups
                .get_mut(key.as_str())
                .filter(|slot| slot.incident.alert.id == incident.alert.id)
            {
                Some(slot) => {
                    slot.incident.memory.forget_group(name);
                    self.changes.written.insert(key);
                }
                // A newer incident of its group has taken its place.
                None => {
                    incident.memory.forget_group(name);
                    self.changes.older.push(*incident);
                }
            }
        }
    }

    fn end_if_empty(&mut self, name: &str) {
        let empty = |bundle: &Bundle| bundle.open.is_empty() && bundle.over.is_empty();
        if self.bundles.get(name).is_some_and(empty)
            && let Some(bundle) = self.bundles.remove(name)
        {
            if let Some(due) = bundle.due {
                self.bundle_timers.remove(&(due, name.to_owned()));
            }
            self.changes.groups.remove(name);
            self.changes.groups_ended.push(bundle.group.id);
        }
    }

    fn reschedule_bundle(&mut self, name: &str) {
        let Some(bundle) = self.bundles.get_mut(name) else {
            return;
        };
        let due = bundle.group.due();
        if let Some(before) = mem::replace(&mut bundle.due, due) {
            self.bundle_timers.remove(&(before, name.to_owned()));
        }
        self.bundle_timers.extend(due.map(|due| (due, name.to_owned())));
    }
}

impl Bundle {
    fn new(group: Group) -> Self {
        Self {
            group,
            open: Ranked::default(),
            over: BTreeMap::new(),
            due: None,
        }
    }
}
