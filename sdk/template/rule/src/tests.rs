use serde_json::json;
use streamflow_sdk::{
    Alert,
    testing::{Event, RuleTest, event},
};

use crate::Threshold;

const T0: i64 = 1_700_000_000_000;

fn rule() -> RuleTest<Threshold> {
    let config = json!({"threshold": 5, "quiet_minutes": 2});
    RuleTest::start(include_str!("../plugin.toml"), &config).expect("a rule")
}

fn reading(source: &str, value: f64) -> Event {
    event("reading", source).data(json!({"value": value})).at(T0)
}

fn keys(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.key.as_str()).collect()
}

#[test]
fn one_incident_for_each_source_above_the_threshold() {
    let readings = [
        reading("a", 7.0),
        reading("a", 9.0),
        reading("b", 5.0),
        reading("c", 6.0),
        event("other", "d"),
    ];
    let alerts = rule().events(&readings).expect("an answer");
    assert_eq!(keys(&alerts), ["a", "c"]);
    assert_eq!((alerts[0].value, alerts[0].resolved), (Some(9.0), false));
}

#[test]
fn an_incident_is_over_after_quiet_minutes_even_across_a_restart() {
    let mut rule = rule();
    rule.events(&[reading("a", 7.0)]).expect("an answer");
    rule.restart().expect("the state is kept");
    assert!(rule.tick(T0 + 119_000).expect("an answer").is_empty());
    let alerts = rule.tick(T0 + 120_000).expect("an answer");
    assert_eq!(keys(&alerts), ["a"]);
    assert!(alerts[0].resolved);
    assert!(rule.tick(T0 + 300_000).expect("an answer").is_empty());
}
