//! A rule over the past: the engine that runs live, fed from the log in the order of event time.
//!
//! Every event counts that is stored now, whenever it came, so the answer is that of an engine to which all events came in time. Windows that the asked range
//! touches are judged as a whole, except those that have not ended yet: they are judged only as far as a running window can be.

use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, PoisonError},
};

use streamflow_model::{Instant, Rule, RuleDraft, RuleError, RuleKind, Signal};
use streamflow_proto::{batch::DecodeError, filter::Filter};
use streamflow_storage::{
    StoreError,
    store::{LogBatch, ReplayPart, RowSpan, Scanned, Store},
};

use crate::{
    Options,
    engine::{
        Engine, Outcome,
        cells::{next_start, window_start},
    },
};

/// Stands for all agents: completeness is not asked about the past.
const AGENT: &str = "@replay";
/// A batch is judged in slices whose number times its rows stays below this, so that a rule which fires while its window runs says when.
const SLICE_WORK: usize = 1 << 20;
/// What is said where no plugin can run.
const NO_PLUGIN: &str = "a rule of kind `plugin` needs its plugin: `rule backtest` runs it in a hub that has it; `streamflow-hub plugin test` runs the plugin's own tests";
/// Id of a rule that has none.
const UNSAVED: &str = "unsaved";

/// A verdict and when it would have been given, in event time, ms.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// When.
    pub at: i64,
    /// The verdict.
    pub signal: Signal,
}

/// What a part of the past brought.
#[derive(Debug, Default)]
pub struct Step {
    /// Verdicts in the order of time; those of later steps come later.
    pub verdicts: Vec<Verdict>,
    /// Events that were read.
    pub events: u64,
    /// Groups that were counted in `other` because there were too many.
    pub surplus_groups: u64,
    /// Conditions that gave no verdict.
    pub condition_errors: u64,
    /// Columns that did not decode.
    pub unreadable: u64,
    /// Event time up to which everything has been judged, ms.
    pub until: i64,
    /// How much of the work is done, from 0 to 1.
    pub progress: f64,
}

/// Totals of a backtest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// What had to be read.
    pub scanned: Scanned,
    /// Parts of the log that were passed over because they certainly hold no match.
    pub skipped: u64,
    /// Parts that do not decode.
    pub unreadable: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The rule does not compile.
    #[error("the rule is wrong")]
    Rule(Vec<RuleError>),
    /// A plugin decides, and there is none at hand that runs; why, in words.
    #[error("{0}")]
    Plugin(String),
    /// `from` is not before `to`.
    #[error("`from` must be before `to`")]
    Range,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One rule over one range: batches in, verdicts out. Rules of kind `plugin` have [another](crate::PluginBacktest).
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    eager: bool,
    filter: Option<Arc<Filter>>,
    /// Begin of the first window.
    first: i64,
    /// End of the last one.
    last: i64,
    /// Verdicts on windows that end later than this, up to `last`, are wanted.
    from: i64,
    /// Windows that begin before this.
    to: i64,
    /// Windows that end after it have not ended yet.
    now: i64,
    position: u64,
    /// Verdicts that earlier ones may still come before.
    waiting: Vec<Verdict>,
}

/// A rule that was never saved.
#[must_use]
pub fn unsaved(draft: RuleDraft) -> Rule {
    Rule {
        id: UNSAVED.to_owned(),
        draft,
        version: 1,
        created_at: Instant(i64::MIN),
        updated_at: Instant(i64::MIN),
        provisioned: None,
    }
}

