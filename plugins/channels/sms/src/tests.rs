use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamflow_sdk::{
    Notice,
    testing::{self, FakeHost},
};

use super::Sms;

fn config() -> Value {
    json!({"account_sid": "AC1", "auth_token": "t0ken", "from": "+15017122661", "to": "+15558675310"})
}

fn sent(config: &Value, notice: &Notice) -> BTreeMap<String, String> {
    let host = FakeHost::new();
    host.answer(testing::response(201, &[], r#"{"sid": "SM1", "status": "queued"}"#));
    assert_eq!(testing::deliver::<Sms>(config, notice).expect("delivered"), "SM1");
    let request = host.requests().pop().expect("a request");
    assert_eq!(
        request.url,
        "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
    );
    assert_eq!(
        request.header_value("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    // base64 of `AC1:t0ken`
    assert_eq!(request.header_value("authorization"), Some("Basic QUMxOnQwa2Vu"));
    form_urlencoded::parse(&request.body).into_owned().collect()
}

#[test]
fn posts_a_form() {
    let form = sent(&config(), &testing::notice());
    assert_eq!(
        (form["To"].as_str(), form["From"].as_str()),
        ("+15558675310", "+15017122661")
    );
    assert_eq!(
        form["Body"],
        "[warning] api error rate: 60 > 50\ncount() over 5m reached 60\nhttps://hub.example.org/alerts/0199aa00-0000-7000-8000-000000000001"
    );
    let mut service = config();
    service["from"] = json!("MG0123456789abcdef0123456789abcdef");
    assert!(sent(&service, &testing::notice()).contains_key("MessagingServiceSid"));
}

#[test]
fn long_messages_are_cut_and_keep_their_link() {
    let long = Notice {
        body: "€".repeat(5000),
        ..testing::notice()
    };
    let body = sent(&config(), &long).remove("Body").expect("a body");
    assert_eq!(body.chars().count(), 320);
    assert!(body.ends_with(&long.url));
    let mut short = config();
    short["max_length"] = json!(60);
    let body = sent(&short, &long).remove("Body").expect("a body");
    assert_eq!(body.chars().count(), 60);
    assert!(
        body.ends_with('…'),
        "a link that would take all the room is left out: {body}"
    );
}

#[test]
fn the_links_of_the_hub_are_whole_or_left_out() {
    // As the hub makes it: the link that acknowledges ends the text, and is an annotation.
    let with = |body: &str, length: usize| {
        let url = format!("https://hub.example.org/ack?t={}", "x".repeat(length));
        let notice = Notice {
            body: format!("{body}\nAcknowledge: {url}"),
            annotations: vec![("acknowledge_url".to_owned(), url.clone())],
            ..testing::notice()
        };
        let text = sent(&config(), &notice).remove("Body").expect("a body");
        assert!(text.chars().count() <= 320, "{text}");
        (text, url)
    };
    let page = testing::notice().url;
    for body in ["", "short", &"long ".repeat(100)] {
        let (text, _) = with(body, 150);
        assert!(
            text.ends_with(&format!("\n{page}")) && !text.contains("/ack"),
            "too long for a text message, so that the alert's page stands in for it: {text}"
        );
        let (text, url) = with(body, 40);
        assert!(
            text.ends_with(&format!("\n{url}")) && text.matches("/ack").count() == 1,
            "{text}"
        );
    }
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Sms>(&config());
}
