//! The components of `plugins/dist`, as they are shipped: the webhook channel against a real receiver, and each misbehaving one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use streamflow_plugin_host::{ChannelSender, DeliverError, PluginState, SecretOptions};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::fixture::{Fixture, Running, notice};

pub fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

/// The place of a built component or of a folder of them; none where it has not been built, which only a developer's machine may lack.
pub fn built_path(path: &str) -> Option<PathBuf> {
    let path = plugins().join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing: run scripts/build-plugins.sh",
        path.display()
    );
    eprintln!(
        "skipped: {} is missing; scripts/build-plugins.sh builds it",
        path.display()
    );
    None
}

/// A host over a folder of built components; none where they have not been built.
pub fn built(folder: &str) -> Option<Fixture> {
    let dist = built_path(folder)?;
    let mut fixture = Fixture::new();
    fixture.options.shipped_dir = Some(dist);
    fixture.options.limits.deadline_ms = 2_000;
    fixture.options.limits.rule_deadline_ms = 2_000;
    Some(fixture)
}

/// The webhook channel, and a receiver that it may reach.
async fn webhook() -> Option<(Running, MockServer)> {
    let mut fixture = built("dist")?;
    let server = MockServer::start().await;
    fixture.egress.allow = vec![server.address().to_string()];
    let token = fixture.dir.path().join("token");
    fs::write(&token, "s3cret-token\n").unwrap();
    let from = format!("file:{}", token.display());
    fixture.options.secrets = [
        ("ops".to_owned(), SecretOptions::Anywhere(from.clone())),
        (
            "elsewhere".to_owned(),
            SecretOptions::Bound {
                from,
                hosts: vec!["hooks.example.org".to_owned()],
            },
        ),
    ]
    .into();
    Some((fixture.start().await, server))
}

fn config(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn the_webhook_posts_what_alertmanager_would() {
    let Some((running, server)) = webhook().await else {
        return;
    };
    let receiver = Mock::given(method("POST"))
        .and(path("/hook"))
        .and(header("content-type", "application/json"))
        .and(header("idempotency-key", "alert-1:firing:1"))
        .and(header("authorization", "Bearer s3cret-token"))
        .and(header("x-tenant", "a"));
    receiver
        .respond_with(ResponseTemplate::new(200))
        .expect(2)
        .mount(&server)
        .await;
    let config = config(json!({
        "url": format!("{}/hook", server.uri()), "bearer_token": "${secret:ops}", "headers": {"X-Tenant": "a"},
    }));
    running.host.check("webhook", &config).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            running.deliver_with("webhook", &config).await.unwrap(),
            "alert-1:firing:1"
        );
    }
    let request = &server.received_requests().await.unwrap()[0];
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["version"], &body["status"], &body["receiver"]),
        (&json!("4"), &json!("firing"), &json!("ops"))
    );
    assert_eq!(
        body["alerts"][0]["labels"],
        json!({"alertname": "api error rate", "severity": "critical", "source": "web-1"})
    );
    assert_eq!(body["alerts"][0]["startsAt"], "2023-11-14T22:13:20.000Z");
    let answered = running.metric(
        "streamflow_plugin_http_requests_total",
        &[("plugin", "webhook"), ("outcome", "answered")],
    );
    assert!(answered > 1.5);
}

#[tokio::test]
async fn the_receivers_answer_decides_what_happens_next() {
    let Some((running, server)) = webhook().await else {
        return;
    };
    let answer = async |name: &str, template: ResponseTemplate| {
        Mock::given(path(name)).respond_with(template).mount(&server).await;
        running
            .deliver_with("webhook", &config(json!({"url": format!("{}{name}", server.uri())})))
            .await
            .unwrap_err()
    };
    let busy = answer("/busy", ResponseTemplate::new(503).insert_header("retry-after", "7")).await;
    assert_eq!(
        busy,
        DeliverError::Transient {
            reason: "answered 503".to_owned(),
            retry_after_ms: Some(7_000)
        }
    );
    assert_eq!(
        answer("/gone", ResponseTemplate::new(410)).await,
        DeliverError::Permanent("answered 410".to_owned())
    );
    let moved = answer("/moved", ResponseTemplate::new(302).insert_header("location", "/hook")).await;
    assert_eq!(moved, DeliverError::Permanent("answered 302".to_owned()));
    assert_eq!(running.info("webhook").state, PluginState::Active);
}

