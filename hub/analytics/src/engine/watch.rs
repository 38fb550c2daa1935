//! One rule that has no windows, a pattern or an absence, at work: rows in, verdicts out.

use std::{collections::HashMap, rc::Rc};

use serde::{Deserialize, Serialize};
use streamflow_model::{Completeness, OpenGroup, Rule, RuleDraft, RuleKind, rule::Compiled};
use streamflow_proto::{batch::DecodeError, bitmap::Bitmap, filter::Columns, path::Path};
use uuid::Uuid;

use super::{agents::Agents, grouping::LocalGroups, part::Part, verdict::Verdicts};
use crate::{
    Options,
    absence::{
        groups::SilentGroup,
        run::{AbsenceRun, AbsenceState, Heard, Hosts},
    },
    pattern::{
        program::Mask,
        run::{Facts, PatternRun, PatternState, Rows},
    },
};

/// The part of a rule that a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum WatchState {
    Pattern(PatternState),
    Absence(AbsenceState),
}

/// The same, as it is written.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum WatchStateRef<'a> {
    Pattern(&'a PatternState),
    Absence(&'a AbsenceState),
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) rule: Rule,
    pub(super) compiled: Compiled,
    /// What the rule asks; its state is good for that and nothing else.
    pub(super) question: String,
    kind: Kind,
    /// Events that came after their turn since the hub started.
    late: u64,
}

#[derive(Debug)]
enum Kind {
    Pattern(PatternRun),
    Absence(AbsenceRun),
}

/// How a rule that has no windows does.
pub(super) struct WatchStatus {
    /// Keys or groups that it holds.
    pub(super) groups: usize,
    /// Events and steps that a pattern holds.
    pub(super) held: usize,
    /// Keys or groups that were dropped for want of room since the rule was made.
    pub(super) evicted: u64,
    /// Events that found no room since the rule was made.
    pub(super) dropped: u64,
    /// Events that came after their turn since the hub started.
    pub(super) late: u64,
    /// Groups of an absence that are not heard.
    pub(super) silent: Vec<SilentGroup>,
}

/// Most groups in a [`WatchStatus`].
const SHOWN: usize = 100;

/// What was worked out of one part of the log for these rules.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) candidates: Option<Rc<Vec<usize>>>,
    fits: HashMap<usize, Rc<Fits>>,
    groups: HashMap<Vec<Path>, Rc<LocalGroups>>,
    ids: Option<Rc<Vec<Uuid>>>,
}

/// Rows that fit a rule, and of each row the steps that it fits.
#[derive(Debug)]
struct Fits {
    rows: Bitmap,
    masks: Vec<Mask>,
}

/// A span of a part of the log.
#[derive(Debug)]
pub(super) struct Glance<'a> {
    pub(super) position: u64,
    pub(super) agent: &'a str,
    pub(super) stored_at: i64,
    /// Its rows, without those too far ahead.
    pub(super) rows: &'a Bitmap,
}

/// What decides a rule's verdicts.
pub(super) fn question(draft: &RuleDraft) -> String {
    let asked = (
        draft.kind,
        &draft.matches,
        &draft.group_by,
        draft.max_groups,
        draft.allowed_lateness,
        draft.evaluate,
        (&draft.pattern, &draft.absence),
    );
    format!("{asked:?}")
}

impl Watch {
    /// `None` when the rule is of a kind that has windows, or that follows the log by itself.
    pub(super) fn new(rule: &Rule, compiled: Compiled, question: String, watermark: i64) -> Option<Self> {
        let kind = match rule.draft.kind {
            RuleKind::Pattern => Kind::Pattern(PatternRun::new(rule, &compiled, watermark)?),
            RuleKind::Absence => Kind::Absence(AbsenceRun::new(rule, &compiled)?),
            RuleKind::Threshold | RuleKind::Anomaly | RuleKind::Plugin => return None,
        };
        Some(Self {
            rule: rule.clone(),
            compiled,
            question,
            kind,
            late: 0,
        })
    }

