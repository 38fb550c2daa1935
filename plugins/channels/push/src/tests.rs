use serde_json::{Value, json};
use streamflow_sdk::{
    Level, Notice, State,
    testing::{self, FakeHost},
};

use super::Push;

fn sent(notice: &Notice) -> Value {
    let host = FakeHost::new();
    host.answer(testing::response(200, &[], r#"{"id": "m-1", "event": "message"}"#));
    let config = json!({"topic": "ops", "token": "${secret:ntfy}"});
    assert_eq!(testing::deliver::<Push>(&config, notice).expect("delivered"), "m-1");
    let request = host.requests().pop().expect("a request");
    assert_eq!(request.url, "https://ntfy.sh/");
    assert_eq!(request.header_value("authorization"), Some("Bearer ${secret:ntfy}"));
    serde_json::from_slice(&request.body).expect("JSON")
}

#[test]
fn posts_a_message_with_title_priority_tags_and_click() {
    let message = sent(&testing::notice());
    assert_eq!(message["topic"], "ops");
    assert_eq!(message["title"], "[warning] api error rate: 60 > 50");
    assert_eq!(message["message"], "count() over 5m reached 60");
    assert_eq!(
        (&message["priority"], &message["tags"]),
        (&json!(3), &json!(["warning", "warning"]))
    );
    assert_eq!(message["click"], testing::notice().url.as_str());
    assert_eq!(message["actions"][0]["action"], "view");
}

#[test]
fn what_is_bad_is_loud_and_what_is_over_is_quiet() {
    let with = |state, level| {
        sent(&Notice {
            state,
            level,
            ..testing::notice()
        })
    };
    assert_eq!(with(State::Firing, Level::Critical)["priority"], 5);
    assert_eq!(with(State::Resolved, Level::Critical)["priority"], 2);
    assert_eq!(with(State::Resolved, Level::Critical)["tags"][0], "white_check_mark");
    let long = sent(&Notice {
        body: "€".repeat(5000),
        ..testing::notice()
    });
    assert!(
        long["message"]
            .as_str()
            .is_some_and(|text| text.len() <= 4096 && text.ends_with('…'))
    );
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Push>(&json!({"topic": "ops"}));
}
