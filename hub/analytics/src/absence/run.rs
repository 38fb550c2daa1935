//! One rule of kind `absence` at work: what was heard in, verdicts out.

mod replay;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use streamflow_model::{
    Account, Completeness, Instant, OpenGroup, Rule, Signal, Span,
    rule::{Compiled, CompiledAbsence},
};
use streamflow_proto::bitmap::Bitmap;

use self::replay::Ahead;
use super::groups::{Group, Groups, Presence, SilentGroup};
use crate::engine::grouping::LocalGroups;

/// Groups whose time is over are looked at this often, ms of the log's clock.
const LOOK_EVERY: i64 = 1000;
/// How fresh a host's word must be for an alert to go on firing, ms.
const FRESH: i64 = 30_000;
/// The hub's own doors bring events that no host answers for.
const DOOR: char = '@';

/// What is known of hosts.
pub(crate) trait Hosts {
    /// Whether all that this host had to say of the time before `at` has come.
    fn passed(&self, host: &str, at: i64) -> bool;
    /// The same of all hosts.
    fn completeness(&self, at: i64) -> Completeness;
    /// Everything before this has been reported, in event time.
    fn watermark(&self) -> i64;
    /// Wall clock of the log, ms.
    fn now(&self) -> i64;
    /// Since when the hub has listened without a break, wall clock ms.
    fn listening_since(&self) -> i64;
    /// Whether this is the past once more: only the watermark tells time then, and it leaps.
    fn replayed(&self) -> bool {
        false
    }
}

/// The part that a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AbsenceState {
    pub(crate) groups: Groups,
    /// Batches stored before this, when the rule was not there yet, do not count.
    pub(crate) since: i64,
    /// Expected groups have been written down.
    expecting: bool,
    looked_at: i64,
}

/// Rows to take in.
pub(crate) struct Heard<'a> {
    pub(crate) rows: &'a Bitmap,
    pub(crate) times: &'a [i64],
    pub(crate) groups: &'a LocalGroups,
    /// Who brought them.
    pub(crate) host: &'a str,
    pub(crate) stored_at: i64,
    /// Most groups.
    pub(crate) cap: usize,
}

/// A rule with its state.
#[derive(Debug)]
pub(crate) struct AbsenceRun {
    spec: CompiledAbsence,
    names: Vec<String>,
    pub(crate) state: AbsenceState,
    /// What a replay has read ahead.
    ahead: Ahead,
}

impl AbsenceRun {
    /// A rule that has seen nothing. `None` when it is of another kind.
    pub(crate) fn new(rule: &Rule, compiled: &Compiled) -> Option<Self> {
        Some(Self {
            spec: compiled.absence.clone()?,
            names: compiled.group_by.iter().map(ToString::to_string).collect(),
            state: AbsenceState {
                groups: Groups::default(),
                since: rule.updated_at.0,
                expecting: false,
                looked_at: i64::MIN,
            },
            ahead: Ahead::default(),
        })
    }

    /// Owes alerting a verdict on a group whose alert is open.
    pub(crate) fn owe(&mut self, open: &OpenGroup) {
        let labels = self.names.iter().map(|name| open.labels.get(name).map(String::as_str));
        let Some(labels) = labels.collect::<Option<Vec<&str>>>() else {
            return;
        };
        let silent_for = self.spec.silent_for;
        let last = (open.told_until.saturating_sub(silent_for), open.told_until);
        let Some(id) = self.state.groups.intern(labels.iter().copied(), last, usize::MAX) else {
            return;
        };
        self.state.groups.change(id, |group| {
            group.met = true;
            group.told.0 = group.told.0.max(open.told_until);
            ((), Some(group.last.saturating_add(silent_for)))
        });
    }

