use serde_json::{Value, json};
use streamflow_sdk::testing::{Event, RuleTest, event};

use super::{MAX_SERIES, ZScore};

const T0: i64 = 1_700_000_000_000;

fn rule(config: &Value) -> RuleTest<ZScore> {
    RuleTest::start(include_str!("../plugin.toml"), config).expect("a rule")
}

fn value(source: &str, value: f64, second: i64) -> Event {
    event("metric", source)
        .data(json!({"name": "latency", "value": value}))
        .at(T0 + second * 1000)
}

/// 100 ± 1, a value a second.
fn usual(source: &str, count: i64) -> Vec<Event> {
    (0..count)
        .map(|n| value(source, if n % 2 == 0 { 99.0 } else { 101.0 }, n))
        .collect()
}

#[test]
fn an_outlier_fires_and_is_over_with_a_usual_value() {
    let mut rule = rule(&json!({"samples": 20}));
    assert!(rule.events(&usual("a", 40)).expect("an answer").is_empty());
    rule.restart().expect("what was learnt is kept");
    assert!(rule.events(&[value("a", 102.0, 41)]).expect("an answer").is_empty());
    let alerts = rule.events(&[value("a", 110.0, 42)]).expect("an answer");
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].key, "a latency");
    assert!(alerts[0].value.is_some_and(|z| (7.0..11.0).contains(&z)), "{alerts:?}");
    let low = rule.events(&[value("a", 80.0, 43)]).expect("an answer");
    assert!(
        low[0].title.contains("below"),
        "an outlier does not hide the next one: {low:?}"
    );
    let over = rule.events(&[value("a", 100.0, 44)]).expect("an answer");
    assert!(over.len() == 1 && over[0].resolved, "{over:?}");
}

#[test]
fn a_level_that_stays_becomes_usual() {
    let mut rule = rule(&json!({"samples": 20}));
    rule.events(&usual("a", 40)).expect("an answer");
    let step: Vec<Event> = (40..400)
        .map(|n| value("a", if n % 2 == 0 { 199.0 } else { 201.0 }, n))
        .collect();
    rule.events(&step).expect("an answer");
    let after = rule.events(&[value("a", 200.0, 401)]).expect("an answer");
    assert!(after.iter().all(|alert| alert.resolved), "{after:?}");
}

#[test]
fn nothing_is_said_before_there_are_enough_values_and_silence_ends_it() {
    let mut rule = rule(&json!({"samples": 20, "forget_seconds": 60}));
    let mut early = usual("a", 10);
    early.push(value("a", 900.0, 11));
    assert!(rule.events(&early).expect("an answer").is_empty());
    rule.events(&usual("b", 40)).expect("an answer");
    assert_eq!(rule.events(&[value("b", 500.0, 40)]).expect("an answer").len(), 1);
    let over = rule.tick(T0 + 200_000).expect("an answer");
    assert!(
        over.len() == 1 && over[0].resolved && over[0].key == "b latency",
        "{over:?}"
    );
    assert!(rule.state().is_empty());
}

#[test]
fn a_number_that_never_moved_may_move_a_little() {
    let mut rule = rule(&json!({"samples": 20}));
    let still: Vec<Event> = (0..40).map(|n| value("a", 1000.0, n)).collect();
    rule.events(&still).expect("an answer");
    assert!(rule.events(&[value("a", 1002.0, 41)]).expect("an answer").is_empty());
    assert_eq!(rule.events(&[value("a", 1010.0, 42)]).expect("an answer").len(), 1);
}

#[test]
fn series_and_their_memory_are_bounded() {
    let mut rule = rule(&json!({}));
    for n in 0..5000_i64 {
        rule.events(&[value(&format!("s{n}"), 1.0, n)]).expect("an answer");
    }
    assert!(rule.state().len() <= MAX_SERIES);
    let text = serde_json::to_string(rule.state()).expect("JSON");
    assert!(text.len() < 768 << 10, "{}", text.len());
    assert!(RuleTest::<ZScore>::start("", &json!({"sample": 1})).is_err());
}
