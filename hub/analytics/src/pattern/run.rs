//! One rule of kind `pattern` at work: rows in, verdicts out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{Account, Completeness, Evaluate, OpenGroup, Rule, Signal, rule::Compiled};
use streamflow_proto::bitmap::Bitmap;
use uuid::Uuid;

use super::{
    account,
    automaton::{Match, Seen},
    keys::{Keys, Turn},
    program::{Mask, Program},
};
use crate::engine::grouping::{LocalGroups, fingerprint};

/// While an alert is open, further matches of its key are told this often at most, ms of event time.
const TELL_EVERY: i64 = 1000;

/// The part that a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PatternState {
    pub(crate) keys: Keys,
    /// Events before this have had their turn.
    pub(crate) until: i64,
    /// Batches stored before this, when the rule was not there yet, do not count.
    pub(crate) since: i64,
}

/// Where time stands, and who has reported.
pub(crate) struct Facts<'a> {
    /// Everything before this has been reported, in event time.
    pub(crate) watermark: i64,
    /// Wall clock of the log, ms.
    pub(crate) now: i64,
    /// Which hosts have reported past a time.
    pub(crate) completeness: &'a mut dyn FnMut(i64) -> Completeness,
    /// Hosts that were missed at or after a time, are no longer, and have never reported past another.
    pub(crate) gone: &'a dyn Fn(i64, i64) -> Vec<String>,
}

/// Rows to take in.
pub(crate) struct Rows<'a> {
    pub(crate) rows: &'a Bitmap,
    /// Of each row, the steps it fits.
    pub(crate) masks: &'a [Mask],
    pub(crate) times: &'a [i64],
    pub(crate) ids: &'a [Uuid],
    pub(crate) groups: &'a LocalGroups,
    /// Most keys.
    pub(crate) cap: usize,
}

/// What became of rows and turns.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) signals: Vec<Signal>,
    /// Rows that came after their turn.
    pub(crate) late: Option<Bitmap>,
}

/// A rule with its state.
#[derive(Debug)]
pub(crate) struct PatternRun {
    pub(crate) program: Program,
    names: Vec<String>,
    eager: bool,
    pub(crate) state: PatternState,
}

impl PatternRun {
    /// A rule that has seen nothing. `None` when it is no pattern.
    pub(crate) fn new(rule: &Rule, compiled: &Compiled, watermark: i64) -> Option<Self> {
        let spec = rule.draft.pattern.as_ref()?;
        let eager = rule.draft.evaluate != Evaluate::OnClose && !spec.has_negation();
        Some(Self {
            program: Program::new(compiled.pattern.as_ref()?),
            names: compiled.group_by.iter().map(ToString::to_string).collect(),
            eager,
            state: PatternState {
                keys: Keys::default(),
                until: watermark,
                since: rule.updated_at.0,
            },
        })
    }

    /// Whether a match is told before its turn.
    pub(crate) const fn is_eager(&self) -> bool {
        self.eager
    }

    /// Owes alerting a verdict on a key whose alert is open.
    pub(crate) fn owe(&mut self, open: &OpenGroup) {
        let labels = self.names.iter().map(|name| open.labels.get(name).map(String::as_str));
        let Some(labels) = labels.collect::<Option<Vec<&str>>>() else {
            return;
        };
        let each = || labels.iter().copied();
        let Some(id) = self.state.keys.intern(fingerprint(each()), each(), usize::MAX) else {
            return;
        };
        if let Some(key) = self.state.keys.get_mut(id).filter(|key| !key.told.met) {
            key.told.met = true;
            key.told.until = key.told.until.max(open.told_until);
            key.told.ends = key.told.until.saturating_add(self.program.within);
        }
        self.state.keys.settle(id, &self.program);
    }

