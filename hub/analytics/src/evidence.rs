//! What an alert rests on: the events of its group and the values of its windows, read again from the log.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use streamflow_model::{Rule, RuleKind, Signal, rule::Compiled};
use streamflow_plugin_host::RulePlugin;
use streamflow_proto::{batch::DecodeError, bitmap::Bitmap, event::Event, filter::Columns, path::Path};
use streamflow_storage::{
    StoreError,
    store::{ReplayPart, Store},
};

use crate::{
    Options, PluginBacktest,
    backtest::{Backtest, BacktestError, Step, Totals, event_runs},
    engine::grouping::LocalGroups,
    plugin_rule::KEY,
};

/// Verdicts kept of one alert, the newest.
const MAX_VERDICTS: usize = 1000;

/// Which alert.
#[derive(Debug, Clone)]
pub struct Question {
    /// Its rule.
    pub rule: Rule,
    /// The plugin of a rule of kind `plugin`, apart from the one that runs live; without it such a rule is not judged again.
    pub plugin: Option<RulePlugin>,
    /// Attributes and values of its group; of a plugin's alert all that it said.
    pub labels: BTreeMap<String, String>,
    /// Begin of its first window, ms.
    pub from: i64,
    /// End of the window with which it fired, ms: its events are those before.
    pub until: i64,
    /// End of the newest window to judge, ms.
    pub to: i64,
    /// At most so many events.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Verdicts on the group's windows, oldest first.
    pub verdicts: Vec<Signal>,
    /// The newest events, newest first.
    pub events: Vec<Event>,
    /// How many there are.
    pub total: u64,
    /// What had to be read.
    pub totals: Totals,
}

impl Question {
    /// Reads the log.
    ///
    /// # Errors
    /// When the rule does not compile, its plugin does not take it, or the store fails.
    pub async fn answer(self, options: Options, store: &dyn Store, now: i64) -> Result<Evidence, BacktestError> {
        let of_plugin = self.rule.draft.kind == RuleKind::Plugin;
        let mut compiled = self.rule.draft.compile().map_err(BacktestError::Rule)?;
        if of_plugin {
            // What a label names is taken for the group, as far as it is an attribute of events.
            compiled.group_by = self.labels.keys().filter_map(|name| Path::parse(name).ok()).collect();
        }
        let judged = match &self.plugin {
            Some(plugin) if of_plugin => self.judge_by(plugin, &options, store, now).await?,
            _ => Vec::new(),
        };
        let backtest = if of_plugin {
            None
        } else {
            Some(Backtest::new(options, &self.rule, self.from, self.to, now)?)
        };
        let (from, to) = backtest.as_ref().map_or((self.from, self.until), Backtest::reads);
        let filter = Some(Arc::new(compiled.filter.clone()));
        let collector = Collector {
            question: self,
            compiled,
            backtest,
            verdicts: judged,
            newest: BinaryHeap::new(),
            total: 0,
            unreadable: 0,
        };
        let shared = Arc::new(Mutex::new(collector));
        let visitor = Arc::clone(&shared);
        let visit = Box::new(move |part: &ReplayPart| {
            let mut collector = visitor.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = collector.take(part) {
                tracing::warn!(%error, "a batch cannot be read to explain an alert");
                collector.unreadable += 1;
            }
            ControlFlow::Continue(())
        });
        let replayed = store.replay(from, to, filter, visit).await?;
        let finish = move || {
            let mut collector = shared.lock().unwrap_or_else(PoisonError::into_inner);
            collector.finish()
        };
        let (mut evidence, unreadable) = tokio::task::spawn_blocking(finish)
            .await
            .map_err(|_| StoreError::Closed)?;
        evidence.totals = Totals {
            scanned: replayed.scanned,
            skipped: replayed.skipped,
            unreadable: replayed.unreadable + unreadable,
        };
        Ok(evidence)
    }
}

struct Collector {
    question: Question,
    compiled: Compiled,
    /// None when a plugin has judged.
    backtest: Option<Backtest>,
    verdicts: Vec<Signal>,
    newest: BinaryHeap<Reverse<Found>>,
    total: u64,
    unreadable: u64,
}

