//! One rule at work: its windows, and the verdicts on them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{OpenGroup, Rule, RuleDraft, RuleError};
use streamflow_proto::{batch::DecodeError, filter::Columns};

use super::{
    Surplus,
    agents::Agents,
    aligned::Aligned,
    cells::{Folded, Input, Scratch},
    groups::Groups,
    numbering::{Labels, Numbering},
    part::Chosen,
    sessions::{Rows, Sessions},
    verdict::{Asks, Verdicts},
};
use crate::{
    Options,
    anomaly::review::{Anomaly, AnomalyState, Closed},
};

/// Most bytes of one rule's values in progress.
const MAX_BYTES: usize = 512 << 20;
/// What a value in progress takes besides its aggregate.
const CELL_BYTES: usize = 128;

/// The part of a rule that a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) groups: Groups,
    windows: Windows,
    /// What an anomaly rule has learned.
    anomaly: Option<AnomalyState>,
    /// Batches stored before this, when the rule was not there yet, do not count.
    pub(super) since: i64,
}

/// Where its windows begin and end.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Windows {
    Aligned(Aligned),
    Sessions(Sessions),
}

/// How much of everything a rule may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) groups: usize,
    pub(super) cells: usize,
}

/// What became of a rule's events since the engine started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Events that came too late for any of its windows.
    pub(super) late: u64,
    /// Groups that were counted in `other`, once for each batch.
    pub(super) surplus: u64,
    /// The attribute that made the groups too many, and how many values of it there were.
    pub(super) exploded: Option<(String, usize)>,
    /// Results that late events have changed.
    pub(super) corrections: u64,
}

/// A rule with its state.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) asks: Asks,
    /// What the rule asks; its state is good for that and nothing else.
    pub(super) question: String,
    pub(super) state: State,
    pub(super) tally: Tally,
    /// What an anomaly rule takes for normal.
    anomaly: Option<Anomaly>,
}

/// What decides a rule's verdicts. Changes of anything else, such as its channels, leave its windows as they are.
pub(super) fn question(draft: &RuleDraft) -> String {
    let (groups, threshold, evaluate) = (&draft.group_by, draft.threshold, draft.evaluate);
    let asked = (
        &draft.matches,
        &draft.aggregate,
        &draft.window,
        draft.allowed_lateness.ms(),
        groups,
        draft.max_groups,
        &draft.condition,
        threshold,
        evaluate,
        (draft.kind, &draft.anomaly),
    );
    format!("{asked:?}")
}

impl Run {
    /// A rule that has seen nothing. Of the window that is under way it sees the rest; where a part of a window would look like less than there was, that
    /// window is left out, and so are windows that began before `origin`, where the log begins to be read.
    pub(super) fn new(rule: &Rule, watermark: i64, origin: i64) -> Result<Self, Vec<RuleError>> {
        let asks = Asks::new(rule)?;
        let whole = if asks.only_rises() && !asks.is_upward() {
            origin.max(rule.updated_at.0)
        } else {
            origin
        };
        let windows = match rule.draft.window.slide() {
            Some(slide) => Windows::Aligned(Aligned::new(&rule.draft, slide.ms(), watermark, whole)),
            None => Windows::Sessions(Sessions::new(&rule.draft, watermark, whole)),
        };
        let anomaly = Anomaly::new(rule, &asks.compiled);
        Ok(Self {
            asks,
            question: question(&rule.draft),
            state: State {
                groups: Groups::default(),
                windows,
                anomaly: anomaly.is_some().then(AnomalyState::default),
                since: rule.updated_at.0,
            },
            tally: Tally::default(),
            anomaly,
        })
    }

    /// Takes over a version of the rule that asks the same.
    pub(super) fn renew(&mut self, rule: &Rule) {
        self.asks.rule = rule.clone();
    }

    /// Owes alerting a verdict on a group whose alert is open, whatever was known of it here.
    pub(super) fn owe(&mut self, open: &OpenGroup) {
        if let Some(labels) = self.asks.labels_of(&open.labels) {
            self.state.groups.owe(&labels, open.told_until);
            if let (Some(anomaly), Some(state)) = (&self.anomaly, &mut self.state.anomaly) {
                anomaly.owe(state, open);
            }
            if let Windows::Sessions(sessions) = &mut self.state.windows {
                sessions.owe();
            }
        }
    }

    /// When its next window closes, in event time.
    pub(super) fn next_close(&self) -> i64 {
        match &self.state.windows {
            Windows::Aligned(windows) => windows.next_close(),
            Windows::Sessions(sessions) => sessions.next_close(),
        }
    }

    fn limits(&self, options: &Options) -> Limits {
        Limits {
            groups: self.asks.rule.draft.max_groups.unwrap_or(options.max_groups) as usize,
            cells: MAX_BYTES / (CELL_BYTES + self.asks.compiled.aggregate.max_bytes()),
        }
    }

