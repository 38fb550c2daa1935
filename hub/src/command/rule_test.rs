//! `streamflow-hub rule test`: rules against events and the alerts that are expected, without a hub.
//!
//! The rules run in the engine and the state machine of the hub itself; the clock is that of the events.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use streamflow_alerting::Rehearsal;
use streamflow_analytics::backtest::{Backtest, BacktestError, unsaved};
use streamflow_model::{Instant, RuleDraft, Span};
use streamflow_proto::{batch::DecodeError, build::BatchBuilder};
use streamflow_storage::{LogBatch, RowSpan};

use super::{UsageError, rule_file};
use crate::past::{self, Firing};

/// Offsets count from here: a moment at which windows of every common size begin.
const EPOCH: &str = "2026-01-01T00:00:00Z";
/// Events in one batch.
const BATCH: usize = 1000;
/// Events of one test.
const MAX_EVENTS: usize = 1_000_000;
/// Values are equal within this share of each other.
const TOLERANCE: f64 = 1e-9;

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Files with rules, relative to this one.
    rules: Vec<PathBuf>,
    /// The tests.
    tests: Vec<Case>,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Name of the rule; may be left out when the files hold only one.
    rule: Option<String>,
    /// Events, in any order.
    #[serde(default)]
    events: Vec<Events>,
    /// A file with one event in JSON a line, relative to this one.
    events_file: Option<PathBuf>,
    /// Alerts that must fire, and no others.
    #[serde(default)]
    alerts: Vec<Expected>,
    /// How many notifications there must be.
    notifications: Option<u64>,
    /// Until when time passes; without it until all windows have ended and `for` has passed.
    until: Option<Moment>,
}

/// An event, or several that differ in nothing but their time.
#[derive(Debug, Deserialize)]
struct Events {
    /// When, or when the first.
    #[serde(default)]
    at: Option<Moment>,
    /// How many.
    #[serde(default = "one")]
    count: usize,
    /// Time between two.
    #[serde(default)]
    every: Span,
    /// The event itself.
    #[serde(flatten)]
    event: Map<String, Value>,
}

const fn one() -> usize {
    1
}

/// `90s` after the begin, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment(i64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let at = match text.parse::<Span>() {
            Ok(span) if value.is_string() => Some(epoch().saturating_add(span.ms())),
            _ => Instant::parse(&text).map(|at| at.0),
        };
        at.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no time; write 90s or 5m after the begin, or 2026-01-02T03:04:05Z"
            ))
        })
    }
}

/// An alert that must fire. What is left out may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    at: Option<Moment>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    value: Option<f64>,
    resolved_at: Option<Moment>,
    /// `false`: it must still fire at the end.
    resolved: Option<bool>,
}

/// What came of one test.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The file.
    pub file: String,
    /// The test.
    pub test: String,
    /// Whether all is as expected.
    pub passed: bool,
    /// Expected alerts that did not fire.
    pub missing: Vec<String>,
    /// Alerts that fired and were not expected.
    pub unexpected: Vec<String>,
    /// Other differences.
    pub other: Vec<String>,
}

/// Runs all tests of a file.
///
/// # Errors
/// When the file or a file that it names is wrong.
pub fn run(path: &Path, options: &past::Options) -> anyhow::Result<Vec<Verdict>> {
    let place = path.display();
    let usage = |reason: String| UsageError(format!("{place}: {reason}"));
    let text = std::fs::read_to_string(path).map_err(|e| usage(e.to_string()))?;
    let value = rule_file::parse(path, &text).map_err(|(reason, line, column)| {
        let number = |n: Option<u32>| n.map_or_else(String::new, |n| format!(":{n}"));
        UsageError(format!("{place}{}{}: {reason}", number(line), number(column)))
    })?;
    let file: File =
        serde_path_to_error::deserialize(value).map_err(|e| usage(format!("{}: {}", e.path(), e.inner())))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
    for name in &file.rules {
        match rule_file::read(&folder.join(name)) {
            Ok(more) => rules.extend(more),
            Err(wrong) => mistakes.extend(wrong.iter().map(ToString::to_string)),
        }
    }
    if !mistakes.is_empty() {
        return Err(UsageError(mistakes.join("\n")).into());
    }
    let mut verdicts = Vec::new();
    for case in &file.tests {
        let rule = choose(&rules, case).map_err(|e| usage(format!("test `{}`: {e}", case.name)))?;
        let events = events(folder, case).map_err(|e| usage(format!("test `{}`: {e}", case.name)))?;
        let outcome = play(rule, events, case, options).map_err(|e| usage(format!("test `{}`: {e}", case.name)))?;
        verdicts.push(compare(&place.to_string(), case, &outcome));
    }
    Ok(verdicts)
}

