use serde_json::{Value, json};
use streamflow_sdk::testing::{Event, TransformTest, event};

use crate::Redact;

fn transform(config: &Value) -> TransformTest<Redact> {
    TransformTest::start(include_str!("../plugin.toml"), config).expect("a transform")
}

fn line(text: &str) -> Event {
    event("log", "web-1").data(json!({"message": text}))
}

fn redact(more: &Value, text: &str) -> String {
    let mut config = json!({"fields": ["data.message"]});
    config
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    let events = transform(&config).apply(&[line(text)]).expect("an answer");
    events[0]
        .get("data.message")
        .and_then(Value::as_str)
        .expect("a text")
        .to_owned()
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(redact(&json!({}), text), *expected, "{text}");
    }
}

#[test]
fn mail_addresses_go() {
    check(&[
        ("user jane.o'neil+x@mail.example.co.uk.", "user [email]."),
        ("<müller@exämple.de>,a@b.io", "<[email]>,[email]"),
        ("@all see user@host, a@b.1, x@.de", "@all see user@host, a@b.1, x@.de"),
    ]);
}

#[test]
fn cards_are_known_by_their_check_digit() {
    check(&[
        ("pan=4111111111111111;", "pan=[card];"),
        ("4111-1111-1111-1111 and 3782 822463 10005", "[card] and [card]"),
        ("at 12 4111 1111 1111 1111 7", "at 12 [card] 7"),
        ("4111111111111112 is none", "4111111111111112 is none"),
        (
            "41111111111111111111111111111 is longer",
            "41111111111111111111111111111 is longer",
        ),
        ("ratio 0.4111111111111111", "ratio 0.4111111111111111"),
        ("at 1700000000000", "at 1700000000000"),
    ]);
}

#[test]
fn addresses_go_and_versions_and_times_stay() {
    check(&[
        ("from 10.0.0.1:8080, 192.168.1.77.", "from [ip]:8080, [ip]."),
        (
            "peer [2001:db8::1]:443 at fe80::1: refused",
            "peer [[ip]]:443 at [ip]: refused",
        ),
        ("addr:10.0.0.1 ::1 ::ffff:1.2.3.4", "addr:[ip] [ip] [ip]"),
        (
            "std::io 12:34:56.789 v1.2.3.4 1.2.3.4.5 256.1.1.1",
            "std::io 12:34:56.789 v1.2.3.4 1.2.3.4.5 256.1.1.1",
        ),
        ("mac aa:bb:cc:dd:ee:ff dead::beef", "mac aa:bb:cc:dd:ee:ff dead::beef"),
    ]);
}

#[test]
fn phone_numbers_go_in_the_forms_that_people_write() {
    check(&[
        ("call +49 171 2345678 now", "call [phone] now"),
        ("tel:+442079460958", "tel:[phone]"),
        ("+49 (0)30 1234567", "[phone]"),
        (
            "(020) 7946 0958, 0171-2345678, 0049 30 1234567",
            "[phone], [phone], [phone]",
        ),
        ("415-555-0123 or 1.415.555.0123", "[phone] or [phone]"),
        (
            "2026-11-26 10:15:00 +0100 took 200 512 1024 +1.23456789 0001 0002 0003",
            "2026-11-26 10:15:00 +0100 took 200 512 1024 +1.23456789 0001 0002 0003",
        ),
        ("id 01712345678", "id 01712345678"),
    ]);
}

#[test]
fn own_patterns_and_a_choice_of_what_is_looked_for() {
    let own = json!({"find": ["email"], "patterns": [{"name": "order", "regex": "ORD-\\d+"}]});
    assert_eq!(
        redact(&own, "ORD-77 of a@b.de from 10.0.0.1"),
        "[order] of [email] from 10.0.0.1"
    );
    // What overlaps goes as a whole.
    let wide = json!({"patterns": [{"name": "user", "regex": "user=\\S+"}]});
    assert_eq!(redact(&wide, "user=a@b.de x"), "[user] x");
    for wrong in [
        json!({"fields": ["data.message"], "patterns": [{"name": "x", "regex": "("}]}),
        json!({"fields": ["data.message"], "action": "hash"}),
        json!({"fields": ["data.message"], "action": "hash", "key": "short"}),
        json!({"find": ["email"]}),
    ] {
        assert!(TransformTest::<Redact>::start("", &wrong).is_err(), "{wrong}");
    }
}

#[test]
fn equal_values_have_equal_hashes_under_one_key() {
    let hash = |key: &str, text: &str| redact(&json!({"action": "hash", "key": key}), text);
    let one = hash("0123456789abcdef", "a@b.de");
    assert!(
        one.starts_with("[email:") && one.len() == "[email:]".len() + 16,
        "{one}"
    );
    assert_eq!(hash("0123456789abcdef", "to a@b.de"), format!("to {one}"));
    assert_ne!(hash("0123456789abcdeX", "a@b.de"), one);
    assert_ne!(hash("0123456789abcdef", "b@b.de"), one);
}

#[test]
fn the_field_or_the_event_is_dropped() {
    let events = [
        line("a@b.de"),
        line("fine"),
        event("log", "web-1").data(json!({"message": 7})),
        event("log", "web-2"),
    ];
    let run = |action: &str| {
        let config = json!({"fields": ["data.message"], "action": action});
        let left = transform(&config).apply(&events).expect("an answer");
        left.iter()
            .map(|event| event.get("data.message").cloned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        run("replace"),
        [Some(json!("[email]")), Some(json!("fine")), Some(json!(7)), None]
    );
    assert_eq!(
        run("drop_field"),
        [None, Some(json!("fine")), None, None],
        "what is no text cannot be searched"
    );
    assert_eq!(run("drop_event"), [Some(json!("fine")), Some(json!(7)), None]);
}

#[test]
fn several_fields_are_searched_and_others_are_not() {
    let mut transform = transform(&json!({"fields": ["data.message", "user_id"]}));
    let event = line("a@b.de")
        .field("user_id", json!("c@d.de"))
        .field("session_id", json!("e@f.de"));
    let events = transform.apply(&[event]).expect("an answer");
    assert_eq!(events[0].get("user_id"), Some(&json!("[email]")));
    assert_eq!(events[0].get("session_id"), Some(&json!("e@f.de")));
}
