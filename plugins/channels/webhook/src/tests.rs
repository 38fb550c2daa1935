use std::time::Duration;

use serde_json::{Value, json};
use streamflow_sdk::{
    Channel, Failure, Notice, State,
    group::Member,
    http::{Error, Method, Request, Response},
    testing::{self, FakeHost},
};

use crate::Webhook;

const URL: &str = "https://hooks.example.org/alerts";

fn deliver(host: &FakeHost, config: Value, notice: &Notice) -> (Result<String, Failure>, Request) {
    let outcome = testing::channel::<Webhook>(&config).unwrap().deliver(notice, 1);
    (outcome, host.requests().pop().unwrap())
}

fn posted(notice: &Notice) -> Value {
    let (outcome, request) = deliver(&FakeHost::new(), json!({"url": URL}), notice);
    outcome.unwrap();
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn posts_the_alertmanager_message() {
    let host = FakeHost::new();
    let (outcome, request) = deliver(&host, json!({"url": URL}), &testing::notice());
    assert_eq!(outcome.unwrap(), "0199aa00-0000-7000-8000-000000000001:firing:1");
    assert_eq!((request.method, request.url.as_str()), (Method::Post, URL));
    assert_eq!(request.header_value("content-type"), Some("application/json"));
    assert_eq!(
        request.header_value("idempotency-key"),
        Some("0199aa00-0000-7000-8000-000000000001:firing:1")
    );
    let labels = json!({"alertname": "api error rate", "severity": "warning", "source": "web-1"});
    let annotations = json!({
        "alert_id": "0199aa00-0000-7000-8000-000000000001", "description": "count() over 5m reached 60",
        "summary": "api error rate: 60 > 50", "value": "60",
    });
    let expected = json!({
        "version": "4", "groupKey": "0199aa00-0000-7000-8000-000000000002/source=web-1", "truncatedAlerts": 0,
        "status": "firing", "receiver": "ops", "groupLabels": {"source": "web-1"}, "commonLabels": labels,
        "commonAnnotations": annotations, "externalURL": "https://hub.example.org",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": annotations,
            "startsAt": "2023-11-14T22:13:20.000Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://hub.example.org/alerts/0199aa00-0000-7000-8000-000000000001",
            "fingerprint": "26473f1def725d5c",
        }],
    });
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
}

#[test]
fn a_resolved_alert_ends_and_keeps_its_fingerprint() {
    let mut notice = testing::notice();
    let before = posted(&notice)["alerts"][0]["fingerprint"].clone();
    notice.state = State::Resolved;
    notice.ends_at = Some(1_700_000_300_500_000_000);
    let message = posted(&notice);
    assert_eq!(
        (&message["status"], &message["alerts"][0]["status"]),
        (&json!("resolved"), &json!("resolved"))
    );
    assert_eq!(message["alerts"][0]["endsAt"], "2023-11-14T22:18:20.500Z");
    assert_eq!(message["alerts"][0]["fingerprint"], before);
}

#[test]
fn other_states_and_tests_are_told_in_annotations() {
    for (state, name) in [(State::Acknowledged, "acknowledged"), (State::Stale, "stale")] {
        let message = posted(&Notice {
            state,
            ..testing::notice()
        });
        assert_eq!(
            (&message["status"], &message["alerts"][0]["annotations"]["state"]),
            (&json!("firing"), &json!(name))
        );
    }
    let message = posted(&Notice {
        test: true,
        ..testing::notice()
    });
    assert_eq!(message["commonAnnotations"]["test"], "true");
}

fn member(number: u32) -> Member {
    let mut member = Member::of(&testing::notice());
    member.id = format!("alert-{number}");
    member.labels = vec![
        ("source".to_owned(), format!("web-{number}")),
        ("team".to_owned(), "web".to_owned()),
    ];
    member
}

#[test]
fn a_group_is_one_message_with_an_entry_for_each_alert() {
    let host = FakeHost::new();
    let over = Member {
        state: State::Resolved,
        ends_at: Some(1_700_000_300_500_000_000),
        ..member(2)
    };
    host.group(vec![member(1), over], 3);
    let link = vec![(
        "acknowledge_url".to_owned(),
        "https://hub.example.org/ack?t=1".to_owned(),
    )];
    let notice = Notice {
        title: "1 firing, 1 resolved".to_owned(),
        annotations: link,
        value: None,
        ..testing::notice()
    };
    let (outcome, request) = deliver(&host, json!({"url": URL}), &notice);
    outcome.unwrap();
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&message["status"], &message["truncatedAlerts"]),
        (&json!("firing"), &json!(3))
    );
    let alerts = message["alerts"].as_array().unwrap();
    let seen: Vec<_> = alerts
        .iter()
        .map(|alert| (&alert["status"], &alert["labels"]["source"], &alert["endsAt"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("firing"), &json!("web-1"), &json!("0001-01-01T00:00:00Z")),
            (&json!("resolved"), &json!("web-2"), &json!("2023-11-14T22:18:20.500Z")),
        ]
    );
    assert_ne!(alerts[0]["fingerprint"], alerts[1]["fingerprint"]);
    assert_eq!(alerts[1]["annotations"]["alert_id"], "alert-2");
    assert_eq!(
        alerts[1]["annotations"]["acknowledge_url"],
        "https://hub.example.org/ack?t=1"
    );
    assert_eq!(
        message["commonLabels"],
        json!({"alertname": "api error rate", "severity": "warning", "team": "web"})
    );
    assert_eq!(message["commonAnnotations"]["summary"], "1 firing, 1 resolved");
    assert_eq!(message["commonAnnotations"]["alert_id"], Value::Null);
}