impl Backtest {
    /// A rule, whether it is enabled or not, over the events in `[from, to)`.
    ///
    /// # Errors
    /// When the rule does not compile, is of kind `plugin`, or `from` is not before `to`.
    pub fn new(options: Options, rule: &Rule, from: i64, to: i64, now: i64) -> Result<Self, BacktestError> {
        if rule.draft.kind == RuleKind::Plugin {
            return Err(BacktestError::Plugin(NO_PLUGIN.to_owned()));
        }
        if from >= to {
            return Err(BacktestError::Range);
        }
        let compiled = rule.draft.compile().map_err(BacktestError::Rule)?;
        let (first, last) = bounds(&rule.draft, from, to);
        let mut rule = rule.clone();
        rule.draft.enabled = true;
        // It has always been there.
        rule.updated_at = Instant(i64::MIN);
        let mut engine = Engine::replay(options, first);
        if let Some((_, errors)) = engine.set_rules(std::slice::from_ref(&rule)).pop() {
            return Err(BacktestError::Rule(errors));
        }
        Ok(Self {
            engine,
            eager: rule.draft.evaluate != streamflow_model::Evaluate::OnClose,
            filter: Some(Arc::new(compiled.filter)),
            first,
            last,
            from,
            to,
            now,
            position: 0,
            waiting: Vec::new(),
        })
    }

    /// The event times that it reads, `[from, to)`.
    #[must_use]
    pub const fn reads(&self) -> (i64, i64) {
        (self.first, self.last)
    }

    /// What an event must match to concern the rule.
    #[must_use]
    pub fn filter(&self) -> Option<Arc<Filter>> {
        self.filter.clone()
    }

    /// The end of what it judges.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.last.min(self.now)
    }

    /// Takes in a part of the log; none that follows holds an event before `floor`.
    ///
    /// # Errors
    /// When the events' times do not decode.
    pub fn feed(&mut self, log: &LogBatch, floor: i64) -> Result<Step, DecodeError> {
        let spans = self.slices(log)?;
        let batch = Arc::clone(&log.batch);
        let mut step = Step::default();
        let fed = self.engine.ingest(&LogBatch { batch, spans });
        self.take(fed, &mut step);
        let until = floor.min(self.end());
        let closed = self.engine.advance_to(until);
        self.take(closed, &mut step);
        self.release(until, &mut step);
        Ok(step)
    }

    /// Judges what is left.
    pub fn finish(&mut self) -> Step {
        let mut step = Step {
            progress: 1.0,
            ..Step::default()
        };
        let closed = self.engine.advance_to(self.end());
        self.take(closed, &mut step);
        self.release(i64::MAX, &mut step);
        step.until = self.end();
        step
    }

    /// Runs it over the store and shows every step, on threads where that may take its time. Stops when told to, and when the future is dropped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run(
        self,
        store: &dyn Store,
        on_step: impl FnMut(Step) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Totals, BacktestError> {
        let ((from, to), filter) = (self.reads(), self.filter());
        // The store calls the visitor from one thread at a time and drops it before it answers; the lock is never waited for.
        let shared = Arc::new(Mutex::new((self, on_step, 0_u64, false)));
        let visitor = Arc::clone(&shared);
        let visit = Box::new(move |part: &ReplayPart| {
            let mut guard = visitor.lock().unwrap_or_else(PoisonError::into_inner);
            let (backtest, on_step, unreadable, stopped) = &mut *guard;
            match backtest.feed(&part.log, part.floor) {
                Ok(mut step) => {
                    step.progress = share(part.done, part.total);
                    let flow = on_step(step);
                    *stopped |= flow.is_break();
                    flow
                }
                Err(error) => {
                    tracing::warn!(%error, "a batch cannot be read for a backtest");
                    *unreadable += 1;
                    ControlFlow::Continue(())
                }
            }
        });
        let replayed = store.replay(from, to, filter, visit).await?;
        let finish = move || {
            let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (backtest, on_step, unreadable, stopped) = &mut *guard;
            if !*stopped {
                let step = backtest.finish();
                *stopped = on_step(step).is_break();
            }
            *unreadable
        };
        let unreadable = tokio::task::spawn_blocking(finish)
            .await
            .map_err(|_| StoreError::Closed)?;
        Ok(Totals {
            scanned: replayed.scanned,
            skipped: replayed.skipped,
            unreadable: replayed.unreadable + unreadable,
        })
    }

    /// The rows as the engine takes them: under one name, and in slices where a running window may be judged.
    fn slices(&mut self, log: &LogBatch) -> Result<Vec<RowSpan>, DecodeError> {
        let (Some(begin), Some(end)) = (log.spans.first(), log.spans.last()) else {
            return Ok(Vec::new());
        };
        let (begin, end) = (begin.start as usize, (end.end as usize).min(log.batch.len()));
        let times = log.batch.timestamps()?;
        let rows = end.saturating_sub(begin);
        let slices = if self.eager {
            (SLICE_WORK / log.batch.len().max(1)).clamp(1, rows.max(1))
        } else {
            1
        };
        let size = rows.div_ceil(slices).max(1);
        let parts = event_runs(log)
            .into_iter()
            .flat_map(|run| run.clone().step_by(size).map(move |start| (start, run.end)));
        let spans = parts.map(|(start, end)| {
            let end = (start + size).min(end);
            let inside = times[start..end].iter().filter(|at| **at < self.last);
            self.position += 1;
            RowSpan {
                position: self.position,
                agent: AGENT.into(),
                // What lies further ahead than the range is left out by the engine as too far in the future.
                stored_at: inside.copied().max().unwrap_or(self.first),
                start: u32::try_from(start).unwrap_or(u32::MAX),
                end: u32::try_from(end).unwrap_or(u32::MAX),
            }
        });
        Ok(spans.collect())
    }

    fn take(&mut self, outcome: Outcome, step: &mut Step) {
        step.events += outcome.events;
        step.surplus_groups += outcome.surplus.iter().map(|surplus| surplus.groups).sum::<u64>();
        step.condition_errors += outcome.condition_errors;
        step.unreadable += outcome.unreadable;
        let (from, to, last) = (self.from, self.to, self.last);
        let wanted =
            |signal: &Signal| signal.window_end > from && signal.window_start < to && signal.window_end <= last;
        self.waiting
            .extend(outcome.signals.into_iter().filter(wanted).map(|signal| Verdict {
                at: given_at(&signal),
                signal,
            }));
    }

    /// Hands on what nothing can come before: parts of the log overlap, verdicts do not.
    fn release(&mut self, until: i64, step: &mut Step) {
        self.waiting.sort_by_key(|verdict| verdict.at);
        let ready = self.waiting.partition_point(|verdict| verdict.at <= until);
        step.verdicts.extend(self.waiting.drain(..ready));
        step.until = until;
    }
}

