//! A plugin over the past: the rows that match, in the order of event time, with ticks in between.
//!
//! The plugin begins without memory at the begin of the range. Rows are shown a second at a time, as an agent would send them; what lies in several parts of the
//! log is shown once no later part can hold anything before it.

use std::{ops::ControlFlow, sync::Arc};

use streamflow_model::{Completeness, Instant, Rule};
use streamflow_plugin_host::{RuleAlert, RuleError, RulePlugin, RuleRun};
use streamflow_proto::{
    batch::{Batch, DecodeError},
    filter::{Columns, Filter},
};
use streamflow_storage::{
    StoreError,
    store::{LogBatch, ReplayPart, Store},
};
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking};

use super::{
    ledger::{Ledger, Standing, TooMany},
    order::Place,
};
use crate::{
    Options,
    backtest::{BacktestError, Step, Totals, Verdict, share},
    follow::hide_partials,
};

/// Event time of one call at most, ms.
const SLICE: i64 = 1000;
/// Calls between two looks at whether anybody still wants the answer.
const CALLS: usize = 1000;
/// Parts of the log that wait while one is shown.
const AHEAD: usize = 2;
/// Parts of the log that are held because later ones may hold earlier events.
const MAX_PARTS: usize = 128;
/// Rows of them.
const MAX_ROWS_HELD: usize = 1 << 20;

/// One rule of kind `plugin` over one range, ready to run.
#[derive(Debug)]
pub struct PluginBacktest {
    trial: Trial,
    filter: Arc<Filter>,
    from: i64,
    to: i64,
}

/// What came of it besides its verdicts.
#[derive(Debug)]
pub struct PluginTried {
    /// What had to be read.
    pub totals: Totals,
    /// Everything before this event time was judged, ms.
    pub until: i64,
    /// What makes the answer less than it seems, in words.
    pub notes: Vec<String>,
}

/// A part of the log as the replay showed it.
struct Part {
    log: LogBatch,
    floor: i64,
    progress: f64,
}

/// Rows that wait for their turn.
#[derive(Debug)]
struct Held {
    batch: Arc<Batch>,
    /// Time and number of each, in the order of time.
    rows: Vec<(i64, u32)>,
    next: usize,
}

/// How far to go on: rows and ticks before these times.
#[derive(Debug, Clone, Copy)]
struct Until {
    rows: i64,
    ticks: i64,
}

/// The plugin and what it was shown so far.
#[derive(Debug)]
struct Trial {
    rule: Rule,
    filter: Arc<Filter>,
    plugin: RulePlugin,
    run: RuleRun,
    from: i64,
    to: i64,
    /// No tick after this.
    end: i64,
    /// The last time of which the plugin has heard.
    ticked: i64,
    ledger: Ledger,
    place: Place,
    most: usize,
    held: Vec<Held>,
    /// When the plugin broke, and how.
    broken: Option<(i64, String)>,
    /// Calls that it answered with a failure, and the first reason.
    failures: (u64, String),
    refused: u64,
    unreadable: u64,
    /// Rows were shown before rows of other parts that are older.
    disordered: bool,
}

impl PluginBacktest {
    /// A rule, whether it is enabled or not, over the events in `[from, to)`. The plugin should be one [apart](streamflow_plugin_host::PluginHost::rule_apart).
    ///
    /// # Errors
    /// When the rule does not compile, `from` is not before `to`, or the plugin does not take the rule's configuration.
    pub async fn new(
        options: &Options,
        plugin: RulePlugin,
        rule: &Rule,
        from: i64,
        to: i64,
        now: i64,
    ) -> Result<Self, BacktestError> {
        if from >= to {
            return Err(BacktestError::Range);
        }
        let compiled = rule.draft.compile().map_err(BacktestError::Rule)?;
        let filter = Arc::new(compiled.filter);
        let started = plugin.start(&rule.draft.name, &rule.draft.config, None).await;
        let run = started.map_err(|error| BacktestError::Plugin(error.to_string()))?;
        let ticked = plugin
            .tick_ms()
            .map_or(from, |every| from.div_euclid(every.max(1)).saturating_mul(every.max(1)));
        let trial = Trial {
            rule: rule.clone(),
            filter: Arc::clone(&filter),
            plugin,
            run,
            from,
            to,
            end: to.min(now).max(from),
            ticked,
            ledger: Ledger::new(),
            place: Place {
                at: i64::MIN,
                number: 0,
            },
            most: options.max_groups as usize,
            held: Vec::new(),
            broken: None,
            failures: (0, String::new()),
            refused: 0,
            unreadable: 0,
            disordered: false,
        };
        Ok(Self {
            trial,
            filter,
            from,
            to,
        })
    }

    /// The event times that it reads, `[from, to)`.
    #[must_use]
    pub const fn reads(&self) -> (i64, i64) {
        (self.from, self.to)
    }

    /// The end of what it judges.
    #[must_use]
    pub const fn end(&self) -> i64 {
        self.trial.end
    }

