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
        ("jane@example.com-2024 jane@example.com.5", "[email]-2024 [email].5"),
        ("jane@example.xn--p1ai, jane@example.com2", "[email], [email]2"),
        ("lib@1.2.3-rc1 a@b.c", "lib@1.2.3-rc1 a@b.c"),
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
        (
            "client_10.0.0.1 10.0.0.1_443 10.0.0.1ms 10.0.0.1b",
            "client_[ip] [ip]_443 [ip]ms [ip]b",
        ),
        (
            "host10.0.0.1 face10.0.0.1:80 dev10.0.0.1 from2001:db8::1",
            "host[ip] face[ip]:80 dev[ip] from[ip]",
        ),
        ("V1.2.3.4 -v10.0.0.1-rc", "V1.2.3.4 -v10.0.0.1-rc"),
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

#[test]
fn a_text_that_outgrows_its_field_is_cut_after_all_was_taken_out() {
    let arrows = format!("   {}", "a@b.cc\u{2192}".repeat(7_200));
    for text in ["a@b.cc ".repeat(9_300), arrows] {
        let redacted = redact(&json!({}), &text);
        assert!(redacted.len() <= 64 * 1024, "{}", redacted.len());
        assert!(redacted.len() > 64 * 1024 - 16 && redacted.ends_with("[cut]"));
        assert!(!redacted.contains('@'));
    }
    let mut transform = transform(&json!({"fields": ["user_id"], "action": "hash", "key": "0123456789abcdef"}));
    let event = line("x").field("user_id", json!("1.1.1.1 ".repeat(30)));
    let events = transform.apply(&[event]).expect("an answer");
    let text = events[0].get("user_id").and_then(Value::as_str).expect("a text");
    assert!(
        text.len() <= 256 && text.starts_with("[ip:") && text.ends_with("[cut]"),
        "{text}"
    );
    assert!(!text.contains("1.1.1.1"), "{text}");
}

#[test]
fn where_nothing_can_be_done_is_found_at_once() {
    let start = |action: &str, path: &str| {
        let config = json!({"fields": ["data.message", path], "action": action});
        TransformTest::<Redact>::start(include_str!("../plugin.toml"), &config)
    };
    for (action, path) in [
        ("replace", "source"),
        ("replace", "severity"),
        ("replace", "data"),
        ("replace", "tags"),
        ("drop_field", "type"),
        ("drop_field", "source"),
        ("drop_field", "user_id.a"),
    ] {
        let error = start(action, path).err().expect("refused");
        assert!(
            error.contains("fields: ") && error.contains(path),
            "{action} {path}: {error}"
        );
    }
    for (action, path) in [("replace", "type"), ("drop_field", "data"), ("drop_event", "source")] {
        assert!(start(action, path).is_ok(), "{action} {path}");
    }
}