/// From where to where events are read: windows with fixed places end at multiples of their slide, and are whole; of others only some reach is known.
fn bounds(draft: &RuleDraft, from: i64, to: i64) -> (i64, i64) {
    let reach = draft.reach().ms();
    match draft.kind {
        RuleKind::Pattern => return (from.saturating_sub(reach), to.saturating_add(reach)),
        // Groups that are expected are waited for from the begin of the range.
        RuleKind::Absence => return (from, to.saturating_add(reach)),
        RuleKind::Threshold | RuleKind::Anomaly | RuleKind::Plugin => {}
    }
    let (first, last) = windows(draft, from, to);
    // What is normal must have been learned before.
    let learning = if draft.kind == RuleKind::Anomaly { reach } else { 0 };
    (first.saturating_sub(learning), last)
}

fn windows(draft: &RuleDraft, from: i64, to: i64) -> (i64, i64) {
    match draft.window.slide() {
        Some(slide) => {
            let (size, slide) = (draft.window.size().ms(), slide.ms().max(1));
            let first_end = window_start(from, slide).saturating_add(slide);
            (first_end.saturating_sub(size), next_start(to, slide))
        }
        None => {
            let reach = draft.window.reach().ms();
            (from.saturating_sub(reach), to.saturating_add(reach))
        }
    }
}

/// A running window is judged when the event that decides has come, a closed one at its end.
fn given_at(signal: &Signal) -> i64 {
    if signal.running {
        signal.stored_at.max(signal.window_start).min(signal.window_end)
    } else {
        signal.window_end
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
pub(crate) fn share(done: u64, total: u64) -> f64 {
    done as f64 / total.max(1) as f64
}

/// The rows that are events, which are those of the spans: what hosts counted for metrics and what fire drills have sent are in none.
pub(crate) fn event_runs(log: &LogBatch) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for span in &log.spans {
        let (start, end) = (span.start as usize, (span.end as usize).min(log.batch.len()));
        match runs.last_mut().filter(|run| run.end == start) {
            _ if start >= end => {}
            Some(run) => run.end = end,
            None => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests;