    /// Takes rows in: groups that are heard are no longer absent, at once. Answers groups for which there was no room.
    pub(crate) fn add(&mut self, rule: &Rule, input: &Heard<'_>, hosts: &dyn Hosts, out: &mut Vec<Signal>) -> u64 {
        if hosts.replayed() {
            return self.add_ahead(input);
        }
        let mut newest: BTreeMap<usize, (usize, i64)> = BTreeMap::new();
        for row in input.rows.iter_ones() {
            let (_, latest) = newest.entry(input.groups.of(row)).or_insert((row, i64::MIN));
            *latest = (*latest).max(input.times[row]);
        }
        // In the order of arrival: how a batch numbers its groups changes when storage merges it with others.
        let mut newest: Vec<(usize, (usize, i64))> = newest.into_iter().collect();
        newest.sort_unstable_by_key(|(_, (first, _))| *first);
        let (silent_for, mut refused) = (self.spec.silent_for, 0);
        for (local, (_, at)) in newest {
            let labels = input.groups.labels(local);
            if labels.clone().any(str::is_empty) {
                continue;
            }
            let begin = (at, input.stored_at);
            let Some(id) = self.state.groups.intern(labels, begin, input.cap) else {
                refused += 1;
                continue;
            };
            let back = self.state.groups.change(id, |group| {
                group.hear(input.host, at, input.stored_at, silent_for);
                let ends = group.last.saturating_add(silent_for);
                let back = ends > hosts.watermark();
                if back {
                    group.presence = Presence::Present;
                }
                (back && std::mem::take(&mut group.met), Some(ends))
            });
            if back == Some(true) {
                let account = Account {
                    summary: format!("heard from again at {}", Instant(at)),
                    ..Account::default()
                };
                self.tell(
                    rule,
                    id,
                    (at, at.saturating_add(1)),
                    Some(0.0),
                    Some(account),
                    hosts,
                    out,
                );
            }
        }
        refused
    }

    /// Looks at groups whose time is over.
    pub(crate) fn advance(&mut self, rule: &Rule, hosts: &dyn Hosts, cap: usize, out: &mut Vec<Signal>) {
        if hosts.replayed() {
            return self.catch_up(rule, hosts, cap, out);
        }
        self.expect(hosts, cap);
        let again = hosts.now().saturating_sub(self.state.looked_at) >= LOOK_EVERY;
        if again {
            self.state.looked_at = hosts.now();
        }
        for id in self.state.groups.overdue(hosts.watermark(), again) {
            self.look(rule, id, hosts, out);
        }
    }

    /// Begins to wait for the groups that the rule lists.
    fn expect(&mut self, hosts: &dyn Hosts, cap: usize) {
        if self.state.expecting || hosts.watermark() == i64::MIN {
            return;
        }
        self.state.expecting = true;
        let begin = (
            hosts.watermark().max(self.state.since),
            hosts.now().max(self.state.since),
        );
        for labels in &self.spec.expect {
            let room = cap.max(self.spec.expect.len());
            if let Some(id) = self.state.groups.intern(labels.iter().map(String::as_str), begin, room) {
                let silent_for = self.spec.silent_for;
                self.state
                    .groups
                    .change(id, |group| ((), Some(group.last.saturating_add(silent_for))));
            }
        }
    }

    fn look(&mut self, rule: &Rule, id: u32, hosts: &dyn Hosts, out: &mut Vec<Signal>) {
        let Some(group) = self.state.groups.get(id) else { return };
        let expected = self.spec.expect.contains(&group.labels);
        if !expected && hosts.watermark().saturating_sub(group.last) >= self.spec.forget_after {
            return self.forget(rule, id, hosts, out);
        }
        let ends = group.last.saturating_add(self.spec.silent_for);
        let proven = self.proven(group, ends, hosts);
        let (met, known) = (group.met, group.presence);
        let presence = if proven { Presence::Absent } else { Presence::Unknown };
        let silent = hosts.watermark().saturating_sub(group.last).max(self.spec.silent_for);
        self.state.groups.change(id, |group| {
            group.presence = presence;
            group.met |= proven;
            ((), None)
        });
        match (proven, met) {
            (true, _) if known != Presence::Absent || !met => {
                #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
                let value = silent as f64 / 1000.0;
                let account = self.account(id);
                self.tell(
                    rule,
                    id,
                    (ends - self.spec.silent_for, ends),
                    Some(value),
                    account,
                    hosts,
                    out,
                );
            }
            // It fired, and now nobody knows.
            (false, true) if known != Presence::Unknown => {
                self.tell(rule, id, (ends - self.spec.silent_for, ends), None, None, hosts, out);
            }
            _ => {}
        }
    }

    /// Whether all who could have brought an event say that there was none.
    fn proven(&self, group: &Group, ends: i64, hosts: &dyn Hosts) -> bool {
        let silent_for = self.spec.silent_for;
        if hosts.now() < group.stored_at.saturating_add(silent_for) {
            return false;
        }
        // An alert goes on only as long as the hosts go on saying so.
        let at = if group.met { confirmed_until(ends, hosts) } else { ends };
        let mut answering = group.hosts().peekable();
        if answering.peek().is_none() {
            return hosts.completeness(at).complete && heard_long_enough(hosts, silent_for);
        }
        answering.all(|host| {
            if host.starts_with(DOOR) {
                heard_long_enough(hosts, silent_for)
            } else {
                hosts.passed(host, at)
            }
        })
    }

