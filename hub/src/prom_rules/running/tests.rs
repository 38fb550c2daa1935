use serde_json::json;

use super::*;
use crate::command::rule_file::prometheus::Group;

const T0: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn rule(expr: &str, severity: &str) -> PromRule {
    PromRule {
        alert: "DiskFull".to_owned(),
        expr: expr.to_owned(),
        hold: Span::ZERO,
        keep_firing_for: Span::ZERO,
        labels: labels(&[("severity", severity)]),
        annotations: Labels::new(),
    }
}

fn group(name: &str, rules: Vec<PromRule>) -> Group {
    Group {
        name: name.to_owned(),
        interval: Span::from_secs(30),
        rules,
    }
}

fn source(file: &str, groups: Vec<Group>) -> PromSource {
    groups.into_iter().map(|group| (file.to_owned(), group)).collect()
}

/// An alert as alerting shows it.
fn alert(severity: &str, change: serde_json::Value) -> Alert {
    let mut alert = json!({"id": "1", "rule_id": "external", "rule_name": "DiskFull", "state": "firing", "level": "warning",
        "title": "", "message": "", "value": 1.0, "group_key": "", "annotations": {"summary": "full", "generator_url": "mark"},
        "labels": {"alertname": "DiskFull", "severity": severity, "host": "a", "level": "warning"},
        "pending_at": Instant(T0), "fired_at": Instant(T0 + 7), "acknowledged_at": null, "acknowledged_by": null,
        "resolved_at": null, "resolved_by": null, "data": {"window_end": Instant(T0)},
        "completeness": streamflow_model::Completeness::default(), "timeline": []});
    let fields = alert.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    serde_json::from_value(alert).unwrap()
}

fn none(_: &str, _: &str, _: &PromRule) -> Vec<Firing> {
    Vec::new()
}

fn found() -> Vec<(Labels, f64)> {
    vec![(labels(&[("host", "a")]), 1.0)]
}

/// Severity of each alert that is mentioned, and whether it goes on.
fn told(posts: &[PostedAlert], now: i64) -> Vec<(&str, bool)> {
    let told = posts.iter();
    told.map(|post| (post.labels["severity"].as_str(), post.ends_at.unwrap().0 > now))
        .collect()
}

#[test]
fn after_a_restart_rules_of_one_name_do_not_end_each_others_alerts() {
    let pair = || vec![rule("x > 9", "critical"), rule("x > 5", "warning")];
    let open = [alert("warning", json!({}))];
    let (mut running, ended) = take_over(
        source("a.yml", vec![group("g", pair())]),
        Vec::new(),
        &|_, _, rule| firing(&open, rule),
        T0,
    );
    assert!(ended.is_empty());
    let late = T0 + 10 * MINUTE;
    let critical = running[0].evaluated(0, Vec::new(), late, false).unwrap();
    assert_eq!(told(&critical, late), [], "it is none of its alerts");
    let warning = running[0].evaluated(1, found(), late, false).unwrap();
    assert_eq!(told(&warning, late), [("warning", true)]);
    assert_eq!(warning[0].starts_at, Some(Instant(T0)), "as it was mentioned before");

    // Two that differ by their expression alone cannot be told apart: the one that has no series lets go without a word.
    let same = || vec![rule("x > 9", "warning"), rule("y > 9", "warning")];
    let (mut running, _) = take_over(
        source("a.yml", vec![group("g", same())]),
        Vec::new(),
        &|_, _, rule| firing(&open, rule),
        T0,
    );
    assert_eq!(
        told(&running[0].evaluated(0, Vec::new(), late, false).unwrap(), late),
        []
    );
    assert_eq!(
        told(&running[0].evaluated(1, found(), late, false).unwrap(), late),
        [("warning", true)]
    );
    assert_eq!(
        told(&running[0].evaluated(1, Vec::new(), late + 1, false).unwrap(), late),
        [("warning", false)],
        "nobody else has it"
    );
}

#[test]
fn an_alert_goes_on_with_the_labels_that_its_rule_makes() {
    let mut leveled = rule("x", "warning");
    leveled.labels.insert("level".to_owned(), "page".to_owned());
    let open = [alert("warning", json!({}))];
    let of = |rule: &PromRule| firing(&open, rule).pop().unwrap();
    assert_eq!(of(&leveled).labels["level"], "page");
    let bare = of(&rule("x", "{{ $labels.severity }}"));
    assert_eq!(bare.labels.get("level"), None);
    assert_eq!(bare.annotations, labels(&[("summary", "full")]));
    assert!(firing(&open, &rule("x", "critical")).is_empty());
    let old = [alert("warning", json!({"data": {}}))];
    assert_eq!(firing(&old, &rule("x", "warning"))[0].since, T0 + 7);
}

#[test]
fn a_rule_in_another_file_or_group_goes_on_and_what_is_gone_is_ended() {
    let (moved, stays) = (rule("x > 5", "warning"), rule("x > 9", "critical"));
    let one = group("g", vec![moved.clone(), stays.clone()]);
    let (mut running, _) = take_over(source("web.yml", vec![one.clone()]), Vec::new(), &none, T0);
    for nth in 0..2 {
        running[0].evaluated(nth, found(), T0, false).unwrap();
    }
    // The file has another name.
    let (running, ended) = take_over(source("api.yml", vec![one]), running, &none, T0 + 1);
    assert_eq!((told(&ended, T0), running[0].watches[0].0.counts()), (vec![], (0, 1)));
    // A rule moves to another group.
    let two = || vec![group("g", vec![stays.clone()]), group("h", vec![moved.clone()])];
    let (running, ended) = take_over(source("api.yml", two()), running, &none, T0 + 2);
    let counts: Vec<(usize, usize)> = running.iter().map(|group| group.watches[0].0.counts()).collect();
    assert_eq!((told(&ended, T0), counts), (vec![], vec![(0, 1), (0, 1)]));
    // One of two that have the same name is gone.
    let (running, ended) = take_over(source("api.yml", vec![group("g", vec![stays])]), running, &none, T0 + 3);
    assert_eq!((told(&ended, T0), running.len()), (vec![("warning", false)], 1));
    let (_, ended) = take_over(Vec::new(), running, &none, T0 + 4);
    assert_eq!(told(&ended, T0), [("critical", false)]);
}

#[test]
fn a_changed_rule_goes_on_with_alerts_of_the_same_labels_only() {
    let (mut running, _) = take_over(
        source("a.yml", vec![group("g", vec![rule("x > 5", "warning")])]),
        Vec::new(),
        &none,
        T0,
    );
    running[0].evaluated(0, found(), T0, false).unwrap();
    let open = [alert("warning", json!({}))];
    let adopt = |_: &str, _: &str, rule: &PromRule| firing(&open, rule);
    let changed = |rule| source("a.yml", vec![group("g", vec![rule])]);
    let (mut running, ended) = take_over(changed(rule("x > 6", "warning")), running, &adopt, T0 + 1);
    assert_eq!((ended.len(), running[0].watches[0].0.counts()), (0, (0, 1)));
    let early = running[0].evaluated(0, Vec::new(), T0 + 1, true).unwrap();
    assert_eq!(
        told(&early, T0 + 1),
        [("warning", false)],
        "its series was there under the rule as it was before, so that it is gone is news"
    );
    running[0].evaluated(0, found(), T0 + 1, true).unwrap();
    let (_, ended) = take_over(changed(rule("x > 6", "critical")), running, &adopt, T0 + 2);
    assert_eq!(told(&ended, T0), [("warning", false)]);
}
