use serde_json::{Value, json};
use streamflow_sdk::{
    Level, Notice, State,
    http::Request,
    testing::{self, FakeHost},
};

use super::Opsgenie;

const ALIAS: &str = "0199aa00-0000-7000-8000-000000000002/source=web-1";
const ENCODED: &str = "0199aa00-0000-7000-8000-000000000002%2Fsource%3Dweb-1";

fn config() -> Value {
    json!({"api_key": "${secret:opsgenie}", "team": "ops"})
}

fn sent(notice: &Notice) -> Vec<(Request, Value)> {
    let host = FakeHost::new();
    host.answer(testing::response(202, &[], r#"{"requestId": "r-1"}"#));
    assert_eq!(
        testing::deliver::<Opsgenie>(&config(), notice).expect("delivered"),
        "r-1"
    );
    let each = |request: Request| {
        assert_eq!(
            request.header_value("authorization"),
            Some("GenieKey ${secret:opsgenie}")
        );
        let body = serde_json::from_slice(&request.body).expect("JSON");
        (request, body)
    };
    host.requests().into_iter().map(each).collect()
}

#[test]
fn an_alert_is_created_under_its_alias() {
    let (request, alert) = sent(&testing::notice()).remove(0);
    assert_eq!(request.url, "https://api.opsgenie.com/v2/alerts");
    assert_eq!(alert["message"], "[warning] api error rate: 60 > 50");
    assert_eq!((&alert["alias"], &alert["priority"]), (&json!(ALIAS), &json!("P3")));
    assert_eq!(alert["responders"], json!([{"name": "ops", "type": "team"}]));
    assert_eq!(alert["details"]["source"], "web-1");
}

#[test]
fn and_acknowledged_and_closed_by_it() {
    for (state, what) in [(State::Acknowledged, "acknowledge"), (State::Resolved, "close")] {
        let (request, body) = sent(&Notice {
            state,
            ..testing::notice()
        })
        .remove(0);
        assert_eq!(
            request.url,
            format!("https://api.opsgenie.com/v2/alerts/{ENCODED}/{what}?identifierType=alias")
        );
        assert_eq!(body["source"], "StreamFlow");
    }
    let test = sent(&Notice {
        test: true,
        ..testing::notice()
    });
    assert_eq!(test.len(), 2, "a test is closed again");
    assert!(test[1].0.url.ends_with("/close?identifierType=alias"));
}

#[test]
fn texts_stay_within_the_limits() {
    let link = |name: &str, length: usize| (name.to_owned(), format!("https://{}", "x".repeat(length - 8)));
    let (_, alert) = sent(&Notice {
        key: "k".repeat(600),
        title: "t".repeat(5000),
        body: "b".repeat(50_000),
        level: Level::Critical,
        labels: (10..110)
            .map(|n| (format!("{n}{}", "l".repeat(100)), "v".repeat(5000)))
            .collect(),
        annotations: vec![link("acknowledge_url", 500), link("runbook_url", 501)],
        url: link("", 500).1,
        ..testing::notice()
    })
    .remove(0);
    let length = |key: &str| alert[key].as_str().map(|text| text.chars().count());
    assert_eq!((length("message"), length("description")), (Some(130), Some(15_000)));
    assert_eq!((length("alias"), &alert["priority"]), (Some(512), &json!("P1")));
    let (end, _) = sent(&Notice {
        key: "k".repeat(600),
        id: "0199aa00-0000-7000-8000-00000000000f".to_owned(),
        state: State::Resolved,
        ..testing::notice()
    })
    .remove(0);
    let alias = alert["alias"].as_str().expect("an alias");
    assert!(end.url.contains(&format!("/{alias}/close?")), "{}", end.url);
    let details = alert["details"].as_object().expect("details");
    let characters: usize = details
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    assert!(characters <= 8000, "{characters}");
    assert_eq!(details["acknowledge"].as_str().map(str::len), Some(500));
    assert!(
        details.contains_key("open") && !details.contains_key("runbook"),
        "no link is cut"
    );
}

#[test]
fn outcomes() {
    testing::check_outcomes::<Opsgenie>(&config());
}
