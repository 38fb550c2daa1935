//! `plugin run`: events of a file through a rule plugin in the hub's sandbox, and what it says of them.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};
use streamflow_model::{Instant, Span};
use streamflow_plugin_host::{Options, RuleAlert, RuleError, RuleRun, trial::Trial};
use streamflow_proto::filter::{Columns, Filter};

use super::{
    super::{Failed, UsageError, print},
    events::{self, Lines},
    read,
};
use crate::cli::Common;

/// Most ticks after the last event: a day of one a second.
const MAX_TICKS: i64 = 86_400;

/// What the command line asks for.
pub(super) struct Asked<'a> {
    pub(super) file: &'a Path,
    pub(super) events: &'a Path,
    pub(super) rule_config: &'a str,
    pub(super) matches: &'a str,
    pub(super) batch: usize,
    pub(super) then: Span,
}

struct Session<'a> {
    common: &'a Common,
    trial: &'a Trial,
    run: RuleRun,
    /// The last tick, event time ms.
    ticked: i64,
    /// The last line of the plugin that was printed.
    logged: u64,
    events: usize,
    firing: usize,
    resolved: usize,
}

/// Runs it.
///
/// # Errors
/// When the file is no rule plugin, the events are none, the configuration does not fit, or the plugin fails.
pub(super) async fn run(common: &Common, asked: &Asked<'_>) -> anyhow::Result<()> {
    let filter = Filter::compile(asked.matches).map_err(|error| UsageError(format!("--match: {}", error.message)))?;
    let config = events::config(asked.rule_config, "--rule-config")?;
    let text = events::read(asked.events)?;
    let batches = events::batches(&text, asked.events, asked.batch)?;
    let trial = open(asked.file).await?;
    let mut session = Session {
        common,
        run: start(&trial, &config).await?,
        trial: &trial,
        ticked: i64::MIN,
        logged: 0,
        events: 0,
        firing: 0,
        resolved: 0,
    };
    let mut newest = i64::MIN;
    for batch in &batches {
        session.show(batch, &filter).await?;
        newest = newest.max(batch.batch.max_ts());
        session.tick(newest).await?;
    }
    if let Some(every) = trial.rule().tick_ms() {
        let until = newest.saturating_add(asked.then.ms());
        let first = newest.div_euclid(every).saturating_add(1).saturating_mul(every);
        for number in 0..MAX_TICKS {
            let at = first.saturating_add(number.saturating_mul(every));
            if at > until {
                break;
            }
            session.tick(at).await?;
        }
    }
    session.end().await
}

/// A rule plugin, loaded as a hub would load it.
pub(super) async fn open(file: &Path) -> anyhow::Result<Trial> {
    let trial = Trial::open(read(file)?, &Options::default()).await;
    trial.with_context(|| file.display().to_string())
}

/// A rule of this configuration, checked as a hub would check it.
async fn start(trial: &Trial, config: &Map<String, Value>) -> anyhow::Result<RuleRun> {
    let problems = trial.rule().check(config).await;
    if !problems.is_empty() {
        let words: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.field, problem.reason))
            .collect();
        return Err(UsageError(format!("--rule-config: {}", words.join("; "))).into());
    }
    Ok(trial.rule().start("plugin run", config, None).await?)
}

