use serde_json::{Value, json};
use streamflow_sdk::{
    Level, Notice, State,
    testing::{self, FakeHost},
};

use super::Slack;

const URL: &str = "https://hooks.slack.com/services/T00/B00/x";

fn posted(config: &Value, notice: &Notice) -> Value {
    let host = FakeHost::new();
    testing::deliver::<Slack>(config, notice).expect("delivered");
    let request = host.requests().pop().expect("a request");
    assert_eq!(request.url, URL);
    assert_eq!(request.header_value("content-type"), Some("application/json"));
    serde_json::from_slice(&request.body).expect("JSON")
}

#[test]
fn posts_blocks_in_the_colour_of_the_level() {
    let message = posted(&json!({"url": URL, "mention": "<!here>"}), &testing::notice());
    assert_eq!(message["text"], "<!here> [warning] api error rate: 60 &gt; 50");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["color"], "#f59e0b");
    assert_eq!(
        attachment["blocks"][0],
        json!({"type": "section", "text": {"type": "mrkdwn", "text": "count() over 5m reached 60"}})
    );
    assert_eq!(attachment["blocks"][1]["fields"][0]["text"], "*source*\nweb-1");
    let context = attachment["blocks"][2]["elements"][0]["text"].as_str().expect("text");
    assert!(context.starts_with("<https://hub.example.org/alerts/0199"), "{context}");

    let over = Notice {
        state: State::Resolved,
        ..testing::notice()
    };
    let message = posted(&json!({"url": URL, "mention": "<!here>"}), &over);
    assert_eq!(message["text"], "[resolved] api error rate: 60 &gt; 50");
    assert_eq!(message["attachments"][0]["color"], "#2ea44f");
}

#[test]
fn texts_stay_within_slacks_limits_and_mean_what_they_say() {
    let notice = Notice {
        level: Level::Critical,
        body: format!("<!channel> {}", "&".repeat(5000)),
        labels: (0..40).map(|n| (format!("l{n}"), "v".repeat(5000))).collect(),
        ..testing::notice()
    };
    let message = posted(&json!({"url": URL}), &notice);
    let blocks = &message["attachments"][0]["blocks"];
    let body = blocks[0]["text"]["text"].as_str().expect("text");
    assert!(
        body.starts_with("&lt;!channel&gt; &amp;") && body.ends_with("&amp;…"),
        "{body}"
    );
    assert!(body.chars().count() <= 3000);
    let fields = blocks[1]["fields"].as_array().expect("fields");
    assert_eq!(fields.len(), 10);
    assert!(
        fields
            .iter()
            .all(|field| field["text"].as_str().is_some_and(|text| text.chars().count() <= 2000))
    );
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Slack>(&json!({"url": URL}));
}
