//! From findings to verdicts as alerting takes them: what is found holds, and what is open and not found is over. Pure.

use std::collections::BTreeMap;

use streamflow_model::{Account, Alert, Completeness, Instant, Signal};

use super::{check::Check, judge::Finding};

/// The verdicts of one look. `open` are the alerts of built-in rules that are not over; `now` is the time of the look, ms.
///
/// Nothing is remembered between two looks, so a verdict that was lost is given again with the next.
pub fn verdicts(findings: &[Finding], open: &[Alert], now: i64) -> Vec<Signal> {
    // Verdicts are ordered by their time. After a start with a clock that was set back, the newest one that was told is later.
    let told = open.iter().filter_map(|alert| {
        let end = alert.data.get("window_end")?.clone();
        serde_json::from_value::<Instant>(end).ok()
    });
    let at = told.map(|at| at.0.saturating_add(1)).fold(now, i64::max);
    let mut signals: Vec<Signal> = findings
        .iter()
        .map(|finding| signal(finding.check, finding.labels.clone(), Some(finding), at))
        .collect();
    for alert in open {
        let Some(check) = Check::of_rule(&alert.rule_id) else {
            continue;
        };
        let own = group(check, alert);
        let found = findings
            .iter()
            .any(|finding| finding.check == check && finding.labels == own);
        if !found {
            signals.push(signal(check, own, None, at));
        }
    }
    signals
}

/// What a built-in rule's alert is about: its labels without those of the rule.
pub fn group(check: Check, alert: &Alert) -> BTreeMap<String, String> {
    let own = alert.labels.iter();
    let own = own.filter(|(name, _)| check.labels().contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn signal(check: Check, labels: BTreeMap<String, String>, found: Option<&Finding>, at: i64) -> Signal {
    let over = || Account {
        summary: check.over().to_owned(),
        ..Account::default()
    };
    Signal {
        rule_id: check.rule_id(),
        rule_version: 1,
        labels,
        value: found.map(|finding| finding.value),
        top: Vec::new(),
        met: found.is_some(),
        running: false,
        window_start: at,
        window_end: at,
        revision: 0,
        watermark: at,
        completeness: Completeness {
            complete: true,
            reported: 1,
            ..Completeness::default()
        },
        // No event lies behind it, so it says nothing about how fast events become alerts.
        stored_at: 0,
        account: Some(Box::new(found.map_or_else(over, |finding| finding.account.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(channel: &str) -> Finding {
        Finding {
            check: Check::ChannelFailing,
            labels: BTreeMap::from([("channel".to_owned(), channel.to_owned())]),
            value: 5.0,
            account: Account {
                summary: format!("{channel} does not work"),
                ..Account::default()
            },
        }
    }

    fn alert(channel: &str, window_end: i64) -> Alert {
        serde_json::from_value(json!({"id": "1", "rule_id": "self:channel_failing", "rule_name": "x", "state": "firing", "level": "error",
            "title": "", "message": "", "value": 1.0, "group_key": "", "pending_at": null, "fired_at": null, "acknowledged_at": null,
            "acknowledged_by": null, "resolved_at": null, "resolved_by": null, "timeline": [],
            "labels": {"channel": channel, "streamflow": "self", "check": "channel_failing", "alertname": "x", "level": "error"},
            "data": {"window_end": Instant(window_end)}, "completeness": Completeness::default()}))
        .unwrap()
    }

    #[test]
    fn what_is_found_holds_and_what_is_open_and_not_found_is_over() {
        let signals = verdicts(&[finding("a"), finding("b")], &[alert("b", 10), alert("c", 20)], 1000);
        let told: Vec<(&str, bool, i64)> = signals
            .iter()
            .map(|signal| (signal.labels["channel"].as_str(), signal.met, signal.window_end))
            .collect();
        assert_eq!(told, [("a", true, 1000), ("b", true, 1000), ("c", false, 1000)]);
        assert_eq!(
            signals[2].labels.len(),
            1,
            "the labels of the rule are not those of the group"
        );
        assert_eq!(
            signals[2].account.as_ref().unwrap().summary,
            Check::ChannelFailing.over()
        );
    }

    #[test]
    fn a_verdict_is_never_older_than_what_was_told() {
        let signals = verdicts(&[], &[alert("c", 5000)], 1000);
        assert_eq!(signals[0].window_end, 5001);
    }
}
