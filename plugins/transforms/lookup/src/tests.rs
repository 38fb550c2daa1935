use serde_json::{Value, json};
use streamflow_sdk::testing::{Event, TransformTest, event};

use crate::Lookup;

fn start(config: &Value) -> Result<TransformTest<Lookup>, String> {
    TransformTest::start(include_str!("../plugin.toml"), config)
}

fn request(value: &str) -> Event {
    event("request", "web-1").data(json!({"value": value}))
}

/// What is set for each of the values.
fn lookup(config: &Value, values: &[&str]) -> Vec<Option<Value>> {
    let events: Vec<Event> = values.iter().map(|value| request(value)).collect();
    let found = start(config).expect("a transform").apply(&events).expect("an answer");
    found.iter().map(|event| event.get("data.lookup").cloned()).collect()
}

#[test]
fn the_smallest_network_wins() {
    let config = json!({"field": "data.value", "by": "network", "table": [
        {"key": "10.0.0.0/8", "set": {"site": "office", "country": "de"}},
        {"key": "10.1.0.0/16", "set": {"site": "berlin"}},
        {"key": "10.1.2.3", "set": {"site": "gate"}},
        {"key": "2001:db8::/32", "set": {"site": "lab"}},
        {"key": "0.0.0.0/0", "set": {"site": "elsewhere"}},
    ]});
    let values = [
        "10.1.2.3:8080",
        "10.1.9.9",
        "10.200.0.1",
        "::ffff:10.1.2.4",
        "[2001:db8::7]:443",
        "192.0.2.1",
        "2001:db9::1",
        "nobody",
    ];
    let found = lookup(&config, &values);
    let site = |name: &str| Some(json!({"site": name}));
    let office = Some(json!({"site": "office", "country": "de"}));
    assert_eq!(
        found,
        [
            site("gate"),
            site("berlin"),
            office,
            site("berlin"),
            site("lab"),
            site("elsewhere"),
            None,
            None
        ]
    );
}

#[test]
fn the_longest_prefix_wins_and_the_rest_has_what_is_said_of_it() {
    let config = json!({"field": "data.value", "by": "prefix", "otherwise": {"team": "none"}, "table": [
        {"key": "db-", "set": {"team": "storage"}},
        {"key": "db-test-", "set": {"team": "qa"}},
        {"key": "ü", "set": {"team": "umlaut"}},
    ]});
    let team = |name: &str| Some(json!({"team": name}));
    let found = lookup(&config, &["db-7", "db-test-1", "db", "über", "web-1", ""]);
    assert_eq!(
        found,
        [
            team("storage"),
            team("qa"),
            team("none"),
            team("umlaut"),
            team("none"),
            team("none")
        ]
    );
}

#[test]
fn exact_keys_and_unusual_names() {
    let config = json!({"field": "data.value", "table": [{"key": "42", "set": {"a.b": "c"}}]});
    assert_eq!(lookup(&config, &["42", "421"]), [Some(json!({"a.b": "c"})), None]);
    let mut transform = start(&config).expect("a transform");
    let number = event("request", "web-1").data(json!({"value": 42}));
    assert_eq!(
        transform.apply(std::slice::from_ref(&number)).expect("an answer"),
        [number]
    );
}

#[test]
fn mistakes_are_named() {
    let refused = |by: &str, keys: &[&str], words: &str| {
        let table: Vec<Value> = keys.iter().map(|key| json!({"key": key, "set": {"a": "b"}})).collect();
        let error = start(&json!({"field": "data.value", "by": by, "table": table}))
            .err()
            .expect("refused");
        assert!(error.contains(words), "{error}");
    };
    refused("network", &["10.0.0.0/33"], "`10.0.0.0/33` is not a network");
    refused(
        "network",
        &["10.1.0.0/16", "10.1.2.0/16"],
        "`10.1.2.0/16` is there twice",
    );
    refused("exact", &["a", "a"], "twice");
    refused("like", &["a"], "like");
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("n{n}"), json!("x"))).collect();
    let error = start(&json!({"field": "data.value", "table": [{"key": "a", "set": many}]}))
        .err()
        .expect("refused");
    assert!(error.contains("33 names"), "{error}");
}

#[test]
fn where_nothing_can_be_set_is_found_at_once() {
    let table = |text: &str| json!([{"key": "a", "set": {"name": text}}]);
    for into in ["site", "user_id", "tags", "source", "data[", ""] {
        let error = start(&json!({"field": "data.value", "into": into, "table": table("b")}));
        let error = error.err().expect("refused");
        assert!(error.contains("into: ") && error.contains(into), "{into}: {error}");
    }
    let long = start(&json!({"field": "data.value", "table": table(&"b".repeat(65_537))}));
    let error = long.err().expect("refused");
    assert!(error.contains("`name`: 65537 bytes"), "{error}");
    for into in ["data", "metadata.site", "data[\"a.b\"]"] {
        assert!(
            start(&json!({"field": "data.value", "into": into, "table": table("b")})).is_ok(),
            "{into}"
        );
    }
}
