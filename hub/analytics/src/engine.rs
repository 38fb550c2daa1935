//! The pure engine: batches of the log and time in, verdicts out.
//!
//! Invariants: the same batches in the same order give the same state and the same verdicts, whether they come one by one or merged into chunks, with or
//! without a restart from a checkpoint in between. Time is taken from the batches (`stored_at`) and from [`Engine::tick`]; the engine reads no clock.
//! State is bounded by the rules' groups, whatever the events hold.

pub(crate) mod agents;
pub(crate) mod cells;
pub(crate) mod grouping;
pub(crate) mod groups;
mod index;
mod run;

use std::{collections::HashMap, rc::Rc};

use serde::{Deserialize, Serialize};
use streamflow_model::{OpenGroup, Rule, RuleError, RuleKind, Signal};
use streamflow_proto::{batch::DecodeError, bitmap::Bitmap, filter::Columns, path::Path};
use streamflow_storage::store::{LogBatch, RowSpan};

use crate::Options;
use agents::Agents;
use cells::{Input, Scratch};
use grouping::LocalGroups;
use index::Index;
use run::{Run, State, Verdicts};

/// What one call of the engine brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Verdicts in order.
    pub signals: Vec<Signal>,
    /// Events that were read.
    pub events: u64,
    /// Events that came after a window of theirs had closed, by agent.
    pub late: Vec<(String, u64)>,
    /// Events too far ahead of the clock for any window.
    pub future: u64,
    /// Groups that were counted in `other` because there were too many.
    pub surplus_groups: u64,
    /// Conditions that gave no verdict.
    pub condition_errors: u64,
    /// Columns that did not decode.
    pub unreadable: u64,
}

/// What a checkpoint holds.
#[derive(Debug, Deserialize)]
pub struct EngineState {
    agents: Agents,
    rules: Vec<(String, String, State)>,
}

/// The same, as it is written.
#[derive(Debug, Serialize)]
pub struct EngineStateRef<'a> {
    agents: &'a Agents,
    rules: Vec<(&'a str, &'a str, &'a State)>,
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
    scratch: Scratch,
}

impl Engine {
    /// An engine that begins to read the log at this event time; `i64::MIN` when it reads all of it.
    #[must_use]
    pub fn new(options: Options, origin: i64) -> Self {
        let (runs, saved, index, scratch) = Default::default();
        Self {
            options,
            agents: Agents::new(origin),
            origin,
            runs,
            saved,
            index,
            scratch,
        }
    }

    /// An engine that goes on from a checkpoint. Give it the rules before the first batch.
    #[must_use]
    pub fn restore(options: Options, state: EngineState) -> Self {
        let mut engine = Self::new(options, i64::MIN);
        engine.agents = state.agents;
        engine.saved = state
            .rules
            .into_iter()
            .map(|(id, question, mut state)| {
                state.cells.groups.reindex();
                ((id, question), state)
            })
            .collect();
        engine
    }