fn choose<'a>(rules: &'a [RuleDraft], case: &Case) -> Result<&'a RuleDraft, String> {
    let names = || {
        rules
            .iter()
            .map(|rule| rule.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (&case.rule, rules) {
        (Some(name), _) => rules
            .iter()
            .find(|rule| rule.name == *name)
            .ok_or_else(|| format!("there is no rule `{name}`; there are {}", names())),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("`rule` must name one of {}", names())),
    }
}

/// An event and when it is.
type Timed = (i64, Map<String, Value>);

/// All events with their times, oldest first.
fn events(folder: &Path, case: &Case) -> Result<Vec<Timed>, String> {
    let mut all = Vec::new();
    let mut add = |at: Option<i64>, event: Map<String, Value>, place: &dyn std::fmt::Display| {
        let given = event.get("timestamp").and_then(|time| match time {
            Value::Number(ms) => ms.as_i64(),
            Value::String(text) => Instant::parse(text).map(|at| at.0),
            _ => None,
        });
        let at = at
            .or(given)
            .ok_or_else(|| format!("{place}: needs `at`, or a `timestamp`"))?;
        if all.len() >= MAX_EVENTS {
            return Err(format!("more than {MAX_EVENTS} events"));
        }
        all.push((at, event));
        Ok(())
    };
    for (number, events) in case.events.iter().enumerate() {
        for round in 0..events.count {
            let offset = events
                .every
                .ms()
                .saturating_mul(i64::try_from(round).unwrap_or(i64::MAX));
            let at = events.at.map(|at| at.0.saturating_add(offset));
            add(at, events.event.clone(), &format_args!("events[{number}]"))?;
        }
    }
    if let Some(name) = &case.events_file {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("{}:{}", path.display(), number + 1);
            let mut event: Map<String, Value> = serde_json::from_str(line).map_err(|e| format!("{place}: {e}"))?;
            let at = event.remove("at").map(serde_json::from_value::<Moment>).transpose();
            let at = at.map_err(|e| format!("{place}: {e}"))?;
            add(at.map(|at| at.0), event, &place)?;
        }
    }
    for (at, event) in &mut all {
        event.insert("timestamp".to_owned(), Value::from(*at));
        event.entry("source").or_insert_with(|| Value::from("test"));
    }
    all.sort_by_key(|(at, _)| *at);
    Ok(all)
}

struct Outcome {
    firings: Vec<Firing>,
    notifications: u64,
}

