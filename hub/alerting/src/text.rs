//! What people read: titles and messages of alerts.

use std::collections::BTreeMap;

use serde_json::json;
use streamflow_model::{Alert, Instant, Rule, RuleKind, Signal};

/// Writes title, message and details of an alert for its newest verdict. The text of a verdict that ends it keeps the value
/// that raised it.
pub(crate) fn describe(alert: &mut Alert, rule: &Rule, signal: &Signal) {
    let data = &mut alert.data;
    data.insert("window_start".to_owned(), json!(Instant(signal.window_start)));
    data.insert("window_end".to_owned(), json!(Instant(signal.window_end)));
    if rule.draft.kind == RuleKind::Threshold {
        data.insert("aggregate".to_owned(), json!(rule.draft.aggregate));
    }
    if rule.draft.kind == RuleKind::Threshold {
        data.insert("threshold".to_owned(), json!(rule.draft.threshold));
        data.insert("condition".to_owned(), json!(rule.draft.condition));
    }
    data.insert("running".to_owned(), json!(signal.running));
    if let Some(account) = &signal.account {
        data.extend(account.data.clone());
    }
    if !signal.met && !alert.title.is_empty() {
        return;
    }
    let of = group(&signal.labels);
    if let Some(account) = &signal.account {
        // A plugin names its incidents in its own words.
        let of = if of.is_empty() || rule.draft.kind == RuleKind::Plugin {
            String::new()
        } else {
            format!(" for {of}")
        };
        alert.title = format!("{}: {}{of}", rule.draft.name, account.summary);
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
        rule.draft.window.size(),
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