/// An event by its time and its place in the log.
struct Found {
    key: (i64, u64, u32),
    event: Event,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Found {}
impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Collector {
    fn take(&mut self, part: &ReplayPart) -> Result<(), DecodeError> {
        self.collect(part)?;
        if let Some(backtest) = &mut self.backtest {
            let step = backtest.feed(&part.log, part.floor)?;
            self.keep(step.verdicts.into_iter().map(|verdict| verdict.signal));
        }
        Ok(())
    }

    fn keep(&mut self, signals: impl Iterator<Item = Signal>) {
        let own = signals.filter(|signal| signal.labels == self.question.labels);
        self.verdicts.extend(own);
        let surplus = self.verdicts.len().saturating_sub(MAX_VERDICTS);
        self.verdicts.drain(..surplus);
    }

    fn collect(&mut self, part: &ReplayPart) -> Result<(), DecodeError> {
        let batch = &part.log.batch;
        let mut columns = Columns::new(batch);
        let times = columns.timestamps()?;
        let (from, until) = (self.question.from, self.question.until);
        let spans = &part.log.spans;
        let mut in_time = Bitmap::new(batch.len(), false);
        for row in event_runs(&part.log).into_iter().flatten() {
            in_time.set(row, (from..until).contains(&times[row]));
        }
        if in_time.is_empty() {
            return Ok(());
        }
        let matching = self.compiled.filter.eval_columns(&mut columns)?.and(&in_time);
        let groups = LocalGroups::new(&mut columns, &self.compiled.group_by)?;
        let wanted: Vec<bool> = (0..groups.len())
            .map(|group| groups.labels(group).eq(self.question.labels_of(&self.compiled)))
            .collect();
        for row in matching.iter_ones() {
            if !wanted.get(groups.of(row)).is_some_and(|wanted| *wanted) {
                continue;
            }
            self.total += 1;
            let row_number = u32::try_from(row).unwrap_or(u32::MAX);
            let position = spans.iter().find(|span| span.end as usize > row);
            let key = (times[row], position.map_or(0, |span| span.position), row_number);
            let full = self.newest.len() >= self.question.limit;
            if full && self.newest.peek().is_none_or(|Reverse(oldest)| oldest.key >= key) {
                continue;
            }
            if full {
                self.newest.pop();
            }
            let event = batch.event(row)?;
            self.newest.push(Reverse(Found { key, event }));
        }
        Ok(())
    }

    fn finish(&mut self) -> (Evidence, u64) {
        if let Some(backtest) = &mut self.backtest {
            let step = backtest.finish();
            self.keep(step.verdicts.into_iter().map(|verdict| verdict.signal));
        }
        let newest_first = std::mem::take(&mut self.newest).into_sorted_vec();
        let evidence = Evidence {
            verdicts: std::mem::take(&mut self.verdicts),
            events: newest_first.into_iter().map(|Reverse(found)| found.event).collect(),
            total: self.total,
            totals: Totals::default(),
        };
        (evidence, self.unreadable)
    }
}

impl Question {
    /// What a plugin says of the incident when it sees the range again, oldest first.
    async fn judge_by(
        &self,
        plugin: &RulePlugin,
        options: &Options,
        store: &dyn Store,
        now: i64,
    ) -> Result<Vec<Signal>, BacktestError> {
        let trial = PluginBacktest::new(options, plugin.clone(), &self.rule, self.from, self.to, now).await?;
        let mut said: Vec<Signal> = Vec::new();
        let key = self.labels.get(KEY);
        let note = |step: Step| {
            let signals = step.verdicts.into_iter().map(|verdict| verdict.signal);
            let own = signals.filter(|signal| signal.labels.get(KEY) == key);
            said.extend(own.take(MAX_VERDICTS.saturating_sub(said.len())));
            ControlFlow::Continue(())
        };
        trial.run(store, note).await?;
        Ok(said)
    }

    /// The group's values in the order of `group_by`.
    fn labels_of<'a>(&'a self, compiled: &'a Compiled) -> impl Iterator<Item = &'a str> {
        let names = compiled.group_by.iter().map(ToString::to_string);
        names.map(move |name| self.labels.get(&name).map_or("", String::as_str))
    }
}
