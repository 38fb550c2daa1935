//! One rule at work: its windows, and the verdicts on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{
    Completeness, Evaluate, OpenGroup, Rule, RuleDraft, RuleError, Signal, WindowSpec, rule::Compiled,
};
use streamflow_proto::{
    aggregate::Accumulator,
    batch::DecodeError,
    filter::{Columns, ConditionInput},
};

use super::{
    agents::Agents,
    cells::{Cell, Cells, Folded, Input, Scratch, next_start, window_start},
    groups::Standing,
};

/// The part of a rule that a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) cells: Cells,
    /// Windows that start before this are closed.
    pub(super) closed_until: i64,
    /// Batches stored before this, when the rule was not there yet, do not count.
    pub(super) since: i64,
}

/// A rule with its state.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) rule: Rule,
    pub(super) compiled: Compiled,
    /// Names of the labels, in the order of `group_by`.
    names: Vec<String>,
    eager: bool,
    /// What the rule asks; its state is good for that and nothing else.
    pub(super) question: String,
    pub(super) state: State,
}

/// What decides a rule's verdicts. Changes of anything else, such as its channels, leave its windows as they are.
pub(super) fn question(draft: &RuleDraft) -> String {
    let WindowSpec::Tumbling(window) = draft.window;
    let (groups, threshold, evaluate) = (&draft.group_by, draft.threshold, draft.evaluate);
    let asked = (
        &draft.matches,
        &draft.aggregate,
        window.ms(),
        groups,
        &draft.condition,
        threshold,
        evaluate,
    );
    format!("{asked:?}")
}

impl Run {
    /// A rule that has seen nothing. Of the window that is under way it sees the rest; where a part of a window would look like less than there was, that
    /// window is left out, and so are windows that began before `origin`, where the log begins to be read.
    pub(super) fn new(rule: &Rule, watermark: i64, origin: i64) -> Result<Self, Vec<RuleError>> {
        let compiled = rule.draft.compile()?;
        let size = rule.draft.window.size().ms();
        let grows = compiled.aggregate.may_only_grow();
        let upward = compiled.condition.is_upward();
        let eager = match rule.draft.evaluate {
            Evaluate::OnClose => false,
            Evaluate::Eager => true,
            Evaluate::Auto => upward && grows,
        };
        let whole = if grows && !upward {
            origin.max(rule.updated_at.0)
        } else {
            origin
        };
        let closed_until = window_start(watermark, size).max(next_start(whole, size));
        let names = compiled.group_by.iter().map(ToString::to_string).collect();
        Ok(Self {
            rule: rule.clone(),
            compiled,
            names,
            eager,
            state: State {
                cells: Cells::new(size),
                closed_until,
                since: rule.updated_at.0,
            },
            question: question(&rule.draft),
        })
    }

    /// Owes alerting a verdict on a group whose alert is open, whatever was known of it here.
    pub(super) fn owe(&mut self, open: &OpenGroup) {
        let labels = self.names.iter().map(|name| open.labels.get(name).map(String::as_str));
        if let Some(labels) = labels.collect::<Option<Vec<&str>>>() {
            self.state.cells.groups.owe(&labels, open.told_until);
        }
    }

    fn size(&self) -> i64 {
        self.rule.draft.window.size().ms()
    }

    /// Adds rows, and says at once what more rows cannot make untrue.
    pub(super) fn add(
        &mut self,
        columns: &mut Columns<'_>,
        input: &Input<'_>,
        scratch: &mut Scratch,
        agents: &Agents,
        out: &mut Verdicts,
    ) -> Result<Folded, DecodeError> {
        let folded = self
            .state
            .cells
            .fold(&self.compiled.aggregate, columns, input, scratch)?;
        if self.eager {
            for slot in &scratch.touched {
                self.judge_running(*slot, agents, out);
            }
        }
        Ok(folded)
    }

    fn judge_running(&mut self, slot: u32, agents: &Agents, out: &mut Verdicts) {
        let size = self.size();
        let (cell, accumulator) = self.state.cells.cell_mut(slot);
        if cell.fired || (self.rule.draft.evaluate == Evaluate::Auto && !accumulator.only_grows()) {
            return;
        }
        let (cell, value) = (cell.clone(), accumulator.value(size));
        if !self.is_met(cell.group, value, out) {
            return;
        }
        self.state.cells.cell_mut(slot).0.fired = true;
        let signal = Verdict {
            start: cell.start,
            group: cell.group,
            value,
            met: true,
            running: true,
            revision: 0,
            stored_at: cell.stored_at,
        };
        self.tell(&signal, agents, out);
    }

