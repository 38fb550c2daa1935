//! What a rule says of a window of a group, and when it is worth saying.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{Completeness, Evaluate, Rule, RuleError, Signal, rule::Compiled};
use streamflow_proto::{
    aggregate::{Accumulator, Frequent},
    filter::ConditionInput,
};

use super::{
    agents::Agents,
    groups::{Groups, Standing},
};

/// What a rule asks, ready to be asked.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) rule: Rule,
    pub(super) compiled: Compiled,
    /// Names of the labels, in the order of the groups' labels.
    names: Vec<String>,
    /// Windows are judged while they run.
    pub(super) eager: bool,
}

/// A window of a group and its value.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) group: u32,
    pub(super) value: Option<f64>,
    pub(super) top: Vec<Frequent>,
    pub(super) met: bool,
    pub(super) running: bool,
    pub(super) revision: u32,
    pub(super) stored_at: i64,
}

/// What was last said of a window that may still be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Said {
    /// Revision of what is said next.
    pub(super) next: u32,
    pub(super) met: bool,
}

impl Asks {
    pub(super) fn new(rule: &Rule) -> Result<Self, Vec<RuleError>> {
        let compiled = rule.draft.compile()?;
        let names = compiled.group_by.iter().map(ToString::to_string).collect();
        let mut asks = Self {
            rule: rule.clone(),
            compiled,
            names,
            eager: false,
        };
        asks.eager = match rule.draft.evaluate {
            Evaluate::OnClose => false,
            Evaluate::Eager => true,
            Evaluate::Auto => asks.is_upward() && asks.grows_in_its_windows(),
        };
        Ok(asks)
    }

    /// Whether more events can only make the condition truer, as far as the aggregate alone says.
    pub(super) fn only_rises(&self) -> bool {
        self.compiled.aggregate.may_only_grow()
    }

    pub(super) fn is_upward(&self) -> bool {
        self.compiled.condition.is_upward()
    }

    /// Sketches of several parts are no sum of the parts, and a session gets longer, which lowers its rate.
    fn grows_in_its_windows(&self) -> bool {
        use streamflow_model::WindowSpec::{Session, Sliding, Tumbling};
        let aggregate = &self.compiled.aggregate;
        match &self.rule.draft.window {
            Sliding { size, slide } if size != slide => aggregate.is_scalar_growth(),
            Tumbling(_) | Sliding { .. } => aggregate.may_only_grow(),
            Session { .. } => aggregate.is_scalar_growth() && !aggregate.is_rate(),
        }
    }

    /// Whether every window that runs may be judged by what it holds so far.
    pub(super) fn judges_all_early(&self) -> bool {
        self.rule.draft.evaluate == Evaluate::Eager
    }

    /// Whether a window that runs may be judged by what it holds so far.
    pub(super) fn may_judge_early(&self, accumulator: &Accumulator) -> bool {
        self.judges_all_early() || accumulator.only_grows()
    }

