use serde_json::{Value, json};
use streamflow_sdk::{
    Level, Notice, State,
    testing::{self, FakeHost},
};

use super::{MAX_MESSAGE, Teams};

const URL: &str = "https://prod-01.westeurope.logic.azure.com:443/workflows/x/triggers/manual/paths/invoke?sig=y";

fn posted(notice: &Notice) -> (Value, usize) {
    let host = FakeHost::new();
    host.answer(testing::response(202, &[("x-ms-workflow-run-id", "run-1")], ""));
    assert_eq!(
        testing::deliver::<Teams>(&json!({"url": URL}), notice).expect("delivered"),
        "run-1"
    );
    let request = host.requests().pop().expect("a request");
    assert_eq!(request.url, URL);
    (serde_json::from_slice(&request.body).expect("JSON"), request.body.len())
}

#[test]
fn posts_an_adaptive_card() {
    let (message, _) = posted(&testing::notice());
    assert_eq!(message["type"], "message");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &attachment["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    assert_eq!(card["body"][0]["text"], "[warning] api error rate: 60 > 50");
    assert_eq!(card["body"][0]["color"], "Warning");
    assert_eq!(card["body"][2]["facts"], json!([{"title": "source", "value": "web-1"}]));
    assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");

    let over = Notice {
        state: State::Resolved,
        level: Level::Critical,
        ..testing::notice()
    };
    assert_eq!(posted(&over).0["attachments"][0]["content"]["body"][0]["color"], "Good");
}

#[test]
fn a_card_that_is_too_large_gets_shorter_texts() {
    let notice = Notice {
        body: "\"€\n".repeat(50_000),
        labels: (0..200).map(|n| (format!("label-{n}"), "\u{1}".repeat(5000))).collect(),
        ..testing::notice()
    };
    let (message, bytes) = posted(&notice);
    assert!(bytes <= MAX_MESSAGE, "{bytes}");
    assert!(
        message["attachments"][0]["content"]["body"][1]["text"]
            .as_str()
            .is_some_and(|text| text.ends_with('…'))
    );
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Teams>(&json!({"url": URL}));
}