#[test]
fn a_message_has_no_more_alerts_than_its_receiver_takes() {
    let check = |config: Value, bytes: usize, expected: (usize, u32)| {
        let host = FakeHost::new();
        let long = |number| Member {
            body: "x".repeat(bytes),
            ..member(number)
        };
        host.group((0..8).map(long).collect(), 2);
        let (outcome, request) = deliver(&host, config, &testing::notice());
        outcome.unwrap();
        assert!(request.body.len() <= 1 << 20);
        let message: Value = serde_json::from_slice(&request.body).unwrap();
        let alerts = message["alerts"].as_array().unwrap().len();
        assert_eq!((alerts, &message["truncatedAlerts"]), (expected.0, &json!(expected.1)));
    };
    check(json!({"url": URL}), 1, (8, 2));
    check(json!({"url": URL, "max_alerts": 3}), 1, (3, 7));
    check(json!({"url": URL}), 200_000, (4, 6));
}

#[test]
fn what_the_rule_says_of_itself_wins() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = vec![pair("alertname", "own"), pair("severity", "page")];
    let annotations = vec![
        pair("summary", "own"),
        pair("runbook", "https://runbooks.example.org/1"),
    ];
    let message = posted(&Notice {
        labels,
        annotations,
        ..testing::notice()
    });
    assert_eq!(message["commonLabels"], json!({"alertname": "own", "severity": "page"}));
    assert_eq!(message["commonAnnotations"]["summary"], "own");
    assert_eq!(
        message["commonAnnotations"]["runbook"],
        "https://runbooks.example.org/1"
    );
}

#[test]
fn credentials_are_sent_as_headers() {
    let host = FakeHost::new();
    let config = json!({"url": URL, "bearer_token": "${secret:ops}", "headers": {"X-Tenant": "a"}});
    let (_, request) = deliver(&host, config, &testing::notice());
    assert_eq!(request.header_value("authorization"), Some("Bearer ${secret:ops}"));
    assert_eq!(request.header_value("x-tenant"), Some("a"));
}

#[test]
fn outcomes() {
    type Answer = (u16, &'static [(&'static str, &'static str)]);
    let check = |script: Result<Answer, Error>, expected: Result<&str, Failure>| {
        let host = FakeHost::new();
        match script {
            Ok((status, headers)) => {
                let headers = headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect();
                host.answer(Response {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            Err(error) => host.fail(error),
        }
        let (outcome, _) = deliver(&host, json!({"url": URL}), &testing::notice());
        assert_eq!(outcome, expected.map(str::to_owned));
    };
    let transient = |reason: &str, after: Option<u64>| {
        Err(Failure::Transient {
            reason: reason.to_owned(),
            retry_after: after.map(Duration::from_secs),
        })
    };
    check(Ok((204, &[])), Ok("0199aa00-0000-7000-8000-000000000001:firing:1"));
    check(Ok((200, &[("x-request-id", "r-1")])), Ok("r-1"));
    check(Ok((503, &[("retry-after", "7")])), transient("answered 503", Some(7)));
    check(Ok((429, &[])), transient("answered 429", None));
    check(Ok((408, &[])), transient("answered 408", None));
    check(Ok((404, &[])), Err(Failure::Permanent("answered 404".to_owned())));
    check(
        Ok((302, &[("location", "http://169.254.169.254/")])),
        Err(Failure::Permanent("answered 302".to_owned())),
    );
    check(Err(Error::Timeout), transient("no answer in time", None));
    check(
        Err(Error::Denied("private".to_owned())),
        Err(Failure::Permanent("denied: private".to_owned())),
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_reason() {
    let check = |config: Value, expected: &str| {
        let reason = testing::channel::<Webhook>(&config).err().unwrap();
        assert!(reason.contains(expected), "{reason}");
    };
    check(json!({}), "missing field `url`");
    check(json!({"url": URL, "color": 1}), "unknown field `color`");
    check(
        json!({"url": URL, "bearer_token": "t", "headers": {"Authorization": "x"}}),
        "exclude each other",
    );
}

#[test]
fn cloudevents_hold_the_same_message() {
    let notice = testing::notice();
    let host = FakeHost::new();
    let (outcome, request) = deliver(&host, json!({"url": URL, "format": "cloudevents"}), &notice);
    outcome.unwrap();
    assert_eq!(
        request.header_value("content-type"),
        Some("application/cloudevents+json; charset=utf-8")
    );
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&event["specversion"], &event["id"], &event["type"]),
        (
            &json!("1.0"),
            &json!(notice.idempotency_key),
            &json!("streamflow.alert.firing")
        )
    );
    assert_eq!(
        (&event["source"], &event["subject"], &event["time"]),
        (
            &json!("https://hub.example.org"),
            &json!(notice.key),
            &json!("2023-11-14T22:14:20.000Z")
        )
    );
    assert_eq!(event["data"], posted(&notice));
    let bare = Notice {
        external_url: String::new(),
        test: true,
        ..testing::notice()
    };
    let (_, request) = deliver(&FakeHost::new(), json!({"url": URL, "format": "cloudevents"}), &bare);
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&event["source"], &event["type"]),
        (&json!("/streamflow"), &json!("streamflow.alert.test"))
    );
}
