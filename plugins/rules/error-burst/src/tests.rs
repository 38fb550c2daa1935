use serde_json::json;
use streamflow_sdk::{
    Severity,
    testing::{Event, RuleTest, event},
};

use crate::Burst;

const T0: i64 = 1_700_000_000_000;

fn rule(config: serde_json::Value) -> RuleTest<Burst> {
    RuleTest::start(include_str!("../plugin.toml"), &config).expect("a rule")
}

fn errors(source: &str, count: usize, from: i64) -> Vec<Event> {
    let each = |n: usize| {
        event("log", source)
            .severity(Severity::High)
            .at(from + i64::try_from(n).expect("small") * 100)
    };
    (0..count).map(each).collect()
}

#[test]
fn a_burst_fires_once_a_source_and_ends() {
    let mut rule = rule(json!({"errors": 5, "within_seconds": 60}));
    assert!(rule.events(&errors("a", 4, T0)).expect("an answer").is_empty());
    rule.restart().expect("the counts are kept");
    let mut both = errors("a", 2, T0 + 1000);
    both.extend(errors("b", 4, T0 + 1000));
    let alerts = rule.events(&both).expect("an answer");
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        (alerts[0].key.as_str(), alerts[0].value, alerts[0].rows.as_slice()),
        ("a", Some(6.0), [1].as_slice())
    );
    assert!(rule.tick(T0 + 30_000).expect("an answer").is_empty());
    let over = rule.tick(T0 + 120_000).expect("an answer");
    assert_eq!((over.len(), over[0].resolved, over[0].key.as_str()), (1, true, "a"));
    assert!(rule.state().is_empty(), "nothing is remembered of quiet sources");
}

#[test]
fn a_tick_of_a_time_before_the_newest_errors_ends_nothing() {
    let mut rule = rule(json!({"errors": 5, "within_seconds": 60}));
    assert_eq!(rule.events(&errors("a", 5, T0 + 3_000)).expect("an answer").len(), 1);
    assert!(rule.tick(T0).expect("an answer").is_empty());
    assert_eq!(rule.tick(T0 + 70_000).expect("an answer").len(), 1);
}

#[test]
fn only_errors_count_and_slow_ones_are_no_burst() {
    let mut burst = rule(json!({"errors": 3}));
    let low: Vec<Event> = (0..9)
        .map(|_| event("log", "a").severity(Severity::Medium).at(T0))
        .collect();
    assert!(burst.events(&low).expect("an answer").is_empty());
    let slow: Vec<Event> = (0..9)
        .map(|n| event("log", "a").severity(Severity::Critical).at(T0 + n * 40_000))
        .collect();
    assert!(burst.events(&slow).expect("an answer").is_empty());
    let mut any = rule(json!({"errors": 3, "severity": "low"}));
    assert_eq!(any.events(&low).expect("an answer").len(), 1);
}

#[test]
fn sources_are_bounded() {
    let mut rule = rule(json!({"errors": 1}));
    for n in 0..2_000_i64 {
        rule.events(&errors(&format!("s{n}"), 1, T0 + n)).expect("an answer");
    }
    assert!(rule.state().len() <= super::MAX_SOURCES);
    assert!(RuleTest::<Burst>::start("", &json!({"error": 1})).is_err());
}