#[tokio::test]
async fn secrets_do_not_show_in_reasons_and_go_only_where_they_may() {
    let Some((running, server)) = webhook().await else {
        return;
    };
    let echo = ResponseTemplate::new(401).set_body_string("bad token: s3cret-token / own-secret");
    Mock::given(method("POST")).respond_with(echo).mount(&server).await;
    let send = async |token: &str| {
        let config = config(json!({"url": server.uri(), "bearer_token": token}));
        running.deliver_with("webhook", &config).await.unwrap_err().to_string()
    };
    assert_eq!(send("${secret:ops}").await, "answered 401: bad token: *** / own-secret");
    assert_eq!(send("own-secret").await, "answered 401: bad token: *** / ***");
    assert_eq!(
        send("${secret:elsewhere}").await,
        "denied: secret `elsewhere` is not for 127.0.0.1"
    );
    assert_eq!(running.host.secret_keys("webhook"), ["bearer_token", "headers"]);
}

#[tokio::test]
async fn forbidden_targets_are_refused_when_configured_and_when_called() {
    let Some((running, _server)) = webhook().await else {
        return;
    };
    for url in [
        "http://127.0.0.1:1/hook",
        "http://169.254.169.254/latest",
        "http://0x7f.1:1/",
        "http://[::1]:1/",
    ] {
        let config = config(json!({"url": url}));
        let refused = running.host.check("webhook", &config).await.unwrap_err().to_string();
        assert!(refused.contains("[egress] allow"), "{url}: {refused}");
        let denied = running.deliver_with("webhook", &config).await;
        assert!(
            matches!(&denied, Err(DeliverError::Permanent(reason)) if reason.contains("[egress] allow")),
            "{url}: {denied:?}"
        );
    }
    for (config, words) in [
        (json!({}), "\"url\""),
        (json!({"url": "ftp://a.example"}), "url: "),
        (
            json!({"url": "https://user:pass@a.example/"}),
            "url: the URL holds a user name",
        ),
        (json!({"url": "https://a.example/", "color": 1}), "color"),
        (
            json!({"url": "https://a.example/", "bearer_token": "t", "headers": {"authorization": "x"}}),
            "exclude each other",
        ),
    ] {
        let refused = running
            .host
            .check("webhook", &self::config(config))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(running.info("webhook").traps, 0);
}

/// What each folder of `plugins/testbed` must end as.
pub const TESTBED: [(&str, &str); 5] = [
    (
        "forbidden-host",
        "https://exfiltration.example.net:443 is not among the targets",
    ),
    ("loop", "computed longer than its deadline"),
    ("memory-bomb", "memory limit of 32 MiB reached"),
    ("stack-overflow", "stack overflow"),
    ("trap", "cannot deliver alert-1"),
];

#[tokio::test]
async fn every_plugin_of_the_testbed_is_contained() {
    let Some(fixture) = built("dist/testbed") else { return };
    let running = fixture.start().await;
    for (name, words) in TESTBED {
        let name = format!("testbed-{name}");
        let reason = running
            .host
            .deliver(&name, "ops", &Map::new(), &notice(), 1)
            .await
            .unwrap_err()
            .to_string();
        assert!(reason.contains(words), "{name}: {reason}");
    }
}

#[tokio::test]
async fn a_call_that_waits_too_long_ends() {
    let Some(mut fixture) = built("dist") else { return };
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(60)))
        .mount(&server)
        .await;
    fixture.egress.allow = vec![server.address().to_string()];
    fixture.options.limits.call_ms = 300;
    let running = fixture.start().await;
    let outcome = running
        .deliver_with("webhook", &config(json!({"url": server.uri()})))
        .await;
    let reason = "plugin `webhook`: no answer in 0.3 s".to_owned();
    assert_eq!(
        outcome,
        Err(DeliverError::Transient {
            reason,
            retry_after_ms: None
        })
    );
}