impl Session<'_> {
    async fn show(&mut self, lines: &Lines, filter: &Filter) -> anyhow::Result<()> {
        let mut columns = Columns::new(&lines.batch);
        let matches = filter.eval_columns(&mut columns)?;
        let times = columns.timestamps()?;
        let rows: Vec<u32> = (0..lines.batch.len())
            .filter(|row| matches.get(*row))
            .filter_map(|row| u32::try_from(row).ok())
            .collect();
        self.events += rows.len();
        for part in self.trial.rule().project(&mut columns, &rows)? {
            let outcome = self.run.on_events(&part).await;
            let line = |row: Option<u32>| row.and_then(|row| lines.lines.get(row as usize)).copied();
            let (first, last) = (line(part.rows().first().copied()), line(part.rows().last().copied()));
            let alerts = self.answered(outcome, || {
                format!("on lines {} to {}", first.unwrap_or(0), last.unwrap_or(0))
            })?;
            for alert in &alerts {
                let row = alert.row.or_else(|| part.rows().last().copied());
                let at = row.and_then(|row| times.get(row as usize)).copied().unwrap_or(0);
                self.tell(alert, at, line(row))?;
            }
        }
        Ok(())
    }

    /// Tells of the time that has come, if the plugin wants to hear of it.
    async fn tick(&mut self, now: i64) -> anyhow::Result<()> {
        let Some(every) = self.trial.rule().tick_ms() else {
            return Ok(());
        };
        let due = now.div_euclid(every).saturating_mul(every);
        if due <= self.ticked {
            return Ok(());
        }
        self.ticked = due;
        let outcome = self.run.on_tick(due).await;
        let alerts = self.answered(outcome, || format!("at {}", Instant(due)))?;
        for alert in &alerts {
            self.tell(alert, due, None)?;
        }
        Ok(())
    }

    /// The verdicts, with what the plugin logged on the way.
    fn answered(
        &mut self,
        outcome: Result<Vec<RuleAlert>, RuleError>,
        place: impl Fn() -> String,
    ) -> anyhow::Result<Vec<RuleAlert>> {
        let logs = self.trial.logs(self.logged);
        self.logged = logs.last;
        for line in logs.lines.iter().filter(|line| line.instance.is_some()) {
            let text = format!("log {:<5} {}", format!("{:?}", line.level).to_lowercase(), line.line);
            print::done(
                self.common.output,
                &text,
                &json!({"log": line.line, "level": line.level}),
            )?;
        }
        match outcome {
            Ok(alerts) => Ok(alerts),
            // The hub goes on after these events, and so does this.
            Err(RuleError::Failed(reason)) => {
                let (text, at) = (format!("failed {}: {reason}", place()), place());
                print::done(self.common.output, &text, &json!({"failed": reason, "where": at}))?;
                Ok(Vec::new())
            }
            Err(error) => Err(Failed(format!(
                "{error} ({}); --batch 1 finds the event, and the hub would pass over it",
                place()
            ))
            .into()),
        }
    }

    fn tell(&mut self, alert: &RuleAlert, at: i64, line: Option<usize>) -> anyhow::Result<()> {
        let state = if alert.resolved { "resolved" } else { "firing" };
        *(if alert.resolved {
            &mut self.resolved
        } else {
            &mut self.firing
        }) += 1;
        let place = line.map_or_else(|| "tick".to_owned(), |line| format!("line {line}"));
        let text = format!("{} {place:<8} {state:<8} {}: {}", Instant(at), alert.key, alert.title);
        let json = json!({
            "at": Instant(at), "line": line, "state": state, "key": alert.key, "level": alert.level, "title": alert.title, "body": alert.body,
            "value": alert.value, "labels": alert.labels,
        });
        print::done(self.common.output, &text, &json)
    }

    async fn end(mut self) -> anyhow::Result<()> {
        let state = self.run.save().await.map_err(|error| Failed(error.to_string()))?;
        let info = self.trial.info();
        let text = format!(
            "{} events, {} firing, {} resolved; {} calls, {} ns an event, {} KiB of memory, {} bytes of state",
            self.events,
            self.firing,
            self.resolved,
            info.calls,
            info.cpu_ns_per_event.unwrap_or(0),
            info.memory_bytes >> 10,
            state.len()
        );
        let json = json!({
            "events": self.events, "firing": self.firing, "resolved": self.resolved, "calls": info.calls, "errors": info.errors,
            "cpu_ns_per_event": info.cpu_ns_per_event, "memory_bytes": info.memory_bytes, "state_bytes": state.len(),
        });
        print::done(self.common.output, &text, &json)
    }
}
