use serde_json::{Value, json};
use streamflow_sdk::{
    Level, Notice, State,
    testing::{self, FakeHost},
};

use super::PagerDuty;

fn config() -> Value {
    json!({"routing_key": "R0UT1NGKEY"})
}

fn sent(notice: &Notice) -> Vec<Value> {
    let host = FakeHost::new();
    testing::deliver::<PagerDuty>(&config(), notice).expect("delivered");
    let each = |request: &streamflow_sdk::http::Request| {
        assert_eq!(request.url, "https://events.pagerduty.com/v2/enqueue");
        serde_json::from_slice(&request.body).expect("JSON")
    };
    host.requests().iter().map(each).collect()
}

#[test]
fn one_incident_is_opened_acknowledged_and_resolved() {
    let events = sent(&testing::notice());
    let key = "0199aa00-0000-7000-8000-000000000002/source=web-1";
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(
        (&event["routing_key"], &event["event_action"], &event["dedup_key"]),
        (&json!("R0UT1NGKEY"), &json!("trigger"), &json!(key))
    );
    let payload = &event["payload"];
    assert_eq!(payload["summary"], "[warning] api error rate: 60 > 50");
    assert_eq!(
        (&payload["severity"], &payload["source"]),
        (&json!("warning"), &json!("web-1"))
    );
    assert_eq!(payload["timestamp"], "2023-11-14T22:14:20.000Z");
    assert_eq!(payload["custom_details"]["description"], "count() over 5m reached 60");
    assert_eq!(event["client"], "StreamFlow");
    assert_eq!(event["links"][0]["text"], "Open");
    for (state, action) in [
        (State::Acknowledged, "acknowledge"),
        (State::Resolved, "resolve"),
        (State::Stale, "trigger"),
    ] {
        let events = sent(&Notice {
            state,
            ..testing::notice()
        });
        assert_eq!(
            (&events[0]["event_action"], &events[0]["dedup_key"]),
            (&json!(action), &json!(key))
        );
        assert_eq!(events[0].get("payload").is_some(), action == "trigger");
    }
}

#[test]
fn a_test_leaves_no_open_incident() {
    let events = sent(&Notice {
        test: true,
        ..testing::notice()
    });
    let actions: Vec<&Value> = events.iter().map(|event| &event["event_action"]).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
}

#[test]
fn keys_and_texts_stay_within_the_limits() {
    let events = sent(&Notice {
        key: "k".repeat(256),
        title: "t".repeat(5000),
        body: "b".repeat(200_000),
        level: Level::Critical,
        ..testing::notice()
    });
    let key = events[0]["dedup_key"].as_str().expect("a key");
    assert_eq!(key.chars().count(), 255);
    assert_eq!(
        events[0]["payload"]["summary"]
            .as_str()
            .map(|text| text.chars().count()),
        Some(1024)
    );
    assert!(events[0].to_string().len() < 512_000);
    // A group of one alert has the id of that alert, and later its own.
    let end = sent(&Notice {
        key: "k".repeat(256),
        id: "0199aa00-0000-7000-8000-00000000000f".to_owned(),
        state: State::Resolved,
        ..testing::notice()
    });
    assert_eq!(end[0]["dedup_key"], key, "the end is that of the same incident");
}

#[test]
fn outcomes() {
    testing::check_outcomes::<PagerDuty>(&config());
    let host = FakeHost::new();
    host.answer(testing::response(
        202,
        &[],
        r#"{"status": "success", "dedup_key": "their-own"}"#,
    ));
    assert_eq!(
        testing::deliver::<PagerDuty>(&config(), &testing::notice()),
        Ok("their-own".to_owned())
    );
    let own = json!({"routing_key": "R", "url": "http://127.0.0.1:1/"});
    testing::deliver::<PagerDuty>(&own, &testing::notice()).expect("delivered");
    assert_eq!(host.requests()[1].url, "http://127.0.0.1:1/v2/enqueue");
}
