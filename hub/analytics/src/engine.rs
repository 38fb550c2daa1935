//! The pure engine: batches of the log and time in, verdicts out.
//!
//! Invariants: the same batches in the same order give the same state and the same verdicts, whether they come one by one or merged into chunks, with or
//! without a restart from a checkpoint in between. Time is taken from the batches (`stored_at`) and from [`Engine::tick`]; the engine reads no clock.
//! State is bounded by the rules' groups, whatever the events hold.

pub(crate) mod agents;
mod aligned;
pub(crate) mod cells;
pub(crate) mod grouping;
pub(crate) mod groups;
mod index;
pub(crate) mod numbering;
mod part;
mod run;
pub(crate) mod selection;
mod sessions;
mod status;
mod table;
mod verdict;
mod watch;
mod watches;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{OpenGroup, Rule, RuleError, Signal};
use streamflow_proto::{bitmap::Bitmap, filter::Columns, metric};
use streamflow_storage::store::{LogBatch, RowSpan};

use crate::Options;
use agents::Agents;
use cells::Scratch;
use index::{Candidates, Index};
use part::{Part, Shared};
use run::{Run, State, Work};
use verdict::Verdicts;
use watch::{Glance, WatchState, WatchStateRef};
use watches::Watches;

pub use crate::absence::groups::{Presence, SilentGroup};
pub use agents::{Heard, Standing};
pub use status::{AgentProgress, EngineStatus, RuleStatus, SurplusStatus};

/// What one call of the engine brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Verdicts in order.
    pub signals: Vec<Signal>,
    /// Events that were read.
    pub events: u64,
    /// Events that came too late for every window of theirs of some rule.
    pub late: Vec<Late>,
    /// Results of closed windows that late events have changed.
    pub corrections: u64,
    /// Events too far ahead of the clock for any window.
    pub future: u64,
    /// Groups that were counted in `other` because a rule had too many.
    pub surplus: Vec<Surplus>,
    /// Conditions that gave no verdict.
    pub condition_errors: u64,
    /// Columns that did not decode.
    pub unreadable: u64,
    /// Keys and groups of rules without windows that were dropped for want of room.
    pub evicted: u64,
    /// Events of such rules that found no room.
    pub dropped: u64,
    #[cfg(test)]
    results: Vec<tests::Concluded>,
}

impl Outcome {
    fn take(&mut self, out: Verdicts) {
        self.signals = out.signals;
        self.condition_errors = out.condition_errors;
        self.corrections = out.corrections;
        self.evicted = out.evicted;
        self.dropped = out.dropped;
        #[cfg(test)]
        {
            self.results = out.results;
        }
    }
}

/// Events that came too late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Who sent them.
    pub agent: String,
    /// Their source.
    pub source: String,
    /// How many.
    pub events: u64,
}

/// Groups of a rule that were counted in `other`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// Name of the rule.
    pub rule: String,
    /// The attribute that made them too many.
    pub attribute: String,
    /// How many, in each batch.
    pub groups: u64,
}

/// What a checkpoint holds.
#[derive(Debug, Deserialize)]
pub struct EngineState {
    agents: Agents,
    rules: Vec<(String, String, State)>,
    watches: Vec<(String, String, WatchState)>,
}

/// The same, as it is written.
#[derive(Debug, Serialize)]
pub struct EngineStateRef<'a> {
    agents: &'a Agents,
    rules: Vec<(&'a str, &'a str, &'a State)>,
    watches: Vec<(&'a str, &'a str, WatchStateRef<'a>)>,
}

/// Rules at work.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    agents: Agents,
    /// Where reading of the log began, in event time: windows that began before are incomplete.
    origin: i64,
    runs: Vec<Run>,
    /// State from a checkpoint, until its rule is seen.
    saved: HashMap<(String, String), State>,
    index: Index,
    shared: Shared,
    /// No window closes before the watermark reaches this.
    next_close: i64,
    scratch: Scratch,
    /// Rules that have no windows.
    watches: Watches,
}

impl Engine {
    /// An engine that begins to read the log at this event time; `i64::MIN` when it reads all of it.
    #[must_use]
    pub fn new(options: Options, origin: i64) -> Self {
        let (runs, saved, index, shared, scratch) = Default::default();
        Self {
            options,
            agents: Agents::new(origin),
            origin,
            runs,
            saved,
            index,
            shared,
            next_close: i64::MIN,
            scratch,
            watches: Watches::default(),
        }
    }