    /// Takes rows in. What more events cannot undo is told at once.
    pub(crate) fn add(&mut self, rule: &Rule, input: &Rows<'_>, facts: &mut Facts<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for row in input.rows.iter_ones() {
            let (mask, at) = (input.masks[row], input.times[row]);
            let group = input.groups.of(row);
            let labels = input.groups.labels(group);
            if mask == 0 || labels.clone().any(str::is_empty) {
                continue;
            }
            let hash = input.groups.fingerprint(group);
            if at < self.state.until {
                let late = outcome.late.get_or_insert_with(|| Bitmap::new(input.rows.len(), false));
                late.set(row, true);
                self.undo(hash, mask, at);
                continue;
            }
            let Some(id) = self.state.keys.intern(hash, labels, input.cap) else {
                self.state.keys.dropped += 1;
                continue;
            };
            let seen = Seen {
                at,
                id: input.ids[row].as_u128(),
            };
            if self.state.keys.push(id, seen, mask) {
                self.look_ahead(rule, id, facts, &mut outcome);
            }
            self.state.keys.settle(id, &self.program);
        }
        outcome
    }

    fn look_ahead(&mut self, rule: &Rule, id: u32, facts: &mut Facts<'_>, outcome: &mut Outcome) {
        if !self.eager || self.state.keys.get(id).is_none_or(|key| key.told.met) {
            return self.state.keys.look_no_more(id);
        }
        if let Some(found) = self.state.keys.look_ahead(id, &self.program) {
            self.found(rule, id, &found, true, facts, outcome);
        }
    }

    /// What must not come has come too late for its turn, but in time for a verdict that is still awaited.
    fn undo(&mut self, hash: u128, mask: Mask, at: i64) {
        if mask & self.program.forbidden_at_the_end() == 0 {
            return;
        }
        if let Some(id) = self.state.keys.find(hash) {
            if let Some(key) = self.state.keys.get_mut(id) {
                key.automaton.undo(at);
            }
            self.state.keys.settle(id, &self.program);
        }
    }

    /// Gives everything that the watermark has passed its turn.
    pub(crate) fn advance(&mut self, rule: &Rule, facts: &mut Facts<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for id in self.state.keys.doubtful() {
            self.wake(rule, id, self.state.until.saturating_sub(1), facts, &mut outcome);
        }
        if facts.watermark <= self.state.until {
            return outcome;
        }
        while let Some(turn) = self.state.keys.next(facts.watermark) {
            match turn {
                Turn::Event(id, event) => {
                    let Some(key) = self.state.keys.get_mut(id) else {
                        continue;
                    };
                    let stepped = key.automaton.step(&self.program, event.seen, event.mask);
                    let alerts = key.told.met && stepped.forbidden;
                    self.state.keys.dropped += stepped.dropped;
                    if alerts {
                        let came = account::came(&self.program, event.mask, event.seen);
                        self.over(rule, id, event.seen.at, Some(came), facts, &mut outcome);
                    }
                    if let Some(found) = stepped.found {
                        self.found(rule, id, &found, false, facts, &mut outcome);
                    }
                    self.state.keys.settle(id, &self.program);
                }
                Turn::Timer(id, at) => self.wake(rule, id, at, facts, &mut outcome),
            }
        }
        self.state.until = facts.watermark;
        outcome
    }

    /// What happens to a key by time alone, up to and with `at`.
    fn wake(&mut self, rule: &Rule, id: u32, at: i64, facts: &mut Facts<'_>, outcome: &mut Outcome) {
        loop {
            let Some(key) = self.state.keys.get_mut(id) else { return };
            key.doubtful = false;
            let Some(deadline) = key.automaton.deadline().filter(|deadline| *deadline <= at) else {
                break;
            };
            // What is awaited may lie on a host that is cut off: silence of that kind proves nothing.
            if !(facts.completeness)(deadline).complete {
                key.doubtful = true;
                break;
            }
            if let Some(found) = key.automaton.overdue(at.saturating_add(1)) {
                self.found(rule, id, &found, false, facts, outcome);
            }
            // What had to wait for missing hosts is not over at once.
            if let Some(key) = self.state.keys.get_mut(id) {
                key.told.ends = key.told.ends.max(at.saturating_add(self.program.within));
            }
        }
        let ended = self
            .state
            .keys
            .get(id)
            .filter(|key| key.told.met && key.told.ends <= at);
        if let Some(ends) = ended.map(|key| key.told.ends) {
            self.over(rule, id, ends, None, facts, outcome);
        }
        if let Some(key) = self.state.keys.get_mut(id) {
            key.automaton.forget(&self.program, at.saturating_add(1));
        }
        self.state.keys.settle(id, &self.program);
    }

    fn found(
        &mut self,
        rule: &Rule,
        id: u32,
        found: &Match,
        running: bool,
        facts: &mut Facts<'_>,
        outcome: &mut Outcome,
    ) {
        let Some(key) = self.state.keys.get_mut(id) else { return };
        let told = &mut key.told;
        let known = told.met && !told.stale && !told.running;
        if !told.met {
            told.matches = 0;
        }
        told.matches += u64::from(!running);
        told.ends = told.ends.max(found.at.saturating_add(self.program.within));
        told.stale = false;
        if known && found.at < told.until.saturating_add(TELL_EVERY) {
            return;
        }
        (told.met, told.running) = (true, running);
        let labels = labels(&self.names, &key.labels);
        let mut account = account::found(&self.program, &labels, found, told.matches.max(1));
        // What must not come may lie on a host that is no longer waited for.
        let missing = if self.program.has_negation() {
            (facts.gone)(found.path.start, found.at)
        } else {
            Vec::new()
        };
        account::add_missing(&mut account, &missing);
        let verdict = Verdict {
            value: Some(account::events(&found.path)),
            start: found.path.start,
            end: found.at.saturating_add(1),
            account: Some(account),
            missing,
        };
        self.tell(rule, id, verdict, facts, outcome);
    }

    /// Ends a key's alert, if the data behind that is complete.
    fn over(
        &mut self,
        rule: &Rule,
        id: u32,
        at: i64,
        why: Option<Account>,
        facts: &mut Facts<'_>,
        outcome: &mut Outcome,
    ) {
        // That something came is certain whoever else is missing; that nothing came is not.
        let sure = why.is_some() || (facts.completeness)(at).complete;
        let Some(key) = self.state.keys.get_mut(id) else { return };
        key.doubtful |= !sure;
        if !sure && key.told.stale {
            return;
        }
        key.told.stale = !sure;
        key.told.met = !sure;
        key.told.running = false;
        let verdict = Verdict {
            value: why.as_ref().map(|_| 0.0),
            start: at,
            end: at.saturating_add(1),
            account: why.or_else(|| sure.then(|| account::quiet(self.program.within))),
            missing: Vec::new(),
        };
        self.tell(rule, id, verdict, facts, outcome);
    }

    /// Verdicts of one key arrive in the order of their ends.
    fn tell(&mut self, rule: &Rule, id: u32, verdict: Verdict, facts: &mut Facts<'_>, outcome: &mut Outcome) {
        let Some(key) = self.state.keys.get_mut(id) else { return };
        let told = &mut key.told;
        told.revision = if verdict.end > told.until { 0 } else { told.revision + 1 };
        told.until = told.until.max(verdict.end);
        let mut completeness = (facts.completeness)(verdict.end.saturating_sub(1));
        // An end is told only when it is sure.
        completeness.complete |= !told.met;
        for name in verdict.missing {
            completeness.complete = false;
            completeness.agents += 1;
            completeness.silent.push(name.clone());
            completeness.missing.push(name);
        }
        outcome.signals.push(Signal {
            rule_id: rule.id.clone(),
            rule_version: rule.version,
            labels: labels(&self.names, &key.labels),
            value: verdict.value,
            top: Vec::new(),
            met: told.met && !told.stale,
            running: told.running,
            window_start: verdict.start.min(told.until),
            window_end: told.until,
            revision: told.revision,
            watermark: facts.watermark,
            completeness,
            stored_at: facts.now,
            account: verdict.account.map(Box::new),
        });
    }
}

struct Verdict {
    value: Option<f64>,
    start: i64,
    end: i64,
    account: Option<Account>,
    /// Hosts that nobody waits for any more, and that never said what this rests on.
    missing: Vec<String>,
}

fn labels(names: &[String], labels: &[String]) -> BTreeMap<String, String> {
    names.iter().cloned().zip(labels.iter().cloned()).collect()
}