    /// What a checkpoint must hold for [`Engine::restore`].
    #[must_use]
    pub fn state(&self) -> EngineStateRef<'_> {
        let rules = self
            .runs
            .iter()
            .map(|run| (run.rule.id.as_str(), run.question.as_str(), &run.state))
            .collect();
        EngineStateRef {
            agents: &self.agents,
            rules,
        }
    }

    /// Takes over the present rules. Those that ask what they asked before keep their state; others begin now. Answers the rules that do not compile.
    pub fn set_rules(&mut self, rules: &[Rule]) -> Vec<(String, Vec<RuleError>)> {
        let mut refused = Vec::new();
        let mut earlier: HashMap<String, Run> = std::mem::take(&mut self.runs)
            .into_iter()
            .map(|run| (run.rule.id.clone(), run))
            .collect();
        let own = |rule: &&Rule| rule.draft.enabled && rule.draft.kind != RuleKind::Plugin;
        for rule in rules.iter().filter(own) {
            let question = run::question(&rule.draft);
            if let Some(mut run) = earlier.remove(&rule.id).filter(|run| run.question == question) {
                run.rule = rule.clone();
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
        refused
    }

    /// Takes over the groups whose alerts are open, after the rules and before the first batch: without it an alert of which no state is left, because the
    /// checkpoint was not readable or is of another question, would never end.
    pub fn owe(&mut self, open: &[OpenGroup]) {
        for group in open {
            if let Some(run) = self.runs.iter_mut().find(|run| run.rule.id == group.rule_id) {
                run.owe(group);
            }
        }
    }

    /// Lets time pass while no batch comes, so that windows close all the same.
    pub fn tick(&mut self, now: i64) -> Outcome {
        let mut out = Verdicts::default();
        self.advance(now, &mut out);
        Outcome {
            signals: out.signals,
            condition_errors: out.condition_errors,
            ..Outcome::default()
        }
    }

    /// Takes in a part of the log.
    pub fn ingest(&mut self, log: &LogBatch) -> Outcome {
        let mut outcome = Outcome::default();
        let mut columns = Columns::new(&log.batch);
        let prepared = columns
            .timestamps()
            .and_then(|times| Ok((times, self.index.candidates(&mut columns)?)));
        let Ok((times, candidates)) = prepared else {
            outcome.unreadable += 1;
            return outcome;
        };
        let mut part = Part {
            columns,
            times,
            matches: HashMap::new(),
            groups: HashMap::new(),
        };
        let mut out = Verdicts::default();
        for span in &log.spans {
            self.advance(span.stored_at, &mut out);
            self.span(span, &candidates, &mut part, &mut outcome, &mut out);
            self.advance(span.stored_at, &mut out);
        }
        outcome.signals = out.signals;
        outcome.condition_errors = out.condition_errors;
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
        for run in &mut self.runs {
            run.close(&self.agents, out);
        }
    }

    fn span(
        &mut self,
        span: &RowSpan,
        candidates: &[usize],
        part: &mut Part<'_>,
        outcome: &mut Outcome,
        out: &mut Verdicts,
    ) {
        let limit = span.stored_at.saturating_add(self.options.max_future.ms());
        let rows = span.start as usize..(span.end as usize).min(part.times.len());
        let counted = Bitmap::from_fn(part.times.len(), |row| rows.contains(&row) && part.times[row] <= limit);
        let newest = counted.iter_ones().map(|row| part.times[row]).max();
        outcome.events += rows.len() as u64;
        outcome.future += (rows.len() - counted.count_ones()) as u64;
        let mut late: Option<Bitmap> = None;
        for number in candidates {
            let run = &mut self.runs[*number];
            // Decided by the log's clock, so that a replay decides the same.
            if span.stored_at < run.state.since {
                continue;
            }
            let added = part.rows_and_groups(*number, run).and_then(|(matches, groups)| {
                let rows = matches.and(&counted);
                if rows.is_empty() {
                    return Ok(cells::Folded::default());
                }
                let (floor, cap) = (run.state.closed_until, self.options.max_groups as usize);
                let input = Input {
                    rows: &rows,
                    times: &part.times,
                    groups: &groups,
                    floor,
                    stored_at: span.stored_at,
                    cap,
                };
                run.add(&mut part.columns, &input, &mut self.scratch, &self.agents, out)
            });
            match added {
                Ok(folded) => {
                    outcome.surplus_groups += folded.surplus;
                    late = match (late, folded.late) {
                        (Some(known), Some(more)) => Some(known.or(&more)),
                        (known, more) => known.or(more),
                    };
                }
                Err(error) => {
                    outcome.unreadable += 1;
                    tracing::warn!(position = span.position, rule = run.rule.draft.name, %error, "a batch cannot be read for a rule");
                }
            }
        }
        if let Some(late) = late {
            outcome.late.push((span.agent.to_string(), late.count_ones() as u64));
        }
        if let Some(newest) = newest {
            self.agents.report(&span.agent, newest, span.stored_at, &self.options);
        }
    }
}

/// One part of the log with what was worked out of it once for all rules and spans.
struct Part<'a> {
    columns: Columns<'a>,
    times: Rc<Vec<i64>>,
    matches: HashMap<usize, Rc<Bitmap>>,
    groups: HashMap<Vec<Path>, Rc<LocalGroups>>,
}

impl Part<'_> {
    fn rows_and_groups(&mut self, number: usize, run: &Run) -> Result<(Rc<Bitmap>, Rc<LocalGroups>), DecodeError> {
        let matches = match self.matches.get(&number) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(run.compiled.filter.eval_columns(&mut self.columns)?);
                self.matches.insert(number, Rc::clone(&fresh));
                fresh
            }
        };
        let groups = match self.groups.get(&run.compiled.group_by) {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(LocalGroups::new(&mut self.columns, &run.compiled.group_by)?);
                self.groups.insert(run.compiled.group_by.clone(), Rc::clone(&fresh));
                fresh
            }
        };
        Ok((matches, groups))
    }
}

#[cfg(test)]
mod tests;
