use serde_json::json;
use streamflow_sdk::testing::{Event, RuleTest, event};

use crate::{BruteForce, short};

const T0: i64 = 1_700_000_000_000;

fn rule() -> RuleTest<BruteForce> {
    RuleTest::start(
        include_str!("../plugin.toml"),
        &json!({"failures": 3, "within_seconds": 60}),
    )
    .expect("a rule")
}

fn sign_in(user: &str, address: &str, success: bool, at: i64) -> Event {
    event("user.login", "web-1")
        .field("user_id", json!(user))
        .data(json!({"ip": address, "success": success}))
        .at(T0 + at)
}

#[test]
fn failures_of_one_user_from_one_address_add_up() {
    let mut rule = rule();
    let spread = [
        sign_in("eve", "10.0.0.1", false, 0),
        sign_in("eve", "10.0.0.2", false, 1),
        sign_in("bob", "10.0.0.1", false, 2),
        sign_in("eve", "10.0.0.1", false, 3),
        sign_in("eve", "10.0.0.1", true, 4),
    ];
    assert!(
        rule.events(&spread).expect("an answer").is_empty(),
        "three failures, but not of one pair"
    );
    rule.restart().expect("the state is kept");
    let alerts = rule.events(&[sign_in("eve", "10.0.0.1", false, 5)]).expect("an answer");
    assert_eq!(
        (alerts.len(), alerts[0].key.as_str(), alerts[0].value),
        (1, "eve from 10.0.0.1", Some(3.0))
    );
    let labels = [("user", "eve"), ("address", "10.0.0.1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(alerts[0].labels, labels);
    let broken = rule.events(&[sign_in("eve", "10.0.0.1", true, 6)]).expect("an answer");
    assert!(broken[0].title.contains("signed in after"), "{}", broken[0].title);
    let over = rule.tick(T0 + 200_000).expect("an answer");
    assert_eq!((over.len(), over[0].resolved), (1, true));
    assert!(rule.state().is_empty());
}

#[test]
fn other_spellings_are_read_and_other_events_are_not() {
    let mut rule = rule();
    let outcome = |outcome: &str| {
        event("auth", "ssh")
            .data(json!({"user": "root", "outcome": outcome}))
            .at(T0)
    };
    let events = [
        outcome("failure"),
        outcome("failure"),
        outcome("unknown"),
        event("auth", "ssh").at(T0),
        outcome("failure"),
    ];
    let alerts = rule.events(&events).expect("an answer");
    assert_eq!((alerts.len(), alerts[0].key.as_str()), (1, "root from ssh"));
}

#[test]
fn memory_and_names_are_bounded() {
    let mut rule = rule();
    for n in 0..3_000_i64 {
        rule.events(&[sign_in(&format!("u{n}"), "a", false, n)])
            .expect("an answer");
    }
    assert!(rule.state().len() <= super::MAX_PAIRS);
    assert_eq!(short(&"ü".repeat(80)).len(), 100);
}