    /// Runs it over the store and shows every step. Stops when told to, and when the future is dropped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run(
        self,
        store: &dyn Store,
        mut on_step: impl FnMut(Step) -> ControlFlow<()> + Send,
    ) -> Result<PluginTried, BacktestError> {
        let (sender, mut parts) = mpsc::channel::<Part>(AHEAD);
        let visit = Box::new(move |part: &ReplayPart| {
            let mut log = part.log.clone();
            hide_partials(&mut log);
            let part = Part {
                log,
                floor: part.floor,
                progress: share(part.done, part.total),
            };
            // Nobody takes it any more: the trial is over.
            match sender.blocking_send(part) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        let replay = store.replay(self.from, self.to, Some(self.filter), visit);
        let mut trial = self.trial;
        let work = async move {
            while let Some(part) = parts.recv().await {
                let until = trial.hold(&part);
                let flow;
                (trial, flow) = go_on(trial, until, part.progress, &mut on_step).await?;
                if flow.is_break() || trial.broken.is_some() {
                    return Ok(trial);
                }
            }
            let rest = Until {
                rows: i64::MAX,
                ticks: i64::MAX,
            };
            (trial, _) = go_on(trial, rest, 1.0, &mut on_step).await?;
            Ok::<_, BacktestError>(trial)
        };
        let (replayed, worked) = tokio::join!(replay, work);
        let (replayed, trial) = (replayed?, worked?);
        let notes = trial.notes();
        Ok(PluginTried {
            totals: Totals {
                scanned: replayed.scanned,
                skipped: replayed.skipped,
                unreadable: replayed.unreadable + trial.unreadable,
            },
            until: trial.broken.map_or(trial.end, |(at, _)| at),
            notes,
        })
    }
}

/// Lets a trial go on, on threads where it may take its time.
async fn go_on(
    mut trial: Trial,
    until: Until,
    progress: f64,
    on_step: &mut (impl FnMut(Step) -> ControlFlow<()> + Send),
) -> Result<(Trial, ControlFlow<()>), BacktestError> {
    loop {
        let runtime = Handle::current();
        let work = spawn_blocking(move || {
            let mut step = Step::default();
            let done = runtime.block_on(trial.advance(until, &mut step));
            (trial, step, done)
        });
        let (back, mut step, done) = work.await.map_err(|_| StoreError::Closed)?;
        trial = back;
        (step.progress, step.until) = (
            progress,
            trial.place.at.max(trial.ticked).min(trial.end).max(trial.from),
        );
        let flow = on_step(step);
        if done || flow.is_break() {
            return Ok((trial, flow));
        }
    }
}

impl Held {
    /// The rows before a time that have not been shown.
    fn take_until(&mut self, end: i64) -> Vec<u32> {
        let rest = self.rows.get(self.next..).unwrap_or_default();
        let count = rest.partition_point(|(at, _)| *at < end);
        let taken = rest.iter().take(count).map(|(_, row)| *row).collect();
        self.next += count;
        taken
    }

    fn next_at(&self) -> Option<i64> {
        self.rows.get(self.next).map(|(at, _)| *at)
    }
}

impl Trial {
    /// Holds the rows of a part until their turn; answers how far that is now.
    fn hold(&mut self, part: &Part) -> Until {
        match self.rows_of(&part.log) {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => self.held.push(Held {
                batch: Arc::clone(&part.log.batch),
                rows,
                next: 0,
            }),
            Err(error) => {
                tracing::warn!(rule = self.rule.draft.name, %error, "a batch cannot be read for a backtest");
                self.unreadable += 1;
            }
        }
        let waiting: usize = self.held.iter().map(|held| held.rows.len() - held.next).sum();
        let full = self.held.len() > MAX_PARTS || waiting > MAX_ROWS_HELD;
        self.disordered |= full;
        Until {
            rows: if full { i64::MAX } else { part.floor },
            ticks: part.floor,
        }
    }

    fn rows_of(&self, log: &LogBatch) -> Result<Vec<(i64, u32)>, DecodeError> {
        let mut columns = Columns::new(&log.batch);
        let times = columns.timestamps()?;
        let matches = self.filter.eval_columns(&mut columns)?;
        let all = log.spans.iter().flat_map(|span| span.start..span.end);
        let timed = all.filter_map(|row| Some((*times.get(row as usize)?, row)));
        let own = |(at, row): &(i64, u32)| (self.from..self.to).contains(at) && matches.get(*row as usize);
        let mut rows: Vec<(i64, u32)> = timed.filter(own).collect();
        rows.sort_unstable();
        Ok(rows)
    }

    /// Shows what has its turn; answers whether that was all.
    async fn advance(&mut self, until: Until, out: &mut Step) -> bool {
        let mut held = std::mem::take(&mut self.held);
        let batches: Vec<Arc<Batch>> = held.iter().map(|held| Arc::clone(&held.batch)).collect();
        let mut columns: Vec<Columns<'_>> = batches.iter().map(|batch| Columns::new(batch)).collect();
        let mut calls = 0;
        let done = loop {
            if self.broken.is_some() {
                break true;
            }
            if calls >= CALLS {
                break false;
            }
            calls += 1;
            let row = held.iter().filter_map(Held::next_at).min();
            let row = row.filter(|at| *at < until.rows);
            let tick = self.next_tick().filter(|at| *at <= until.ticks);
            // What happens at the time of a tick comes after it.
            if let Some(tick) = tick.filter(|tick| row.is_none_or(|row| *tick <= row)) {
                self.tick(tick, out).await;
                continue;
            }
            let Some(row) = row else { break true };
            // Of one part alone the order is known.
            let alone = held.iter().filter(|held| held.next_at().is_some()).count() == 1;
            let slice = if alone {
                i64::MAX
            } else {
                row.div_euclid(SLICE).saturating_add(1).saturating_mul(SLICE)
            };
            let end = slice.min(until.rows).min(tick.unwrap_or(i64::MAX));
            for (held, columns) in held.iter_mut().zip(&mut columns) {
                let rows = held.take_until(end);
                if !rows.is_empty() && self.broken.is_none() {
                    self.show(columns, &rows, row, out).await;
                }
            }
        };
        drop(columns);
        held.retain(|held| held.next_at().is_some());
        self.held = held;
        done
    }

    fn next_tick(&self) -> Option<i64> {
        let next = self.ticked.checked_add(self.plugin.tick_ms()?.max(1))?;
        (next <= self.end).then_some(next)
    }

    async fn tick(&mut self, at: i64, out: &mut Step) {
        self.ticked = at;
        let answer = self.run.on_tick(at).await;
        for alert in self.answer(answer, at) {
            self.take(at, alert, out);
        }
    }

    async fn show(&mut self, columns: &mut Columns<'_>, rows: &[u32], begin: i64, out: &mut Step) {
        out.events += rows.len() as u64;
        let projected = columns
            .timestamps()
            .and_then(|times| Ok((times, self.plugin.project(columns, rows)?)));
        let (times, parts) = match projected {
            Ok(projected) => projected,
            Err(error) => {
                tracing::warn!(rule = self.rule.draft.name, %error, "a batch cannot be read for a backtest");
                self.unreadable += 1;
                return;
            }
        };
        let mut found: Vec<(i64, RuleAlert)> = Vec::new();
        for part in parts {
            let answer = self.run.on_events(&part).await;
            let newest = part.rows().last().copied();
            for alert in self.answer(answer, begin) {
                let row = alert.row.or(newest);
                let at = row.and_then(|row| times.get(row as usize).copied());
                found.push((at.unwrap_or(begin), alert));
            }
            if self.broken.is_some() {
                break;
            }
        }
        found.sort_by_key(|(at, _)| *at);
        for (at, alert) in found {
            self.take(at, alert, out);
        }
    }

    fn answer(&mut self, answer: Result<Vec<RuleAlert>, RuleError>, at: i64) -> Vec<RuleAlert> {
        match answer {
            Ok(alerts) => return alerts,
            Err(RuleError::Failed(reason)) => {
                if self.failures.0 == 0 {
                    self.failures.1 = reason;
                }
                self.failures.0 += 1;
            }
            Err(error) => self.broken = Some((at, error.to_string())),
        }
        Vec::new()
    }

    fn take(&mut self, event_time: i64, alert: RuleAlert, out: &mut Step) {
        let later = event_time > self.place.at;
        self.place = Place {
            at: self.place.at.max(event_time),
            number: if later { 0 } else { self.place.number.saturating_add(1) },
        };
        let standing = Standing {
            place: self.place,
            event_time,
            watermark: self.place.at,
            stored_at: self.place.at,
            // Everything that is stored is shown: nobody is missed.
            completeness: Completeness {
                complete: true,
                ..Completeness::default()
            },
        };
        match self.ledger.take(&self.rule, alert, &standing, self.most) {
            Ok(Some(signal)) => out.verdicts.push(Verdict {
                at: self.place.at,
                signal,
            }),
            Ok(None) => {}
            Err(TooMany) => self.refused += 1,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "plugin {} {} began at {} without any memory of what came before",
            self.rule.draft.plugin.as_deref().unwrap_or_default(),
            self.plugin.version(),
            Instant(self.from)
        )];
        if let Some((at, reason)) = &self.broken {
            notes.push(format!(
                "the plugin broke at {}, and was not asked about what came after: {reason}",
                Instant(*at)
            ));
        }
        if self.failures.0 > 0 {
            let (count, reason) = &self.failures;
            notes.push(format!(
                "{count} calls were answered with a failure, the first of them: {reason}"
            ));
        }
        if self.refused > 0 {
            notes.push(format!(
                "{} alerts were left out because {} incidents were open, which is as many as may",
                self.refused, self.most
            ));
        }
        if self.disordered {
            notes.push("parts of the log overlap so much that some events were shown after later ones".to_owned());
        }
        notes
    }
}