    /// Goes on from a checkpoint.
    pub(super) fn resume(&mut self, state: WatchState) {
        match (&mut self.kind, state) {
            (Kind::Pattern(run), WatchState::Pattern(mut state)) => {
                state.keys.reindex();
                run.state = state;
            }
            (Kind::Absence(run), WatchState::Absence(mut state)) => {
                state.groups.reindex();
                run.state = state;
            }
            _ => {}
        }
    }

    pub(super) const fn state(&self) -> WatchStateRef<'_> {
        match &self.kind {
            Kind::Pattern(run) => WatchStateRef::Pattern(&run.state),
            Kind::Absence(run) => WatchStateRef::Absence(&run.state),
        }
    }

    pub(super) fn owe(&mut self, open: &OpenGroup) {
        match &mut self.kind {
            Kind::Pattern(run) => run.owe(open),
            Kind::Absence(run) => run.owe(open),
        }
    }

    pub(super) const fn since(&self) -> i64 {
        match &self.kind {
            Kind::Pattern(run) => run.state.since,
            Kind::Absence(run) => run.state.since,
        }
    }

    /// Types of event one of which an event must have to concern the rule; `None` when any may.
    pub(super) fn types(&self, path: &Path) -> Option<Vec<String>> {
        if let Some(types) = self.compiled.filter.required(path) {
            return Some(types);
        }
        let pattern = self.compiled.pattern.as_ref()?;
        let types = pattern.steps.iter().map(|step| step.filter.required(path));
        types.collect::<Option<Vec<Vec<String>>>>().map(|types| types.concat())
    }

    fn fits(&self, columns: &mut Columns<'_>) -> Result<Fits, DecodeError> {
        let matches = self.compiled.filter.eval_columns(columns)?;
        let Some(pattern) = &self.compiled.pattern else {
            return Ok(Fits {
                rows: matches,
                masks: Vec::new(),
            });
        };
        let mut masks = vec![0; matches.len()];
        let mut any = Bitmap::new(matches.len(), false);
        for (number, step) in pattern.steps.iter().enumerate() {
            let rows = step.filter.eval_columns(columns)?.and(&matches);
            rows.iter_ones().for_each(|row| masks[row] |= 1 << number);
            any = any.or(&rows);
        }
        Ok(Fits { rows: any, masks })
    }

    pub(super) fn cap(&self, options: &Options) -> usize {
        self.rule.draft.max_groups.unwrap_or(options.max_groups) as usize
    }

    /// Lets the watermark pass.
    pub(super) fn advance(&mut self, options: &Options, links: &Links<'_>, out: &mut Verdicts) {
        let (cap, lateness) = (self.cap(options), self.rule.draft.allowed_lateness.ms());
        let rule = &self.rule;
        match &mut self.kind {
            Kind::Pattern(run) => {
                let signals = facts(links.agents, lateness, out, |facts| run.advance(rule, facts).signals);
                out.signals.extend(signals);
            }
            Kind::Absence(run) => run.advance(rule, links, cap, &mut out.signals),
        }
    }

    /// Takes a span in; answers rows that came after their turn.
    pub(super) fn add(
        &mut self,
        number: usize,
        glance: &Glance<'_>,
        part: &mut Part<'_>,
        options: &Options,
        links: &Links<'_>,
        out: &mut Verdicts,
    ) -> Result<Option<Bitmap>, DecodeError> {
        let fits = match part.sight.fits.get(&number) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(self.fits(&mut part.columns)?);
                part.sight.fits.insert(number, Rc::clone(&fresh));
                fresh
            }
        };
        let rows = fits.rows.and(glance.rows);
        if rows.is_empty() {
            return Ok(None);
        }
        let groups = match part.sight.groups.get(&self.compiled.group_by) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(LocalGroups::new(&mut part.columns, &self.compiled.group_by)?);
                let key = self.compiled.group_by.clone();
                part.sight.groups.insert(key, Rc::clone(&fresh));
                fresh
            }
        };
        let (cap, lateness) = (self.cap(options), self.rule.draft.allowed_lateness.ms());
        match &mut self.kind {
            Kind::Pattern(run) => {
                let ids = match &part.sight.ids {
                    Some(known) => Rc::clone(known),
                    None => Rc::clone(part.sight.ids.insert(Rc::new(part.columns.batch().ids()?))),
                };
                let input = Rows {
                    rows: &rows,
                    masks: &fits.masks,
                    times: &part.times,
                    ids: &ids,
                    groups: &groups,
                    cap,
                };
                let rule = &self.rule;
                let outcome = facts(links.agents, lateness, out, |facts| run.add(rule, &input, facts));
                out.signals.extend(outcome.signals);
                self.late += outcome.late.as_ref().map_or(0, |late| late.count_ones() as u64);
                Ok(outcome.late)
            }
            Kind::Absence(run) => {
                let heard = Heard {
                    rows: &rows,
                    times: &part.times,
                    groups: &groups,
                    host: glance.agent,
                    stored_at: glance.stored_at,
                    cap,
                };
                out.dropped += run.add(&self.rule, &heard, links, &mut out.signals);
                Ok(None)
            }
        }
    }

    pub(super) fn losses(&self) -> (u64, u64) {
        match &self.kind {
            Kind::Pattern(run) => (run.state.keys.evicted, run.state.keys.dropped),
            Kind::Absence(run) => (run.state.groups.evicted, 0),
        }
    }

    pub(super) fn count_losses(&self, before: (u64, u64), out: &mut Verdicts) {
        let after = self.losses();
        out.evicted += after.0 - before.0;
        out.dropped += after.1 - before.1;
    }

    /// How it does.
    pub(super) fn status(&self) -> WatchStatus {
        let (evicted, dropped) = self.losses();
        let (groups, held, silent) = match &self.kind {
            Kind::Pattern(run) => (run.state.keys.len(), run.state.keys.held(), Vec::new()),
            Kind::Absence(run) => (run.state.groups.len(), 0, run.silent(SHOWN)),
        };
        WatchStatus {
            groups,
            held,
            evicted,
            dropped,
            late: self.late,
            silent,
        }
    }

    /// Whether it is told before its turn.
    pub(super) const fn is_eager(&self) -> bool {
        match &self.kind {
            Kind::Pattern(run) => run.is_eager(),
            Kind::Absence(_) => false,
        }
    }
}

