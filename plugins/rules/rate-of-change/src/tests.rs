use serde_json::{Value, json};
use streamflow_sdk::testing::{Event, RuleTest, event};

use super::{MAX_SERIES, RateOfChange};

const T0: i64 = 1_700_000_000_000;

fn rule(config: &Value) -> RuleTest<RateOfChange> {
    RuleTest::start(include_str!("../plugin.toml"), config).expect("a rule")
}

fn value(source: &str, value: f64, second: i64) -> Event {
    event("metric", source)
        .data(json!({"name": "queue", "value": value}))
        .at(T0 + second * 1000)
}

#[test]
fn a_rise_fires_and_is_over_when_it_has_left_the_window() {
    let mut rule = rule(&json!({"amount": 50, "within_seconds": 60}));
    assert!(
        rule.events(&[value("a", 10.0, 0), value("a", 40.0, 10)])
            .expect("an answer")
            .is_empty()
    );
    rule.restart().expect("values are kept");
    let alerts = rule
        .events(&[value("a", 65.0, 20), value("b", 65.0, 20)])
        .expect("an answer");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0].key.as_str(), alerts[0].value), ("a queue", Some(55.0)));
    assert!(alerts[0].title.contains("rose from 10 to 65"), "{}", alerts[0].title);
    assert!(rule.tick(T0 + 40_000).expect("an answer").is_empty());
    let over = rule.tick(T0 + 100_000).expect("an answer");
    assert_eq!((over.len(), over[0].resolved), (1, true), "{over:?}");
    rule.tick(T0 + 200_000).expect("an answer");
    assert!(rule.state().is_empty());
}

#[test]
fn percents_and_directions() {
    let fired = |config: Value, from: f64, to: f64| {
        let alerts = rule(&config)
            .events(&[value("a", from, 0), value("a", to, 1)])
            .expect("an answer");
        alerts.len() == 1
    };
    assert!(fired(json!({}), 100.0, 150.0), "50 percent when nothing is said");
    assert!(!fired(json!({}), 100.0, 149.0));
    assert!(fired(json!({"percent": 10}), 100.0, 90.0));
    assert!(!fired(json!({"percent": 10, "direction": "up"}), 100.0, 90.0));
    assert!(fired(json!({"percent": 10, "direction": "down"}), -100.0, -110.0));
    assert!(!fired(json!({"percent": 10}), 0.0, 5.0), "no percents of nothing");
    assert!(fired(json!({"percent": 10, "amount": 5}), 0.0, 5.0));
}

#[test]
fn a_slow_change_is_none_and_late_values_compare_with_their_time() {
    let mut slow = rule(&json!({"amount": 50, "within_seconds": 60}));
    for n in 0..100_i32 {
        let alerts = slow
            .events(&[value("a", f64::from(n), i64::from(n) * 10)])
            .expect("an answer");
        assert!(alerts.is_empty(), "{n}: {alerts:?}");
    }
    // Older than the window: told of to nobody, remembered by nobody.
    assert!(slow.events(&[value("a", 9000.0, 0)]).expect("an answer").is_empty());
}

#[test]
fn series_and_their_memory_are_bounded() {
    let mut rule = rule(&json!({}));
    for n in 0..2000_i64 {
        rule.events(&[value(&format!("s{n}"), 1.0, 0), value("s0", 1.0, n)])
            .expect("an answer");
    }
    assert!(rule.state().len() <= MAX_SERIES);
    let text = serde_json::to_string(rule.state()).expect("JSON");
    assert!(text.len() < 512 << 10, "{}", text.len());
    assert!(RuleTest::<RateOfChange>::start("", &json!({"amounts": 1})).is_err());
}