    /// Closes every window that the watermark has passed.
    pub(super) fn close(&mut self, agents: &Agents, out: &mut Verdicts) {
        let size = self.size();
        let bound = window_start(agents.watermark(), size);
        while self.state.closed_until < bound {
            let next = self.state.cells.first_window().filter(|start| *start < bound);
            let gap_end = next.unwrap_or(bound);
            self.empty(self.state.closed_until, gap_end, agents, out);
            self.state.closed_until = gap_end;
            let Some(start) = next else { continue };
            let end = start.saturating_add(size);
            let cells = self.state.cells.take_window(start, &self.compiled.aggregate);
            for (cell, accumulator) in &cells {
                self.judge_closed(cell, accumulator, agents, out);
            }
            self.empty(start, end, agents, out);
            self.state.closed_until = end;
            for (cell, _) in cells {
                self.state.cells.groups.release(cell.group);
            }
        }
    }

    fn judge_closed(&mut self, cell: &Cell, accumulator: &Accumulator, agents: &Agents, out: &mut Verdicts) {
        let value = accumulator.value(self.size());
        let met = self.is_met(cell.group, value, out);
        // Silence about a group of which alerting already knows that nothing is wrong.
        let standing = self.state.cells.groups.get(cell.group).map(|group| group.standing);
        if !met && standing == Some(Standing::Unmet) {
            return;
        }
        let revision = u32::from(cell.fired);
        let verdict = Verdict {
            start: cell.start,
            group: cell.group,
            value,
            met,
            running: false,
            revision,
            stored_at: cell.stored_at,
        };
        self.tell(&verdict, agents, out);
    }

    /// Tells of groups that were met and of which nothing was said since `from` that their first window from there on, if it ends by `end`, holds nothing.
    fn empty(&mut self, from: i64, end: i64, agents: &Agents, out: &mut Verdicts) {
        let size = self.size();
        for group in self.state.cells.groups.met() {
            let told_until = self
                .state
                .cells
                .groups
                .get(group)
                .map_or(i64::MIN, |group| group.told_until);
            let start = from.max(told_until);
            if start.saturating_add(size) > end {
                continue;
            }
            let verdict = Verdict {
                start,
                group,
                value: None,
                met: false,
                running: false,
                revision: 0,
                stored_at: agents.now(),
            };
            self.tell(&verdict, agents, out);
            self.state.cells.groups.release(group);
        }
    }

    fn is_met(&self, group: u32, value: Option<f64>, out: &mut Verdicts) -> bool {
        let (Some(value), Some(group)) = (value, self.state.cells.groups.get(group)) else {
            return false;
        };
        let pairs = self.names.iter().cloned().zip(group.labels.iter().cloned());
        let labels: Vec<(String, String)> = if self.compiled.condition.uses_labels() {
            pairs.collect()
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
    fn tell(&mut self, verdict: &Verdict, agents: &Agents, out: &mut Verdicts) {
        let end = verdict.start.saturating_add(self.size());
        let Some(group) = self.state.cells.groups.get_mut(verdict.group) else {
            return;
        };
        if end < group.told_until {
            return;
        }
        let completeness = out.completeness(agents, end);
        group.told_until = end;
        group.standing = match (verdict.met, completeness.complete) {
            (true, _) => Standing::Met,
            (false, true) => Standing::Unmet,
            // Only complete data ends an alert, so a verdict on a later window is still owed.
            (false, false) => group.standing,
        };
        let labels: BTreeMap<String, String> = self.names.iter().cloned().zip(group.labels.iter().cloned()).collect();
        out.signals.push(Signal {
            rule_id: self.rule.id.clone(),
            rule_version: self.rule.version,
            labels,
            value: verdict.value,
            met: verdict.met,
            running: verdict.running,
            window_start: verdict.start,
            window_end: end,
            revision: verdict.revision,
            watermark: agents.watermark(),
            completeness,
            stored_at: verdict.stored_at,
            account: None,
        });
    }
}

struct Verdict {
    start: i64,
    group: u32,
    value: Option<f64>,
    met: bool,
    running: bool,
    revision: u32,
    stored_at: i64,
}

/// Verdicts of one step, with what is computed once for all of them.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) signals: Vec<Signal>,
    pub(super) condition_errors: u64,
    completeness: Option<(i64, Completeness)>,
}

impl Verdicts {
    /// Agents have reported since the last verdict.
    pub(super) fn agents_moved(&mut self) {
        self.completeness = None;
    }

    fn completeness(&mut self, agents: &Agents, end: i64) -> Completeness {
        match &self.completeness {
            Some((of, known)) if *of == end => known.clone(),
            _ => {
                let fresh = agents.completeness(end);
                self.completeness = Some((end, fresh.clone()));
                fresh
            }
        }
    }
}