fn facts<T>(agents: &Agents, lateness: i64, out: &mut Verdicts, work: impl FnOnce(&mut Facts<'_>) -> T) -> T {
    let mut completeness = |at: i64| out.completeness(agents, at);
    let gone = |since: i64, at: i64| agents.gone(since, at);
    work(&mut Facts {
        watermark: agents.watermark().saturating_sub(lateness),
        now: agents.now(),
        completeness: &mut completeness,
        gone: &gone,
    })
}

/// What absences know of hosts.
pub(super) struct Links<'a> {
    pub(super) agents: &'a Agents,
    /// Since when the hub has listened without a break, wall clock ms.
    pub(super) listening_since: i64,
}

impl Hosts for Links<'_> {
    fn passed(&self, host: &str, at: i64) -> bool {
        self.agents.passed(host, at)
    }
    fn completeness(&self, at: i64) -> Completeness {
        self.agents.completeness(at).0
    }
    fn watermark(&self) -> i64 {
        match self.agents.watermark() {
            // Nobody has ever reported: only the clock tells time.
            i64::MIN => self.agents.now(),
            watermark => watermark,
        }
    }
    fn now(&self) -> i64 {
        self.agents.now()
    }
    fn listening_since(&self) -> i64 {
        self.listening_since
    }
    fn replayed(&self) -> bool {
        self.agents.is_driven()
    }
}