    /// Labels of a group as alerting names them, or `None` when an open alert is not of this rule's groups.
    pub(super) fn labels_of<'a>(&self, open: &'a BTreeMap<String, String>) -> Option<Vec<&'a str>> {
        self.names
            .iter()
            .map(|name| open.get(name).map(String::as_str))
            .collect()
    }

    /// Name of the attribute at this position of the groups' labels.
    pub(super) fn attribute(&self, position: usize) -> &str {
        self.names.get(position).map_or("", String::as_str)
    }

    pub(super) fn is_met(&self, groups: &Groups, group: u32, value: Option<f64>, out: &mut Verdicts) -> bool {
        let Some(value) = value else { return false };
        let labels: Vec<(String, String)> = if self.compiled.condition.uses_labels() {
            let labels = groups.labels(group).iter().cloned();
            self.names.iter().cloned().zip(labels).collect()
        } else {
            Vec::new()
        };
        let input = ConditionInput {
            value,
            threshold: self.rule.draft.threshold,
            labels: &labels,
        };
        self.compiled.condition.eval(&input).unwrap_or_else(|error| {
            out.condition_errors += 1;
            tracing::debug!(rule = self.rule.draft.name, %error, "a condition gave no verdict");
            false
        })
    }

    /// Adds a verdict unless something was already said of a later window of the group: verdicts of one group arrive in the order of their windows.
    /// Not so in a replay, where a later window may be judged while it runs before an earlier one closes: whoever replays puts verdicts in order, and what is
    /// said of windows that run changes nothing of what is owed for those that close.
    pub(super) fn tell(&self, groups: &mut Groups, verdict: Verdict, agents: &Agents, out: &mut Verdicts) {
        let Some(group) = groups.get_mut(verdict.group) else {
            return;
        };
        if verdict.end < group.told_until && !agents.is_driven() {
            return;
        }
        let completeness = out.completeness(agents, verdict.end);
        if !(verdict.running && agents.is_driven()) {
            group.told_until = verdict.end;
            group.standing = match (verdict.met, completeness.complete) {
                (true, _) => Standing::Met,
                (false, true) => Standing::Unmet,
                // Only complete data ends an alert, so a verdict on a later window is still owed.
                (false, false) => group.standing,
            };
        }
        let labels: BTreeMap<String, String> = self.names.iter().cloned().zip(group.labels.iter().cloned()).collect();
        out.signals.push(Signal {
            rule_id: self.rule.id.clone(),
            rule_version: self.rule.version,
            labels,
            value: verdict.value,
            top: verdict.top,
            met: verdict.met,
            running: verdict.running,
            window_start: verdict.start,
            window_end: verdict.end,
            revision: verdict.revision,
            watermark: agents.watermark(),
            completeness,
            stored_at: verdict.stored_at,
            account: None,
        });
    }

    /// The verdict on a window that has closed, or has been corrected since; nothing when nothing is wrong and alerting knows. Answers what is to be
    /// remembered of it.
    pub(super) fn conclude(
        &self,
        groups: &mut Groups,
        window: Closed<'_>,
        said: Said,
        agents: &Agents,
        out: &mut Verdicts,
    ) -> Said {
        let Closed {
            start,
            end,
            group,
            accumulator,
            stored_at,
        } = window;
        let value = accumulator.value(end.saturating_sub(start));
        let met = self.is_met(groups, group, value, out);
        #[cfg(test)]
        out.results.push(super::tests::Concluded {
            rule: self.rule.id.clone(),
            labels: groups.labels(group).to_vec(),
            start,
            end,
            value,
            met,
            revision: said.next,
            top: accumulator.top(),
        });
        let standing = groups.get(group).map(|group| group.standing);
        if met || said.met || standing != Some(Standing::Unmet) {
            let verdict = Verdict {
                start,
                end,
                group,
                value,
                top: accumulator.top(),
                met,
                running: false,
                revision: said.next,
                stored_at,
            };
            self.tell(groups, verdict, agents, out);
        }
        Said {
            next: said.next.saturating_add(1),
            met,
        }
    }

    /// Tells that a group has nothing in a window.
    pub(super) fn tell_empty(
        &self,
        groups: &mut Groups,
        group: u32,
        start: i64,
        end: i64,
        agents: &Agents,
        out: &mut Verdicts,
    ) {
        let verdict = Verdict {
            start,
            end,
            group,
            value: None,
            top: Vec::new(),
            met: false,
            running: false,
            revision: 0,
            stored_at: agents.now(),
        };
        self.tell(groups, verdict, agents, out);
        groups.release(group);
    }
}

/// A window of a group that has ended.
pub(super) struct Closed<'a> {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) group: u32,
    pub(super) accumulator: &'a Accumulator,
    pub(super) stored_at: i64,
}

/// Verdicts of one step, with what is computed once for all of them.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) signals: Vec<Signal>,
    pub(super) condition_errors: u64,
    /// Results that late events have changed.
    pub(super) corrections: u64,
    /// Keys and groups of rules without windows that were dropped for want of room.
    pub(super) evicted: u64,
    /// Events of such rules that found no room.
    pub(super) dropped: u64,
    #[cfg(test)]
    pub(super) results: Vec<super::tests::Concluded>,
    /// What is known, of all windows that end after the first time and until the second.
    completeness: Option<((i64, i64), Completeness)>,
}

impl Verdicts {
    /// Agents have reported since the last verdict.
    pub(super) fn agents_moved(&mut self) {
        self.completeness = None;
    }

    pub(super) fn completeness(&mut self, agents: &Agents, end: i64) -> Completeness {
        match &self.completeness {
            Some(((after, until), known)) if *after < end && end <= *until => known.clone(),
            _ => {
                let (fresh, of) = agents.completeness(end);
                self.completeness = Some((of, fresh.clone()));
                fresh
            }
        }
    }
}
