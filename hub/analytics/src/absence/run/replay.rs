//! An absence over the past. Live, an event ends silence when it comes, and time passes with the clock; here a part of the log holds events of hours, so what was
//! heard waits until nothing before it can come, and then time passes from event to event.

use std::collections::BTreeMap;

use streamflow_model::{Account, Completeness, Instant, Rule, Signal};

use super::{AbsenceRun, Heard, Hosts};
use crate::absence::groups::Presence;

/// Events whose turn has not come, by group: stretches without a pause that is too long, from their first event to their last.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    groups: BTreeMap<Vec<String>, BTreeMap<i64, i64>>,
    /// Who brought them.
    host: String,
    /// Everything before this has had its turn.
    until: Option<i64>,
}

/// Hosts as they were at a time in the past.
struct AsOf<'a> {
    hosts: &'a dyn Hosts,
    at: i64,
}

impl Hosts for AsOf<'_> {
    fn passed(&self, host: &str, at: i64) -> bool {
        self.hosts.passed(host, at)
    }
    fn completeness(&self, at: i64) -> Completeness {
        self.hosts.completeness(at)
    }
    fn watermark(&self) -> i64 {
        self.at
    }
    fn now(&self) -> i64 {
        self.at
    }
    fn listening_since(&self) -> i64 {
        self.hosts.listening_since()
    }
}

impl Ahead {
    fn add(&mut self, labels: Vec<String>, at: i64, silent_for: i64) {
        let stretches = self.groups.entry(labels).or_default();
        let before = stretches.range(..=at).next_back().map(|(first, last)| (*first, *last));
        let (first, last) = match before {
            Some((first, last)) if at.saturating_sub(last) <= silent_for => (first, last.max(at)),
            _ => (at, at),
        };
        stretches.insert(first, last);
        let after = stretches
            .range(first.saturating_add(1)..)
            .next()
            .map(|(first, last)| (*first, *last));
        if let Some((next, end)) = after
            && next.saturating_sub(last) <= silent_for
        {
            stretches.remove(&next);
            stretches.insert(first, last.max(end));
        }
    }

    /// The stretches that begin before a time, in the order of time.
    fn take(&mut self, until: i64) -> Vec<(i64, i64, Vec<String>)> {
        let mut taken = Vec::new();
        for (labels, stretches) in &mut self.groups {
            let rest = stretches.split_off(&until);
            let due = std::mem::replace(stretches, rest);
            taken.extend(due.into_iter().map(|(first, last)| (first, last, labels.clone())));
        }
        self.groups.retain(|_, stretches| !stretches.is_empty());
        taken.sort();
        taken
    }
}

impl AbsenceRun {
    /// Takes note of rows; answers groups for which there was no room.
    pub(super) fn add_ahead(&mut self, input: &Heard<'_>) -> u64 {
        let mut refused = 0;
        if self.ahead.host != input.host {
            input.host.clone_into(&mut self.ahead.host);
        }
        for row in input.rows.iter_ones() {
            let labels = input.groups.labels(input.groups.of(row));
            if labels.clone().any(str::is_empty) {
                continue;
            }
            let labels: Vec<String> = labels.map(str::to_owned).collect();
            if self.ahead.groups.len() >= input.cap && !self.ahead.groups.contains_key(&labels) {
                refused += 1;
                continue;
            }
            self.ahead.add(labels, input.times[row], self.spec.silent_for);
        }
        refused
    }

    /// Lets time pass up to the watermark.
    pub(super) fn catch_up(&mut self, rule: &Rule, hosts: &dyn Hosts, cap: usize, out: &mut Vec<Signal>) {
        let watermark = hosts.watermark();
        if self.ahead.until.is_some_and(|until| until >= watermark) {
            return;
        }
        self.ahead.until = Some(watermark);
        self.expect(&AsOf { hosts, at: watermark }, cap);
        let silent_for = self.spec.silent_for;
        for (first, last, labels) in self.ahead.take(watermark) {
            let texts = || labels.iter().map(String::as_str);
            if let Some(id) = self.state.groups.intern(texts(), (first, first), cap) {
                self.pass_time(rule, id, first, hosts, out);
            }
            // It may have been forgotten since.
            let Some(id) = self.state.groups.intern(texts(), (first, first), cap) else {
                continue;
            };
            let host = self.ahead.host.clone();
            let back = self.state.groups.change(id, |group| {
                group.hear(&host, last, last, silent_for);
                group.presence = Presence::Present;
                (
                    std::mem::take(&mut group.met),
                    Some(group.last.saturating_add(silent_for)),
                )
            });
            if back == Some(true) {
                let account = Account {
                    summary: format!("heard from again at {}", Instant(first)),
                    ..Account::default()
                };
                let then = AsOf { hosts, at: first };
                let span = (first, first.saturating_add(1));
                self.tell(rule, id, span, Some(0.0), Some(account), &then, out);
            }
        }
        for id in self.state.groups.overdue(watermark, true) {
            self.pass_time(rule, id, watermark, hosts, out);
        }
    }

    /// What silence until a time makes of a group: absent, and forgotten in the end.
    fn pass_time(&mut self, rule: &Rule, id: u32, until: i64, hosts: &dyn Hosts, out: &mut Vec<Signal>) {
        let Some(group) = self.state.groups.get(id) else { return };
        let ends = group.last.saturating_add(self.spec.silent_for);
        let forgotten = group.last.saturating_add(self.spec.forget_after);
        let expected = self.spec.expect.contains(&group.labels);
        if ends < until && group.presence != Presence::Absent {
            let at = ends.saturating_add(1);
            self.look(rule, id, &AsOf { hosts, at }, out);
        }
        if forgotten <= until && !expected {
            self.look(rule, id, &AsOf { hosts, at: forgotten }, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_are_those_of_the_sorted_times(times in prop::collection::vec(0i64..2000, 1..60), silent_for in 1i64..200) {
            let mut ahead = Ahead::default();
            for at in &times {
                ahead.add(vec!["g".to_owned()], *at, silent_for);
            }
            let mut sorted = times;
            sorted.sort_unstable();
            let mut wanted: Vec<(i64, i64)> = Vec::new();
            for at in sorted {
                match wanted.last_mut() {
                    Some((_, last)) if at - *last <= silent_for => *last = at,
                    _ => wanted.push((at, at)),
                }
            }
            let got: Vec<(i64, i64)> = ahead.take(i64::MAX).into_iter().map(|(first, last, _)| (first, last)).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