    /// An engine for the past: nothing but [`Engine::advance_to`] closes its windows, so no event is late, in whatever order the log is read.
    #[must_use]
    pub fn replay(options: Options, origin: i64) -> Self {
        let mut engine = Self::new(options, origin);
        engine.agents = Agents::new(origin).driven();
        engine
    }

    /// Tells an engine for the past that no event before this time is to come.
    pub fn advance_to(&mut self, watermark: i64) -> Outcome {
        self.agents.drive(watermark);
        self.tick(watermark)
    }

    /// An engine that goes on from a checkpoint. Give it the rules before the first batch.
    #[must_use]
    pub fn restore(options: Options, state: EngineState) -> Self {
        let mut engine = Self::new(options, i64::MIN);
        engine.agents = state.agents;
        let mut labels = HashMap::default();
        engine.saved = state
            .rules
            .into_iter()
            .map(|(id, question, mut state)| {
                state.reindex(&mut labels);
                ((id, question), state)
            })
            .collect();
        engine.watches.resume(state.watches);
        engine
    }

    /// What a checkpoint must hold for [`Engine::restore`].
    #[must_use]
    pub fn state(&self) -> EngineStateRef<'_> {
        let rules = self
            .runs
            .iter()
            .map(|run| (run.asks.rule.id.as_str(), run.question.as_str(), &run.state))
            .collect();
        EngineStateRef {
            agents: &self.agents,
            rules,
            watches: self.watches.state(),
        }
    }

    /// Takes over the present rules. Those that ask what they asked before keep their state; others begin now. Answers the rules that do not compile.
    pub fn set_rules(&mut self, rules: &[Rule]) -> Vec<(String, Vec<RuleError>)> {
        let mut refused = Vec::new();
        let mut earlier: HashMap<String, Run> = std::mem::take(&mut self.runs)
            .into_iter()
            .map(|run| (run.asks.rule.id.clone(), run))
            .collect();
        self.watches.set_rules(rules, self.agents.watermark(), &mut refused);
        for rule in rules
            .iter()
            .filter(|rule| rule.draft.enabled && rule.draft.kind.has_windows())
        {
            let question = run::question(&rule.draft);
            if let Some(mut run) = earlier.remove(&rule.id).filter(|run| run.question == question) {
                run.renew(rule);
                self.runs.push(run);
                continue;
            }
            match Run::new(rule, self.agents.watermark(), self.origin) {
                Ok(mut run) => {
                    run.state = self.saved.remove(&(rule.id.clone(), question)).unwrap_or(run.state);
                    self.runs.push(run);
                }
                Err(errors) => refused.push((rule.draft.name.clone(), errors)),
            }
        }
        self.saved.clear();
        self.index = Index::new(&self.runs);
        self.shared = Shared::new(self.index.distinct());
        self.next_close = i64::MIN;
        refused
    }

    /// Takes over the groups whose alerts are open, after the rules and before the first batch: without it an alert of which no state is left, because the
    /// checkpoint was not readable or is of another question, would never end.
    pub fn owe(&mut self, open: &[OpenGroup]) {
        for group in open {
            if let Some(run) = self.runs.iter_mut().find(|run| run.asks.rule.id == group.rule_id) {
                run.owe(group);
            }
            self.watches.owe(group);
        }
        self.next_close = i64::MIN;
    }

    /// Takes note of heartbeats. Every batch that was stored before they arrived must have been taken in.
    pub fn hear(&mut self, heard: &[Heard]) {
        for one in heard {
            self.agents.hear(one, &self.options);
        }
    }

    /// The hub begins to listen, wall clock ms, or does so again after a break: nobody could reach its doors before.
    pub fn listen_from(&mut self, now: i64) {
        self.watches.listen_from(now);
    }

    /// Lets time pass while no batch comes, so that windows close all the same.
    pub fn tick(&mut self, now: i64) -> Outcome {
        let mut out = Verdicts::default();
        self.advance(now, &mut out);
        let mut outcome = Outcome::default();
        outcome.take(out);
        outcome
    }

    /// Takes in a part of the log.
    pub fn ingest(&mut self, log: &LogBatch) -> Outcome {
        let mut outcome = Outcome::default();
        let mut columns = Columns::new(&log.batch);
        let prepared = columns.timestamps().and_then(|times| {
            let candidates = self.index.candidates(&mut columns)?;
            Ok((times, candidates, metric::carriers(&log.batch)?))
        });
        let Ok((times, candidates, carriers)) = prepared else {
            outcome.unreadable += 1;
            return outcome;
        };
        let mut part = Part::new(columns, times, &self.index);
        part.carriers = carriers;
        let mut out = Verdicts::default();
        for span in &log.spans {
            self.advance(span.stored_at, &mut out);
            self.span(span, &candidates, &mut part, &mut outcome, &mut out);
            self.advance(span.stored_at, &mut out);
        }
        outcome.take(out);
        outcome
    }

    /// Everything before this event time has been judged, with all hosts' events.
    #[must_use]
    pub fn complete_until(&self) -> i64 {
        self.agents.complete_until()
    }

    fn advance(&mut self, now: i64, out: &mut Verdicts) {
        self.agents.advance(now, &self.options);
        out.agents_moved();
        self.watches.advance(&self.options, &self.agents, out);
        if self.agents.watermark() < self.next_close {
            return;
        }
        for run in &mut self.runs {
            run.close(&self.options, &self.agents, out);
        }
        self.next_close = self.runs.iter().map(Run::next_close).min().unwrap_or(i64::MAX);
    }

    fn span(
        &mut self,
        span: &RowSpan,
        candidates: &Candidates,
        part: &mut Part<'_>,
        outcome: &mut Outcome,
        out: &mut Verdicts,
    ) {
        let limit = span.stored_at.saturating_add(self.options.max_future.ms());
        let all = span.start as usize..(span.end as usize).min(part.times.len());
        let end = part
            .carriers
            .as_ref()
            .map_or(all.end, |carriers| span.events_end(carriers) as usize);
        let rows = all.start..end;
        let counted = Bitmap::within(part.times.len(), rows.clone(), |row| part.times[row] <= limit);
        let newest = all.map(|row| part.times[row]).filter(|at| *at <= limit).max();
        outcome.events += rows.len() as u64;
        outcome.future += (rows.len() - counted.count_ones()) as u64;
        let mut late: Option<Bitmap> = None;
        part.begin_span();
        for (number, entries) in candidates.rules() {
            let run = &mut self.runs[number];
            // Decided by the log's clock, so that a replay decides the same.
            if span.stored_at < run.state.since {
                continue;
            }
            let plan = self.index.plan(number);
            let chosen = part.chosen((plan, entries), run, &counted, &self.index, &mut self.shared);
            let added = chosen.and_then(|chosen| {
                let Some(chosen) = chosen else {
                    return Ok(cells::Folded::default());
                };
                let mut work = Work {
                    scratch: &mut self.scratch,
                    numbering: &self.shared.numberings[plan.grouping],
                    agents: &self.agents,
                    out,
                };
                let moment = (part.times.as_slice(), span.stored_at);
                run.add(&mut part.columns, &chosen, moment, &self.options, &mut work)
            });
            match added {
                Ok(folded) => {
                    self.next_close = self.next_close.min(run.next_close());
                    if folded.surplus > 0 {
                        outcome.surplus.push(run.surplus(folded.surplus));
                    }
                    late = match (late, folded.late) {
                        (Some(known), Some(more)) => Some(known.or(&more)),
                        (known, more) => known.or(more),
                    };
                }
                Err(error) => {
                    outcome.unreadable += 1;
                    tracing::warn!(position = span.position, rule = run.asks.rule.draft.name, %error, "a batch cannot be read for a rule");
                }
            }
        }
        let glance = Glance {
            position: span.position,
            agent: &span.agent,
            stored_at: span.stored_at,
            rows: &counted,
        };
        let seen = self.watches.add(&glance, part, &self.options, &self.agents, out);
        outcome.unreadable += seen.unreadable;
        let late = match (late, seen.late) {
            (Some(known), Some(more)) => Some(known.or(&more)),
            (known, more) => known.or(more),
        };
        if let Some(late) = late {
            outcome.late.extend(part.late(&span.agent, &late));
        }
        if let Some(newest) = newest {
            self.agents.report(&span.agent, newest, span.stored_at, &self.options);
        }
    }
}

#[cfg(test)]
mod tests;
