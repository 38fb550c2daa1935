use serde_json::{Value, json};
use streamflow_sdk::{
    Failure, Level, Notice, State,
    group::Member,
    mail::{Error, Message},
    testing::{self, FakeHost},
};

use super::Email;

fn config() -> Value {
    json!({"to": ["Eva <eva@example.org>", "max@example.org"], "subject_prefix": "[shop]"})
}

fn sent(config: &Value, notice: &Notice) -> Message {
    let host = FakeHost::new();
    testing::deliver::<Email>(config, notice).expect("delivered");
    host.mails().pop().expect("a message")
}

fn header<'a>(mail: &'a Message, name: &str) -> &'a str {
    let found = mail.headers.iter().find(|(own, _)| own == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn a_message_says_it_in_text_and_in_html() {
    let mail = sent(&config(), &testing::notice());
    assert_eq!(mail.to, ["Eva <eva@example.org>", "max@example.org"]);
    assert_eq!(mail.subject, "[shop] [warning] api error rate: 60 > 50");
    assert_eq!(mail.from, None);
    assert!(
        mail.text.contains("count() over 5m reached 60") && mail.text.contains("source: web-1"),
        "{}",
        mail.text
    );
    assert!(
        mail.text.contains("Open: https://hub.example.org/alerts/"),
        "{}",
        mail.text
    );
    let html = mail.html.expect("HTML");
    assert!(
        html.contains("#f59e0b") && html.contains("api error rate: 60 &gt; 50"),
        "{html}"
    );
}

#[test]
fn the_messages_of_an_incident_are_one_thread() {
    let first = sent(&config(), &testing::notice());
    let over = sent(
        &config(),
        &Notice {
            state: State::Resolved,
            idempotency_key: "0199aa00-0000-7000-8000-000000000001:resolved:2".to_owned(),
            ..testing::notice()
        },
    );
    assert_eq!(
        header(&first, "Message-ID"),
        "<0199aa00-0000-7000-8000-000000000001-firing-1@hub.example.org>"
    );
    assert_ne!(header(&first, "Message-ID"), header(&over, "Message-ID"));
    assert_eq!(header(&first, "References"), header(&over, "References"));
    assert_eq!(header(&first, "Importance"), "");
    let bad = sent(
        &config(),
        &Notice {
            level: Level::Critical,
            ..testing::notice()
        },
    );
    assert_eq!(header(&bad, "Importance"), "high");
}

#[test]
fn nothing_in_an_alert_is_taken_for_html() {
    let mail = sent(
        &json!({"to": "a@example.org, b@example.org"}),
        &Notice {
            title: "<script>alert(1)</script>".to_owned(),
            body: "a & b\n\"c\"".to_owned(),
            ..testing::notice()
        },
    );
    assert_eq!(mail.to, ["a@example.org", "b@example.org"]);
    let html = mail.html.expect("HTML");
    assert!(
        !html.contains("<script>") && html.contains("&lt;script&gt;") && html.contains("a &amp; b"),
        "{html}"
    );
}

#[test]
fn the_alerts_of_a_group_are_listed() {
    let host = FakeHost::new();
    let member = |title: &str, state| Member {
        title: title.to_owned(),
        state,
        ..Member::of(&testing::notice())
    };
    host.group(
        vec![member("disk <a>", State::Firing), member("disk b", State::Resolved)],
        3,
    );
    testing::deliver::<Email>(&config(), &testing::notice()).expect("delivered");
    let html = host.mails().pop().expect("a message").html.expect("HTML");
    for words in ["disk &lt;a&gt;", "disk b", "and 3 more"] {
        assert!(html.contains(words), "{words}: {html}");
    }
}

#[test]
fn what_the_relay_says_decides() {
    let outcome = |error| {
        let host = FakeHost::new();
        host.answer_mail(Err(error));
        testing::deliver::<Email>(&config(), &testing::notice())
    };
    assert!(matches!(
        outcome(Error::Transient("451".to_owned())),
        Err(Failure::Transient { .. })
    ));
    for error in [
        Error::Permanent("550".to_owned()),
        Error::Denied("no".to_owned()),
        Error::Invalid("no".to_owned()),
    ] {
        assert!(matches!(outcome(error), Err(Failure::Permanent(_))));
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    for config in [
        json!({"to": ""}),
        json!({"to": []}),
        json!({"to": "eva"}),
        json!({"to": "a@"}),
        json!({"to": "a@b.example", "from": "x"}),
    ] {
        assert!(testing::channel::<Email>(&config).is_err(), "{config}");
    }
}