    /// Length of the panes of windows of fixed places.
    pub(super) fn pane(&self) -> Option<i64> {
        match &self.state.windows {
            Windows::Aligned(windows) => Some(windows.pane()),
            Windows::Sessions(_) => None,
        }
    }

    /// Adds rows, and says at once what more rows cannot make untrue.
    pub(super) fn add(
        &mut self,
        columns: &mut Columns<'_>,
        chosen: &Chosen,
        (times, stored_at): (&[i64], i64),
        options: &Options,
        work: &mut Work<'_>,
    ) -> Result<Folded, DecodeError> {
        let limits = self.limits(options);
        let (groups, before) = (&mut self.state.groups, work.out.corrections);
        let told = work.out.signals.len();
        let folded = match &mut self.state.windows {
            Windows::Aligned(windows) => {
                let input = Input {
                    selection: &chosen.selection,
                    groups: &chosen.groups,
                    numbering: work.numbering,
                    rows: times.len(),
                    floor: i64::MIN,
                    stored_at,
                    cap: limits.groups,
                    max_cells: windows.max_cells(&limits),
                    watch: None,
                };
                windows.add(&self.asks, groups, columns, input, work)
            }
            Windows::Sessions(sessions) => {
                let rows = Rows {
                    rows: &chosen.rows,
                    times,
                    groups: &chosen.groups,
                    numbering: work.numbering,
                    stored_at,
                    cap: limits.groups,
                    max_cells: Sessions::max_cells(&limits),
                };
                sessions.add(&self.asks, groups, columns, &rows, work)
            }
        }?;
        self.tally.corrections += work.out.corrections - before;
        self.tally.late += folded.late.as_ref().map_or(0, |late| late.count_ones() as u64);
        if folded.surplus > 0 {
            if self.tally.exploded.is_none() {
                let most = groups.most_varied();
                self.tally.exploded = most.map(|(at, values)| (self.asks.attribute(at).to_owned(), values));
            }
            self.tally.surplus += folded.surplus;
        }
        self.review(told, limits.groups, work.agents, work.out);
        Ok(folded)
    }

    /// What is said of groups that were just counted in `other`.
    pub(super) fn surplus(&self, groups: u64) -> Surplus {
        let attribute = self.tally.exploded.as_ref();
        Surplus {
            rule: self.asks.rule.draft.name.clone(),
            attribute: attribute.map_or_else(String::new, |(attribute, _)| attribute.clone()),
            groups,
        }
    }

    /// Closes every window that the watermark has passed.
    pub(super) fn close(&mut self, options: &Options, agents: &Agents, out: &mut Verdicts) {
        let told = out.signals.len();
        match &mut self.state.windows {
            Windows::Aligned(windows) => windows.close(&self.asks, &mut self.state.groups, agents, out),
            Windows::Sessions(sessions) => sessions.close(&self.asks, &mut self.state.groups, agents, out),
        }
        self.review(told, self.limits(options).groups, agents, out);
    }

    /// Lets an anomaly rule judge what its windows have said since there were `told` verdicts.
    fn review(&mut self, told: usize, cap: usize, agents: &Agents, out: &mut Verdicts) {
        let (Some(anomaly), Some(state), Windows::Aligned(windows)) =
            (&self.anomaly, &mut self.state.anomaly, &self.state.windows)
        else {
            return;
        };
        let signals = out.signals.split_off(told);
        let before = state.models.evicted;
        let verdicts = anomaly.review(
            state,
            Closed {
                rule: &self.asks.rule,
                signals,
                until: windows.closed_end(),
                watermark: agents.watermark(),
                now: agents.now(),
                completeness: &mut |end| out.completeness(agents, end),
                cap,
            },
        );
        out.evicted += state.models.evicted - before;
        out.signals.extend(verdicts);
    }

    /// Groups whose normal is known, and groups that were forgotten for want of room.
    pub(super) fn learned(&self) -> Option<(usize, u64)> {
        self.state
            .anomaly
            .as_ref()
            .map(|state| (state.models.len(), state.models.evicted))
    }
}

/// What all rules share while rows are added.
pub(super) struct Work<'a> {
    pub(super) scratch: &'a mut Scratch,
    /// Numbers of the rule's groups.
    pub(super) numbering: &'a Numbering,
    pub(super) agents: &'a Agents,
    pub(super) out: &'a mut Verdicts,
}

impl State {
    /// Builds what a checkpoint does not hold.
    pub(super) fn reindex(&mut self, known: &mut HashMap<u128, Labels, foldhash::fast::RandomState>) {
        self.groups.reindex(known);
        if let Some(anomaly) = &mut self.anomaly {
            anomaly.models.reindex();
        }
        match &mut self.windows {
            Windows::Aligned(windows) => windows.reindex(),
            Windows::Sessions(sessions) => sessions.reindex(),
        }
    }
}
