//! What people read: titles and messages of alerts.

use std::collections::BTreeMap;

use serde_json::json;
use streamflow_model::{
    Alert, Instant, Rule, RuleKind, Signal, Span,
    drill::{DRILL_WORDS, is_drill_rule},
};

use crate::external;

/// Writes title, message and details of an alert for its newest verdict. The text of a verdict that ends it keeps the value
/// that raised it.
pub(crate) fn describe(alert: &mut Alert, rule: &Rule, signal: &Signal) {
    let data = &mut alert.data;
    // Where its evidence begins, for whoever explains it later.
    if !data.contains_key("first_window_start") {
        data.insert("first_window_start".to_owned(), json!(Instant(signal.window_start)));
        data.insert("first_window_end".to_owned(), json!(Instant(signal.window_end)));
    }
    data.insert("window_start".to_owned(), json!(Instant(signal.window_start)));
    data.insert("window_end".to_owned(), json!(Instant(signal.window_end)));
    // A rule by which the hub watches itself has no aggregate, and says in its own words what it has seen.
    let of_windows = !rule.is_builtin();
    if of_windows && matches!(rule.draft.kind, RuleKind::Threshold | RuleKind::Anomaly) {
        data.insert("aggregate".to_owned(), json!(rule.draft.aggregate));
    }
    if of_windows && rule.draft.kind == RuleKind::Threshold {
        data.insert("threshold".to_owned(), json!(rule.draft.threshold));
        data.insert("condition".to_owned(), json!(rule.draft.condition));
    }
    data.insert("running".to_owned(), json!(signal.running));
    data.insert("revision".to_owned(), json!(signal.revision));
    if !signal.top.is_empty() {
        data.insert("top".to_owned(), json!(signal.top));
    }
    if let Some(account) = &signal.account {
        data.extend(account.data.clone());
    }
    if !signal.met && !alert.title.is_empty() {
        return;
    }
    if rule.id == external::RULE_ID {
        return external(alert, &rule.draft.annotations, signal);
    }
    let of = group(&signal.labels);
    if let Some(account) = &signal.account {
        // A plugin names its incidents in its own words.
        let of = if of.is_empty() || !of_windows || rule.draft.kind == RuleKind::Plugin {
            String::new()
        } else {
            format!(" for {of}")
        };
        let drill = if is_drill_rule(&rule.id) {
            format!("{DRILL_WORDS}: ")
        } else {
            String::new()
        };
        alert.title = format!("{drill}{}: {}{of}", rule.draft.name, account.summary);
        alert.message = account.message.clone();
        name_missing(alert, signal);
        return;
    }
    let verdict = verdict(&rule.draft.condition, alert.value, rule.draft.threshold);
    alert.title = format!(
        "{}: {verdict}{}",
        rule.draft.name,
        if of.is_empty() { of } else { format!(" for {of}") }
    );
    alert.message = format!(
        "{} over {} is {}, and the condition `{}` holds.\nWindow: {} to {}{}.",
        rule.draft.aggregate,
        Span::from_ms(signal.window_end.saturating_sub(signal.window_start)),
        number(alert.value),
        rule.draft.condition,
        Instant(signal.window_start),
        Instant(signal.window_end),
        if signal.running { ", still running" } else { "" },
    );
    name_missing(alert, signal);
}

fn name_missing(alert: &mut Alert, signal: &Signal) {
    if !signal.completeness.complete && !signal.completeness.missing.is_empty() {
        alert.message.push_str(&format!(
            "\nNot heard from yet: {}.",
            signal.completeness.missing.join(", ")
        ));
    }
    if alert.flapping {
        flapping(alert);
    }
}

/// The words of whoever decided it.
fn external(alert: &mut Alert, annotations: &BTreeMap<String, String>, signal: &Signal) {
    let text = |names: &[&str]| names.iter().find_map(|name| annotations.get(*name)).cloned();
    let mut own = signal.labels.clone();
    own.remove("alertname");
    let named = format!("{} {}", alert.rule_name, group(&own));
    alert.title = text(&["summary", "title"]).unwrap_or_else(|| named.trim().to_owned());
    alert.message = text(&["description", "message"]).unwrap_or_else(|| group(&signal.labels));
    alert.annotations.clone_from(annotations);
}

/// Says that an alert comes and goes.
pub(crate) fn flapping(alert: &mut Alert) {
    alert
        .message
        .push_str("\nIt is flapping: it comes and goes, and ends when it has been quiet for a while.");
}

/// Says that an alert fires on data that came late, with both times.
pub(crate) fn late(alert: &mut Alert, window_end: i64, now: i64) {
    let (happened, known) = (Instant(window_end), Instant(now));
    alert.data.insert("late".to_owned(), json!(true));
    alert.data.insert("happened_at".to_owned(), json!(happened));
    alert.message.push_str(&format!(
        "\nLate: it happened by {happened}, and is known since {known}."
    ));
}

/// Why an alert is over.
pub(crate) fn over(signal: &Signal) -> String {
    match (&signal.account, signal.value) {
        (Some(account), _) => account.summary.clone(),
        (None, Some(value)) => format!("the condition no longer holds: value {}", number(value)),
        (None, None) => "its windows have emptied".to_owned(),
    }
}

/// `source=web-1, region=eu`.
pub(crate) fn group(labels: &BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `57 > 50` where the condition is a plain comparison with the threshold, else the value and the condition.
fn verdict(condition: &str, value: f64, threshold: Option<f64>) -> String {
    let words: Vec<&str> = condition.split_whitespace().collect();
    match (words.as_slice(), threshold) {
        (["value", op, "threshold"], Some(threshold)) => format!("{} {op} {}", number(value), number(threshold)),
        (["value", op, literal], _) if literal.parse::<f64>().is_ok() => format!("{} {op} {literal}", number(value)),
        _ => format!("value {} ({condition})", number(value)),
    }
}

/// At most three digits after the point, and none that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_read_like_people_write_them() {
        assert_eq!(verdict("value > threshold", 57.0, Some(50.0)), "57 > 50");
        assert_eq!(verdict("value >= 99.5", 99.75, None), "99.75 >= 99.5");
        assert_eq!(
            verdict("value > 2.0 * threshold", 7.25, Some(3.0)),
            "value 7.25 (value > 2.0 * threshold)"
        );
        assert_eq!(number(1_000_000.0), "1000000");
        assert_eq!(number(-0.5), "-0.5");
    }
}