/// Why a test cannot be run.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error("{0}")]
    Engine(#[from] BacktestError),
    #[error("an event is wrong: {0}")]
    Event(String),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn play(
    rule: &RuleDraft,
    events: Vec<(i64, Map<String, Value>)>,
    case: &Case,
    options: &past::Options,
) -> Result<Outcome, PlayError> {
    let first = events.first().map_or_else(epoch, |(at, _)| *at);
    let last = events.last().map_or_else(epoch, |(at, _)| *at);
    // Two windows more, so that alerts end whose windows have emptied.
    let held = rule.hold.ms().saturating_add(rule.keep_firing_for.ms());
    let after = rule.window.size().ms().saturating_mul(2).saturating_add(held);
    let until = case
        .until
        .map_or(last.saturating_add(after), |until| until.0)
        .max(first + 1);
    let rule = unsaved(rule.clone());
    let mut backtest = Backtest::new(options.analytics, &rule, first, until, until)?;
    let mut rehearsal = Rehearsal::new(&rule, &options.alerting, first);
    let mut batches = events.chunks(BATCH).peekable();
    while let Some(batch) = batches.next() {
        let floor = batches
            .peek()
            .and_then(|next| next.first())
            .map_or(i64::MAX, |(at, _)| *at);
        let step = backtest.feed(&log(batch)?, floor)?;
        past::rehearse(&mut rehearsal, &step);
    }
    past::rehearse(&mut rehearsal, &backtest.finish());
    let rehearsed = rehearsal.finish(until);
    Ok(Outcome {
        firings: rehearsed.firings.into_iter().map(Firing::from).collect(),
        notifications: rehearsed.notifications,
    })
}

fn log(events: &[(i64, Map<String, Value>)]) -> Result<LogBatch, PlayError> {
    let mut builder = BatchBuilder::new();
    for (at, event) in events {
        let text = serde_json::to_vec(event).map_err(|e| PlayError::Event(e.to_string()))?;
        let pushed = builder.push_json(&text, *at);
        pushed.map_err(|e| PlayError::Event(format!("{e}: {}", String::from_utf8_lossy(&text))))?;
    }
    let batch = Arc::new(builder.finish(1).decode()?);
    let end = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let spans = vec![RowSpan {
        position: 1,
        agent: "test".into(),
        stored_at: 0,
        start: 0,
        end,
    }];
    Ok(LogBatch { batch, spans })
}

fn compare(file: &str, case: &Case, outcome: &Outcome) -> Verdict {
    let mut left: Vec<&Firing> = outcome.firings.iter().collect();
    let mut missing = Vec::new();
    for expected in &case.alerts {
        match left.iter().position(|firing| expected.is(firing)) {
            Some(place) => {
                left.remove(place);
            }
            None => missing.push(expected.to_string()),
        }
    }
    let unexpected: Vec<String> = left.into_iter().map(shown).collect();
    let mut other = Vec::new();
    if let Some(wanted) = case.notifications.filter(|wanted| *wanted != outcome.notifications) {
        other.push(format!("{} notifications instead of {wanted}", outcome.notifications));
    }
    Verdict {
        file: file.to_owned(),
        test: case.name.clone(),
        passed: missing.is_empty() && unexpected.is_empty() && other.is_empty(),
        missing,
        unexpected,
        other,
    }
}

impl Expected {
    fn is(&self, firing: &Firing) -> bool {
        let close = |wanted: f64| (wanted - firing.value).abs() <= TOLERANCE * wanted.abs().max(firing.value.abs());
        self.at.is_none_or(|at| at.0 == firing.at.0)
            && self.labels.as_ref().is_none_or(|labels| *labels == firing.labels)
            && self.value.is_none_or(close)
            && self
                .resolved_at
                .is_none_or(|at| firing.resolved_at == Some(Instant(at.0)))
            && self
                .resolved
                .is_none_or(|resolved| resolved == firing.resolved_at.is_some())
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.at.map_or_else(|| "any time".to_owned(), |at| moment(at.0));
        let labels = self.labels.as_ref().map_or_else(|| "any group".to_owned(), labels);
        write!(f, "{at}  {labels}")?;
        if let Some(value) = self.value {
            write!(f, "  value {value}")?;
        }
        if let Some(at) = self.resolved_at {
            write!(f, "  resolved at {}", moment(at.0))?;
        }
        match self.resolved {
            Some(true) => f.write_str("  resolved"),
            Some(false) => f.write_str("  still firing"),
            None => Ok(()),
        }
    }
}

fn shown(firing: &Firing) -> String {
    let end = firing.resolved_at.map_or_else(
        || "still firing".to_owned(),
        |at| format!("resolved at {}", moment(at.0)),
    );
    format!(
        "{}  {}  value {}  {end}",
        moment(firing.at.0),
        labels(&firing.labels),
        firing.value
    )
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "no labels".to_owned();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

/// As an offset where the test's times are offsets.
fn moment(at: i64) -> String {
    let offset = at - epoch();
    if (0..365 * 86_400_000).contains(&offset) {
        Span::from_ms(offset).to_string()
    } else {
        Instant(at).to_string()
    }
}

fn epoch() -> i64 {
    Instant::parse(EPOCH).map_or(0, |at| at.0)
}

/// The outcome for people: a line for each test, and what differs.
pub fn text(verdicts: &[Verdict]) -> String {
    let mut lines = Vec::new();
    for verdict in verdicts {
        let sign = if verdict.passed { "ok  " } else { "FAIL" };
        lines.push(format!("{sign}  {}: {}", verdict.file, verdict.test));
        lines.extend(verdict.missing.iter().map(|one| format!("      - expected  {one}")));
        lines.extend(verdict.unexpected.iter().map(|one| format!("      + fired     {one}")));
        lines.extend(verdict.other.iter().map(|one| format!("      ! {one}")));
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    lines.push(format!("{} passed, {failed} failed", verdicts.len() - failed));
    lines.join("\n")
}
