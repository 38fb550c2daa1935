use serde_json::{Value, json};
use streamflow_sdk::{
    Notice,
    testing::{self, FakeHost},
};

use super::Discord;

const URL: &str = "https://discord.com/api/webhooks/1/x";

fn posted(config: &Value, notice: &Notice) -> Value {
    let host = FakeHost::new();
    host.answer(testing::response(200, &[], r#"{"id": "42"}"#));
    assert_eq!(testing::deliver::<Discord>(config, notice).expect("delivered"), "42");
    let request = host.requests().pop().expect("a request");
    assert_eq!(request.url, format!("{URL}?wait=true"));
    serde_json::from_slice(&request.body).expect("JSON")
}

#[test]
fn posts_an_embed_that_calls_nobody() {
    let message = posted(&json!({"url": URL, "username": "StreamFlow"}), &testing::notice());
    assert_eq!(message["username"], "StreamFlow");
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    let embed = &message["embeds"][0];
    assert_eq!(embed["title"], "[warning] api error rate: 60 > 50");
    assert_eq!(embed["color"], 0x00f5_9e0b);
    assert_eq!(
        embed["fields"],
        json!([{"name": "source", "value": "web-1", "inline": true}])
    );
    assert_eq!(embed["timestamp"], "2023-11-14T22:14:20.000Z");
    assert!(
        embed["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("https://hub.example.org/alerts/"))
    );
}

#[test]
fn an_embed_stays_within_discords_limits() {
    let notice = Notice {
        title: "t".repeat(1000),
        body: "b".repeat(10_000),
        labels: (0..40).map(|_| ("l".repeat(100), "v".repeat(5000))).collect(),
        annotations: ["acknowledge_url", "runbook_url"]
            .map(|name| (name.to_owned(), format!("https://a.example/{}", "x".repeat(268))))
            .to_vec(),
        ..testing::notice()
    };
    let message = posted(&json!({"url": URL}), &notice);
    let embed = &message["embeds"][0];
    let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    assert!(length(&embed["title"]) <= 256 && length(&embed["description"]) <= 4096);
    let fields = embed["fields"].as_array().expect("fields");
    let of_fields: usize = fields
        .iter()
        .map(|field| length(&field["name"]) + length(&field["value"]))
        .sum();
    assert!(length(&embed["title"]) + length(&embed["description"]) + of_fields <= 6000);
    assert!(
        embed["description"].as_str().is_some_and(|text| text.ends_with(')')),
        "the link is not cut"
    );
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Discord>(&json!({"url": URL}));
}
