//! One alert explained: what its rule saw then, read again from the log.

use std::{collections::BTreeMap, time::Instant as Clock};

use serde::Serialize;
use serde_json::Value;
use streamflow_analytics::{backtest::BacktestError, evidence::Question};
use streamflow_model::{Alert, AlertState, Instant, Rule, RuleDraft, RuleKind, Signal};
use streamflow_plugin_host::RulePlugin;
use streamflow_storage::{Scanned, Store};

/// Windows that are judged again at most; those from the first on.
const MAX_WINDOWS: i64 = 500;
/// How much a plugin sees before the first event of its alert, ms: what it remembers of the time before is not known.
const PLUGIN_WARM_UP: i64 = 3_600_000;
/// Of an alert of a plugin that goes on for long, so much is judged again, ms.
const MAX_PLUGIN_RANGE: i64 = 86_400_000;

/// What an alert rests on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AlertExplanation {
    /// The alert.
    alert_id: String,
    /// Its rule.
    rule_id: String,
    /// Where the alert stands.
    state: AlertState,
    /// When it began to fire.
    fired_at: Option<Instant>,
    /// Its value as it was recorded.
    value: f64,
    /// Attributes and values of its group.
    labels: BTreeMap<String, String>,
    /// The rule as it is now; absent when it was deleted.
    rule: Option<RuleDraft>,
    /// The group's windows as the log gives them now, oldest first.
    windows: Vec<WindowValue>,
    /// Events of the windows up to the one with which it fired, newest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
    /// How many such events there are.
    events_total: u64,
    /// Whether everything that it rests on is still stored.
    complete: bool,
    /// What had to be read.
    pub(super) scanned: Scanned,
    /// What makes the answer less than it seems, in words.
    notes: Vec<String>,
    /// How long it took.
    took_ms: u64,
}

/// One window of the group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ExplainedWindow)]
struct WindowValue {
    /// Begin.
    start: Instant,
    /// End, exclusive.
    end: Instant,
    /// Value of the aggregate; absent when the window is empty.
    value: Option<f64>,
    /// Whether the condition holds.
    met: bool,
    /// Whether this is the value at which the rule fired before the window's end.
    running: bool,
}

impl From<&Signal> for WindowValue {
    fn from(signal: &Signal) -> Self {
        Self {
            start: Instant(signal.window_start),
            end: Instant(signal.window_end),
            value: signal.value,
            met: signal.met,
            running: signal.running,
        }
    }
}