    fn forget(&mut self, rule: &Rule, id: u32, hosts: &dyn Hosts, out: &mut Vec<Signal>) {
        let met = self
            .state
            .groups
            .change(id, |group| (std::mem::take(&mut group.met), None));
        if met == Some(true) {
            let account = Account {
                summary: format!(
                    "silent for {}, so it is forgotten",
                    Span::from_ms(self.spec.forget_after)
                ),
                ..Account::default()
            };
            let at = hosts.watermark();
            self.tell(rule, id, (at, at), None, Some(account), hosts, out);
        }
        self.state.groups.remove(id);
    }

    /// Groups that are not heard, in the order of their labels.
    pub(crate) fn silent(&self, limit: usize) -> Vec<SilentGroup> {
        let mut silent: Vec<&Group> = self
            .state
            .groups
            .all()
            .filter(|group| group.presence != Presence::Present)
            .collect();
        silent.sort_by(|a, b| a.labels.cmp(&b.labels));
        let shown = silent.into_iter().take(limit).map(|group| SilentGroup {
            labels: self.names.iter().cloned().zip(group.labels.iter().cloned()).collect(),
            presence: group.presence,
            last_event: group.heard.then_some(Instant(group.last)),
        });
        shown.collect()
    }

    fn account(&self, id: u32) -> Option<Account> {
        let group = self.state.groups.get(id)?;
        let silent_for = Span::from_ms(self.spec.silent_for);
        let since = Instant(group.last);
        let hosts: Vec<&str> = group.hosts().collect();
        let message = match (group.heard, hosts.as_slice()) {
            (false, _) => format!("Nothing has come since {since}, when waiting for it began."),
            (true, []) => format!("The last event was of {since}."),
            (true, hosts) => format!("The last event was of {since}, through {}.", hosts.join(", ")),
        };
        Some(Account {
            summary: format!("silent for {silent_for}"),
            message,
            data: Map::from_iter([
                ("silent_for".to_owned(), json!(silent_for)),
                ("last_event".to_owned(), json!(group.heard.then_some(since))),
                ("through".to_owned(), json!(hosts)),
            ]),
        })
    }

    /// Verdicts of one group arrive in the order of their ends.
    #[expect(clippy::too_many_arguments, reason = "a verdict's parts, where it is made")]
    fn tell(
        &mut self,
        rule: &Rule,
        id: u32,
        (start, end): (i64, i64),
        value: Option<f64>,
        account: Option<Account>,
        hosts: &dyn Hosts,
        out: &mut Vec<Signal>,
    ) {
        let told = self.state.groups.update(id, |group| {
            let revision = if end > group.told.0 { 0 } else { group.told.1 + 1 };
            group.told = (group.told.0.max(end), revision);
            (group.clone(), group.presence == Presence::Absent)
        });
        let Some((group, absent)) = told else { return };
        let over = account.is_some() && !group.met;
        // Of an alert that goes on, what counts is whether its hosts still say so.
        let asked = if group.met && !absent {
            confirmed_until(end, hosts)
        } else {
            end
        };
        let mut completeness = hosts.completeness(asked);
        let missing = group
            .hosts()
            .filter(|host| !host.starts_with(DOOR) && !hosts.passed(host, asked));
        for host in missing {
            if !completeness.missing.iter().any(|known| known == host) {
                completeness.missing.push(host.to_owned());
            }
        }
        // Of the group's own hosts all have spoken, or something has come; others do not matter.
        completeness.complete = absent || over;
        out.push(Signal {
            rule_id: rule.id.clone(),
            rule_version: rule.version,
            labels: self.names.iter().cloned().zip(group.labels).collect(),
            value,
            top: Vec::new(),
            met: absent && group.met,
            running: false,
            window_start: start.min(group.told.0),
            window_end: group.told.0,
            revision: group.told.1,
            watermark: hosts.watermark(),
            completeness,
            stored_at: hosts.now(),
            account: account.map(Box::new),
        });
    }
}

/// What a group's hosts must have passed for its alert to go on.
fn confirmed_until(ends: i64, hosts: &dyn Hosts) -> i64 {
    ends.max(hosts.watermark().saturating_sub(FRESH))
}

/// Senders to the hub's own doors could reach it for all of the time.
fn heard_long_enough(hosts: &dyn Hosts, silent_for: i64) -> bool {
    hosts.now().saturating_sub(silent_for) >= hosts.listening_since()
}
