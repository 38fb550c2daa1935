use serde_json::json;

use super::*;

fn draft(body: Value) -> RuleDraft {
    serde_json::from_value(body).unwrap()
}

/// `field: reason` of every mistake.
fn mistakes(body: Value) -> Vec<String> {
    let errors = draft(body).compile().err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pattern_reads_and_its_mistakes_are_named() {
    let good = json!({"name": "brute force", "kind": "pattern", "group_by": ["user_id"], "pattern": {"within": "5m", "steps": [
        {"name": "failure", "match": "type == 'user.login_failed'", "count": 5}, {"name": "success", "match": "type == 'user.login'"}]}});
    let compiled = draft(good.clone()).compile().unwrap().pattern.unwrap();
    assert_eq!(
        (compiled.within, compiled.steps[0].count, compiled.steps[1].count),
        (300_000, 5, 1)
    );
    // What is read back from the API is accepted again.
    let again = serde_json::to_value(draft(good.clone())).unwrap();
    assert!(mistakes(again).is_empty());

    let bad = json!({"name": "x", "kind": "pattern", "aggregate": "sum(data.x)", "window": "1m", "condition": "value < 1", "threshold": 1,
    "evaluate": "eager", "absence": {"silent_for": "5m"},
    "pattern": {"within": "0s", "steps": [
        {"name": "a", "match": "type =", "not": true},
        {"name": "a", "match": "true", "count": 0},
        {"name": " ", "match": "true", "count": 2, "not": true},
    ]}});
    assert_eq!(
        mistakes(bad),
        [
            "absence: is for kind `absence`, and this rule has kind `pattern`",
            "aggregate: says nothing to kind `pattern`; use `pattern`",
            "window: says nothing to kind `pattern`; use `pattern`",
            "condition: says nothing to kind `pattern`; use `pattern`",
            "threshold: says nothing to kind `pattern`; use `pattern`",
            "evaluate: `eager` would fire for what a later event takes back; use `auto` or `on_close`",
            "pattern.within: is 0s; must be between 1s and 7d",
            "pattern.steps[0].not: the first step cannot be negated; for events that stay away altogether use kind `absence`",
            &mistakes(
                json!({"name": "x", "kind": "pattern", "pattern": {"within": "1m", "steps": [{"name": "a", "match": "type ="}]}})
            )[0],
            "pattern.steps[1].name: `a` is the name of an earlier step",
            "pattern.steps[1].count: is 0; must be between 1 and 1000",
            "pattern.steps[2].name: must have 1 to 64 bytes",
            "pattern.steps[2].count: a negated step has no count: one such event is too many",
        ]
    );
    let position = draft(json!({"name": "x", "kind": "pattern", "pattern": {"within": "1m", "steps": [{"name": "a", "match": "type ="}]}}))
        .compile()
        .unwrap_err();
    assert_eq!(
        (position[0].field.as_str(), position[0].line),
        ("pattern.steps[0].match", Some(1))
    );
    assert_eq!(
        mistakes(json!({"name": "x", "kind": "pattern"})),
        ["pattern: is required for kind `pattern`"]
    );
    assert_eq!(
        mistakes(json!({"name": "x", "kind": "pattern", "pattern": {"within": "1m", "steps": []}})),
        ["pattern.steps: 0 steps; a pattern has 1 to 16"]
    );
}

#[test]
fn an_absence_names_its_groups() {
    let of = |absence: Value| json!({"name": "silent", "kind": "absence", "group_by": ["source"], "absence": absence});
    let compiled = draft(of(json!({"silent_for": "5m", "expect": [{"source": "web-1"}]})))
        .compile()
        .unwrap();
    assert!(compiled.absence.unwrap().expect.contains(&vec!["web-1".to_owned()]));
    assert_eq!(
        mistakes(of(
            json!({"silent_for": "0s", "forget_after": "1000d", "expect": [{"host": "a"}, {}]})
        )),
        [
            "absence.silent_for: is 0s; must be between 1s and 7d",
            "absence.forget_after: is 1000d; must be longer than `silent_for` and at most 90d",
            "absence.expect[0]: names `host`; it must name exactly the attributes of `group_by`: `source`",
            "absence.expect[1]: names nothing; it must name exactly the attributes of `group_by`: `source`",
        ]
    );
    // Without groups there is one: everything that matches.
    let all = draft(json!({"name": "silent", "kind": "absence", "absence": {"silent_for": "5m"}}))
        .compile()
        .unwrap();
    assert_eq!(all.absence.unwrap().expect.len(), 1);
}

#[test]
fn an_anomaly_has_defaults_for_everything() {
    let of = |anomaly: Value| json!({"name": "odd", "kind": "anomaly", "aggregate": "avg(data.ms)", "window": "1m", "anomaly": anomaly});
    let compiled = draft(json!({"name": "odd", "kind": "anomaly", "window": "1m"}))
        .compile()
        .unwrap()
        .anomaly
        .unwrap();
    assert_eq!(
        (compiled.learning, compiled.deviations, compiled.history),
        (1_800_000, 3.5, 120)
    );
    let seasonal = draft(of(json!({"method": "seasonal", "sensitivity": "high"})))
        .compile()
        .unwrap()
        .anomaly
        .unwrap();
    assert_eq!(
        (seasonal.learning, seasonal.deviations),
        (1_800_000 + 7 * 86_400_000, 2.5)
    );
    assert_eq!(
        mistakes(of(
            json!({"history": 3, "deviations": 0, "min_change": -1, "learning": "1000d"})
        )),
        [
            "anomaly.history: is 3; must be between 10 and 1000",
            "anomaly.learning: must be at most 52 weeks (364d)",
            "anomaly.deviations: is 0; must be between 0.5 and 100",
            "anomaly.min_change: must be a finite number, zero or more",
        ]
    );
    let hours = json!({"name": "odd", "kind": "anomaly", "window": "2h", "anomaly": {"method": "seasonal"}});
    assert_eq!(
        mistakes(hours),
        ["anomaly.method: windows of 2h are longer than the hours that `seasonal` compares; at most 1h"]
    );
}

#[test]
fn a_threshold_rule_refuses_what_belongs_to_others() {
    let wrong = json!({"name": "x", "threshold": 1, "anomaly": {}});
    assert_eq!(
        mistakes(wrong),
        ["anomaly: is for kind `anomaly`, and this rule has kind `threshold`"]
    );
    assert!(
        mistakes(json!({"name": "x"}))
            .iter()
            .any(|m| m.starts_with("threshold: is required"))
    );
}

/// Rules in the guide are rules.
#[test]
fn every_rule_of_the_guide_is_accepted() {
    let guide = include_str!("../../../../docs/analytics.md");
    let blocks = guide
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let rules: Vec<Value> = blocks
        .map(|block| serde_json::from_str(block).unwrap())
        .filter(|value: &Value| value.get("kind").is_some())
        .collect();
    for kind in ["pattern", "absence", "anomaly"] {
        assert!(
            rules.iter().any(|rule| rule["kind"] == kind),
            "the guide shows no {kind}"
        );
    }
    for rule in rules {
        assert_eq!(mistakes(rule.clone()), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn of_each_kind_is_explained_what_it_has() {
    let explained = |body: Value| {
        let rule = draft(body).explain().unwrap();
        (rule.aggregate, rule.condition, rule.judged)
    };
    let answer = |aggregate: &str, condition: &str, judged: &str| {
        (aggregate.to_owned(), condition.to_owned(), judged.to_owned())
    };
    let threshold = json!({"name": "x", "window": "1m", "condition": "value > threshold", "threshold": 1});
    assert_eq!(explained(threshold), answer("count()", "value > threshold", "eager"));
    let step = json!({"name": "a", "match": "true"});
    let never = json!({"name": "b", "match": "type == 'b'", "not": true});
    let pattern = |steps: Value| json!({"name": "x", "kind": "pattern", "group_by": ["source"], "pattern": {"within": "1m", "steps": steps}});
    assert_eq!(explained(pattern(json!([step]))), answer("", "", "eager"));
    assert_eq!(explained(pattern(json!([step, never]))), answer("", "", "on_close"));
    let absence = json!({"name": "x", "kind": "absence", "group_by": ["source"], "absence": {"silent_for": "1m"}});
    assert_eq!(explained(absence), answer("", "", "on_close"));
    let anomaly = json!({"name": "x", "kind": "anomaly", "window": "1m"});
    assert_eq!(explained(anomaly), answer("count()", "", "on_close"));
}

#[test]
fn a_mistake_in_a_window_is_told_without_its_field() {
    let read = serde_json::from_value::<RuleDraft>(json!({"name": "x", "window": "1x"}));
    let told = read.unwrap_err().to_string();
    assert!(told.starts_with("`1x` is not a length of time"), "{told}");
}