/// Explains it.
///
/// # Errors
/// When the rule no longer compiles, its plugin does not take it any more, or the store fails.
pub(super) async fn alert(
    options: streamflow_analytics::Options,
    store: &dyn Store,
    alert: Alert,
    rule: Option<Rule>,
    plugin: Option<RulePlugin>,
    limit: usize,
) -> Result<AlertExplanation, BacktestError> {
    let started = Clock::now();
    let mut explained = AlertExplanation {
        alert_id: alert.id.clone(),
        rule_id: alert.rule_id.clone(),
        state: alert.state,
        fired_at: alert.fired_at,
        value: alert.value,
        labels: group_labels(&alert, rule.as_ref()),
        rule: rule.as_ref().map(|rule| rule.draft.clone()),
        windows: Vec::new(),
        events: Vec::new(),
        events_total: 0,
        complete: false,
        scanned: Scanned::default(),
        notes: Vec::new(),
        took_ms: 0,
    };
    let Some(rule) = rule else {
        let note = if explained.rule_id.starts_with(streamflow_model::rule::SELF) {
            "the hub itself has seen it, not in events; the alert's message says what, and GET /api/v1/self what holds now"
        } else {
            "its rule was deleted, so it is no longer known which events it looked at"
        };
        explained.notes.push(note.to_owned());
        return Ok(explained);
    };
    let Some(range) = Range::of(&alert, &rule) else {
        let note = "the alert does not say which windows it rests on";
        explained.notes.push(note.to_owned());
        return Ok(explained);
    };
    if alert.pending_at.is_some_and(|at| rule.updated_at > at) {
        let note = format!(
            "the rule was changed at {}, after the alert began; it is explained with the rule as it is now",
            rule.updated_at
        );
        explained.notes.push(note);
    }
    if !explained.labels.is_empty() && explained.labels.values().all(|label| label == "other") {
        let note = "the group `other` sums up all groups beyond the limit; the events of one cannot be told from those of another";
        explained.notes.push(note.to_owned());
    }
    if rule.draft.kind == RuleKind::Plugin {
        let note = if plugin.is_some() {
            "the events are those that match the rule and have the attributes that the alert's labels name, from an hour before on; the plugin began there without memory"
        } else {
            "the rule's plugin is not installed any more; the events are those that match the rule and have the attributes that the alert's labels name"
        };
        explained.notes.push(note.to_owned());
    }
    let judges = rule.draft.kind != RuleKind::Plugin || plugin.is_some();
    let question = Question {
        labels: explained.labels.clone(),
        rule,
        plugin,
        from: range.from,
        until: range.until,
        to: range.to,
        limit,
    };
    let evidence = question.answer(options, store, Instant::now().0).await?;
    explained.windows = evidence.verdicts.iter().map(WindowValue::from).collect();
    let events = evidence.events.iter().map(serde_json::to_value);
    explained.events = events.filter_map(Result::ok).collect();
    explained.events_total = evidence.total;
    explained.scanned = evidence.totals.scanned;
    let oldest = store.stats().await?.oldest;
    explained.complete = evidence.totals.unreadable == 0 && oldest.is_some_and(|oldest| oldest <= range.from);
    if evidence.totals.unreadable > 0 {
        let note = format!(
            "{} stored batches do not decode and were passed over",
            evidence.totals.unreadable
        );
        explained.notes.push(note);
    }
    // A young store holds nothing older either; only where the alert saw more than there is now has something gone.
    let first = explained.windows.iter().find(|window| window.met);
    let missing = judges && first.is_none();
    if missing && !explained.complete {
        let since = oldest.map_or_else(
            || "no event is stored any more".to_owned(),
            |at| format!("nothing older than {} is stored any more", Instant(at)),
        );
        let note = format!(
            "{since}: retention has removed events that the alert rests on; the alert itself keeps what it saw"
        );
        explained.notes.push(note);
    } else {
        explained.complete = evidence.totals.unreadable == 0;
        if missing {
            let note = "with all events that are stored now the condition does not hold in any of its windows; events that came late have changed them, or the rule has";
            explained.notes.push(note.to_owned());
        }
    }
    explained.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(explained)
}

/// Labels of the alert that name its group, without those that alerting adds.
fn group_labels(alert: &Alert, rule: Option<&Rule>) -> BTreeMap<String, String> {
    let own = |name: &String| match rule {
        // A plugin labels its alerts as it likes.
        Some(rule) if rule.draft.kind == RuleKind::Plugin => {
            name != "alertname" && name != "level" && !rule.draft.labels.contains_key(name)
        }
        Some(rule) => rule.draft.group_by.contains(name) || rule.draft.window.by().contains(name),
        None => name != "alertname" && name != "level",
    };
    let labels = alert.labels.iter().filter(|(name, _)| own(name));
    labels.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The times behind an alert.
struct Range {
    from: i64,
    until: i64,
    to: i64,
}

impl Range {
    fn of(alert: &Alert, rule: &Rule) -> Option<Self> {
        let time = |key: &str| {
            let text = alert.data.get(key)?.as_str()?;
            Instant::parse(text).map(|at| at.0)
        };
        let last_end = time("window_end")?;
        let from = time("first_window_start").or_else(|| time("window_start"))?;
        let first_end = time("first_window_end").unwrap_or(last_end);
        if rule.draft.kind == RuleKind::Plugin {
            // The end is when the deciding event was stored, which may be the time that the event bears.
            let until = first_end.saturating_add(rule.draft.hold.ms()).saturating_add(1);
            let most = from.saturating_add(MAX_PLUGIN_RANGE);
            return Some(Self {
                from: from.saturating_sub(PLUGIN_WARM_UP),
                until,
                to: last_end.saturating_add(1).min(most).max(until),
            });
        }
        let size = first_end.saturating_sub(from).max(1);
        let held = first_end.saturating_add(rule.draft.hold.ms());
        let until = held.min(last_end).max(first_end);
        let most = from.saturating_add(size.saturating_mul(MAX_WINDOWS));
        Some(Self {
            from,
            until,
            to: last_end.min(most).max(until),
        })
    }
}
