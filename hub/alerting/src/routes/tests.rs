//! The routes over the real store, with a channel that remembers.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use axum::{Extension, Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamflow_model::Role;
use streamflow_web::Identity;
use tower::ServiceExt as _;

use crate::{
    engine::tests::{Ledger, Running},
    sample::signal,
};

pub(super) struct Hub {
    running: Running,
    ledger: Arc<Ledger>,
    routes: Router,
    document: Value,
    store: Arc<dyn streamflow_storage::Store>,
    dir: tempfile::TempDir,
}

impl Hub {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = streamflow_storage::Options::default();
        let (store, service) = streamflow_storage::build(&options, dir.path(), &prometheus::Registry::new())
            .await
            .unwrap();
        tokio::spawn(service.run(tokio_util::sync::CancellationToken::new()));
        Self::on(store, dir).await
    }

    async fn on(store: Arc<dyn streamflow_storage::Store>, dir: tempfile::TempDir) -> Self {
        let ledger = Arc::new(Ledger::default());
        let running = Running::start_in(dir.path(), Arc::clone(&store), &ledger).await;
        let (routes, mut document) = running.routes.clone().split_for_parts();
        streamflow_web::openapi::complete(&mut document);
        let document = serde_json::to_value(document).unwrap();
        Self {
            running,
            ledger,
            routes,
            document,
            store,
            dir,
        }
    }

    /// The channel.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) async fn restart(self) -> Self {
        self.running.stop().await;
        Self::on(self.store, self.dir).await
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("secrets.key")
    }

    /// Whether any file of the store holds a text.
    fn on_disk(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        let holds = |path: &Path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        files
            .map(|file| file.unwrap().path())
            .any(|path| path.is_file() && holds(&path))
    }

    pub(super) async fn ask(&self, role: Role, method: &str, uri: &str, body: Value) -> (u16, Value) {
        let routes = self.routes.clone().layer(Extension(Identity {
            name: "eva".to_owned(),
            role,
        }));
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json");
        let response = routes.oneshot(request.body(Body::from(text)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        self.check_documented(method, uri, status, &answer);
        (status, answer)
    }

    /// Every good answer of every test is what the OpenAPI document says.
    fn check_documented(&self, method: &str, uri: &str, status: u16, answer: &Value) {
        let wanted: Vec<&str> = uri.split('?').next().unwrap().split('/').collect();
        let fits = |path: &str| {
            let words: Vec<&str> = path.split('/').collect();
            words.len() == wanted.len()
                && words
                    .iter()
                    .zip(&wanted)
                    .all(|(word, part)| word.starts_with('{') || word == part)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let exact = paths.get(uri.split('?').next().unwrap());
        let item = exact
            .or_else(|| paths.iter().find(|(path, _)| fits(path)).map(|(_, item)| item))
            .unwrap();
        let responses = &item[method.to_lowercase()]["responses"];
        if status >= 300 {
            return;
        }
        let documented = &responses[status.to_string()];
        assert!(documented.is_object(), "{method} {uri} answered {status}: {responses}");
        if answer.is_null() {
            return;
        }
        let schema = &documented["content"]["application/json"]["schema"];
        let schema = json!({"allOf": [schema], "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(answer)
            .map(|e| format!("{} at {}", e, e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{method} {uri}: {errors:?} in {answer}");
    }

    pub(super) async fn edit(&self, method: &str, uri: &str, body: Value) -> (u16, Value) {
        self.ask(Role::Editor, method, uri, body).await
    }

    pub(super) async fn get(&self, uri: &str) -> Value {
        let (status, body) = self.ask(Role::Viewer, "GET", uri, Value::Null).await;
        assert_eq!(status, 200, "{uri}: {body}");
        body
    }

    pub(super) async fn with_rule() -> (Self, String) {
        let hub = Self::start().await;
        let channel =
            json!({"name": "ops", "plugin": "webhook", "config": {"url": "https://x.example", "token": "s3cret"}});
        assert_eq!(hub.edit("POST", "/api/v1/channels", channel).await.0, 201);
        let rule = json!({"name": "errors", "threshold": 50, "group_by": ["source"], "level": "critical", "channels": ["ops"]});
        let (status, body) = hub.edit("POST", "/api/v1/rules", rule).await;
        assert_eq!((status, &body["data"]["version"]), (201, &json!(1)));
        let id = body["data"]["id"].as_str().unwrap().to_owned();
        (hub, id)
    }

    pub(super) async fn fire(&self, rule_id: &str, window: i64, value: f64) {
        let signal = streamflow_model::Signal {
            rule_id: rule_id.to_owned(),
            ..signal(window, value)
        };
        self.running.signals.send(vec![signal]).await.unwrap();
        self.running.signals.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_rule_is_made_read_changed_and_removed() {
    let (hub, id) = Hub::with_rule().await;
    let uri = format!("/api/v1/rules/{id}");
    let mut rule = hub.get(&uri).await["data"].clone();
    assert_eq!(
        (&rule["name"], &rule["window"], &rule["match"]),
        (&json!("errors"), &json!("5m"), &json!("true"))
    );
    rule["threshold"] = json!(60);
    let (status, replaced) = hub.edit("PUT", &uri, rule.clone()).await;
    assert_eq!(
        (status, &replaced["data"]["version"]),
        (200, &json!(2)),
        "what was read can be edited and written back"
    );
    assert_eq!(
        hub.edit("PUT", &uri, rule).await.0,
        409,
        "but not over another's change"
    );
    let (_, changed) = hub.edit("PATCH", &uri, json!({"enabled": false})).await;
    assert_eq!(
        (&changed["data"]["enabled"], &changed["data"]["threshold"]),
        (&json!(false), &json!(60.0))
    );
    assert!(
        !hub.running.handle.board.rules.borrow()[0].draft.enabled,
        "analytics hears of it"
    );
    assert_eq!(
        hub.edit("POST", "/api/v1/rules", json!({"name": "errors", "threshold": 1}))
            .await
            .0,
        409
    );
    assert_eq!(hub.edit("DELETE", &uri, Value::Null).await.0, 204);
    assert_eq!(hub.edit("DELETE", &uri, Value::Null).await.0, 404);
    assert_eq!(hub.get("/api/v1/rules").await["data"], json!([]));
}

#[tokio::test]
async fn every_mistake_of_a_rule_is_named_with_its_place() {
    let (hub, _) = Hub::with_rule().await;
    let wrong =
        json!({"name": "x", "match": "type == ", "aggregate": "median(", "threshold": 1, "channels": ["nobody"]});
    let (status, body) = hub.edit("POST", "/api/v1/rules", wrong).await;
    assert_eq!(status, 400);
    let errors = body["details"]["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["match", "aggregate", "channels"], "{body}");
    assert!(errors[0]["line"].is_u64() && errors[0]["column"].is_u64());
    let (status, body) = hub
        .edit("POST", "/api/v1/rules", json!({"name": "x", "treshold": 1}))
        .await;
    assert_eq!(status, 422, "{body}");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (hub, _) = Hub::with_rule().await;
    for n in 0..4 {
        let rule = json!({"name": format!("rule {n}"), "threshold": 1});
        assert_eq!(hub.edit("POST", "/api/v1/rules", rule).await.0, 201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.get(&format!("/api/v1/rules?limit=2{cursor}")).await;
        names.extend(page["data"].as_array().unwrap().iter().map(|rule| rule["name"].clone()));
        match page["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["errors", "rule 0", "rule 1", "rule 2", "rule 3"]);
}

#[tokio::test]
async fn an_alert_is_listed_taken_and_closed() {
    let (hub, rule) = Hub::with_rule().await;
    hub.fire(&rule, 0, 57.0).await;
    hub.ledger.until(1).await;
    let list = hub.get("/api/v1/alerts?state=firing").await;
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    let uri = format!("/api/v1/alerts/{id}");
    let stats = hub.get("/api/v1/alerts/stats").await["data"].clone();
    assert_eq!(
        (
            &stats["open"],
            &stats["by_state"]["firing"],
            &stats["by_rule"][0]["open"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    let (status, taken) = hub
        .edit("POST", &format!("{uri}/acknowledge"), json!({"comment": "on it"}))
        .await;
    assert_eq!(
        (status, &taken["data"]["state"], &taken["data"]["acknowledged_by"]),
        (200, &json!("acknowledged"), &json!("eva"))
    );
    assert_eq!(
        hub.edit("POST", &format!("{uri}/acknowledge"), Value::Null).await.0,
        200,
        "twice is no harm"
    );
    let (status, closed) = hub.edit("POST", &format!("{uri}/resolve"), Value::Null).await;
    assert_eq!((status, &closed["data"]["state"]), (200, &json!("resolved")));
    assert_eq!(hub.edit("POST", &format!("{uri}/resolve"), Value::Null).await.0, 409);
    assert_eq!(
        hub.edit("POST", "/api/v1/alerts/nothing/resolve", Value::Null).await.0,
        404
    );
    hub.fire(&rule, 1, 60.0).await;
    let all = hub.get("/api/v1/alerts").await;
    let states: Vec<&Value> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| &alert["state"])
        .collect();
    assert_eq!(states, ["firing", "resolved"], "newest first");
    assert_eq!(
        hub.get("/api/v1/alerts?state=resolved&level=critical").await["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        hub.edit("POST", &format!("{uri}/acknowledge"), Value::Null).await.0,
        409,
        "an older one of its group"
    );
    let whats: Vec<Value> = hub.get(&uri).await["data"]["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["what"].clone())
        .collect();
    assert!(
        whats.contains(&json!("acknowledged")) && whats.contains(&json!("resolved")),
        "{whats:?}"
    );
}

#[tokio::test]
async fn secrets_never_come_back_and_survive_an_edit() {
    let (hub, _) = Hub::with_rule().await;
    let channel = hub.get("/api/v1/channels/ops").await["data"].clone();
    assert_eq!(channel["config"], json!({"url": "https://x.example", "token": "***"}));
    let (status, body) = hub.edit("PUT", "/api/v1/channels/ops", channel).await;
    assert_eq!((status, &body["data"]["config"]["token"]), (200, &json!("***")));
    assert_eq!(hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await.0, 200);
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], "s3cret");
    let new = json!({"name": "b", "plugin": "webhook", "config": {"url": "u", "token": "***"}});
    assert_eq!(hub.edit("POST", "/api/v1/channels", new).await.0, 400);
    for (body, status) in [
        (json!({"name": "ops", "plugin": "webhook", "config": {"url": "u"}}), 409),
        (json!({"name": "b", "plugin": "pigeon"}), 400),
        (json!({"name": "b", "plugin": "webhook"}), 400),
        (json!({"name": "a/b", "plugin": "webhook", "config": {"url": "u"}}), 400),
    ] {
        assert_eq!(
            hub.edit("POST", "/api/v1/channels", body.clone()).await.0,
            status,
            "{body}"
        );
    }
    assert_eq!(
        hub.edit("DELETE", "/api/v1/channels/ops", Value::Null).await.0,
        409,
        "a rule uses it"
    );
}

#[tokio::test]
async fn no_secret_is_in_the_files_of_the_store() {
    let (hub, rule) = Hub::with_rule().await;
    let nested =
        json!({"name": "b", "plugin": "webhook", "config": {"url": "https://x.example", "token": {"a": ["canary-b"]}}});
    assert_eq!(hub.edit("POST", "/api/v1/channels", nested).await.0, 201);
    hub.fire(&rule, 0, 57.0).await;
    hub.ledger.until(1).await;
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], "s3cret");
    assert_eq!(hub.edit("POST", "/api/v1/channels/b/test", Value::Null).await.0, 200);
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], json!({"a": ["canary-b"]}));
    assert!(
        hub.on_disk("https://x.example") && hub.on_disk("v1:"),
        "the test sees what is stored"
    );
    assert!(!hub.on_disk("s3cret") && !hub.on_disk("canary-b"));
    let hub = hub.restart().await;
    assert_eq!(hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await.0, 200);
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], "s3cret");
    assert!(!hub.on_disk("s3cret"));
}

#[tokio::test]
async fn secrets_of_an_earlier_version_are_sealed_at_the_start() {
    let (hub, _) = Hub::with_rule().await;
    let mut clear = hub.store.doc("channel", "ops").await.unwrap().unwrap().body;
    clear["config"]["token"] = json!("clear");
    let put = |body| streamflow_storage::DocOp::Put {
        kind: "channel".to_owned(),
        id: "ops".to_owned(),
        body,
        expect: None,
    };
    hub.store.commit(vec![put(clear.clone())]).await.unwrap();
    let hub = hub.restart().await;
    assert_eq!(hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await.0, 200);
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], "clear");
    let stored = hub.store.doc("channel", "ops").await.unwrap().unwrap().body;
    assert_eq!(stored["config"]["url"], "https://x.example");
    assert!(stored["config"]["token"]["sealed"].is_string(), "{stored}");
    // Nobody can tell which values are secret to a plugin that is gone.
    clear["plugin"] = json!("pigeon");
    hub.store.commit(vec![put(clear)]).await.unwrap();
    let hub = hub.restart().await;
    let shown = hub.get("/api/v1/channels/ops").await["data"]["config"].clone();
    assert_eq!(shown, json!({"url": "***", "token": "***"}));
}

#[tokio::test]
async fn a_lost_or_damaged_key_is_said_and_a_new_secret_heals() {
    let (mut hub, rule) = Hub::with_rule().await;
    std::fs::remove_file(hub.key()).unwrap();
    hub = hub.restart().await;
    hub.fire(&rule, 0, 57.0).await;
    let said = |delivery: &Value| {
        let error = delivery["error"].as_str().unwrap_or_default();
        error.contains("secret `token` of channel `ops`") && error.contains("set the secret anew")
    };
    let waits = async {
        while !said(&hub.get("/api/v1/deliveries").await["data"][0]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waits)
        .await
        .unwrap();
    let mut channel = hub.get("/api/v1/channels/ops").await["data"].clone();
    let (status, refused) = hub.edit("PUT", "/api/v1/channels/ops", channel.clone()).await;
    assert_eq!(
        (status, &refused["details"]["field"]),
        (400, &json!("config.token")),
        "{refused}"
    );
    channel["config"]["token"] = json!("new");
    assert_eq!(hub.edit("PUT", "/api/v1/channels/ops", channel.clone()).await.0, 200);
    assert_eq!(
        hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await.1["data"]["state"],
        "delivered"
    );
    assert_eq!(hub.ledger.config.lock().unwrap()["token"], "new");

    std::fs::write(hub.key(), "short").unwrap();
    hub = hub.restart().await;
    let (_, answer) = hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await;
    assert!(said(&answer["data"]), "{answer}");
    let (status, refused) = hub.edit("PUT", "/api/v1/channels/ops", channel).await;
    assert!(
        status == 503 && refused.to_string().contains("5 bytes, not 32"),
        "{refused}"
    );
    let plain = json!({"name": "b", "plugin": "webhook", "config": {"url": "u"}});
    assert_eq!(
        hub.edit("POST", "/api/v1/channels", plain).await.0,
        201,
        "no secret, no key needed"
    );
}

#[tokio::test]
async fn a_test_message_answers_with_its_outcome_and_is_logged() {
    let (hub, _) = Hub::with_rule().await;
    let (status, body) = hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await;
    assert_eq!(
        (status, &body["data"]["state"], &body["data"]["reference"]),
        (200, &json!("delivered"), &json!("ref"))
    );
    assert!(hub.ledger.sent.borrow()[0].0.test);
    hub.ledger.refuse.store(1, Ordering::SeqCst);
    let (status, body) = hub.edit("POST", "/api/v1/channels/ops/test", Value::Null).await;
    assert_eq!(
        (status, &body["data"]["state"], &body["data"]["error"]),
        (200, &json!("failed"), &json!("404"))
    );
    assert_eq!(
        hub.get("/api/v1/deliveries?channel=ops").await["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_failed_delivery_can_be_sent_again() {
    let (hub, rule) = Hub::with_rule().await;
    hub.ledger.refuse.store(1, Ordering::SeqCst);
    let mut events = hub.running.handle.subscribe();
    hub.fire(&rule, 0, 57.0).await;
    while events.recv().await.unwrap().timeline.last().unwrap().what != "not notified" {}
    let failed = hub.get("/api/v1/deliveries?state=failed").await["data"][0].clone();
    let uri = format!("/api/v1/deliveries/{}/retry", failed["id"].as_str().unwrap());
    let (status, body) = hub.edit("POST", &uri, Value::Null).await;
    assert_eq!((status, &body["data"]["state"]), (200, &json!("pending")));
    assert_eq!(
        hub.ledger.until(2).await[1].0.idempotency_key,
        failed["idempotency_key"]
    );
    while events.recv().await.unwrap().timeline.last().unwrap().what != "notified" {}
    assert_eq!(hub.edit("POST", &uri, Value::Null).await.0, 409);
}

#[tokio::test]
async fn viewers_read_and_programs_that_send_events_do_not() {
    let (hub, rule) = Hub::with_rule().await;
    for uri in [
        "/api/v1/rules",
        "/api/v1/alerts",
        "/api/v1/alerts/stats",
        "/api/v1/channels",
        "/api/v1/deliveries",
    ] {
        assert_eq!(hub.ask(Role::Viewer, "GET", uri, Value::Null).await.0, 200, "{uri}");
        assert_eq!(hub.ask(Role::Ingest, "GET", uri, Value::Null).await.0, 403, "{uri}");
    }
    for (method, uri) in [
        ("DELETE", format!("/api/v1/rules/{rule}")),
        ("PATCH", format!("/api/v1/rules/{rule}")),
        ("POST", "/api/v1/alerts/x/acknowledge".to_owned()),
        ("POST", "/api/v1/channels/ops/test".to_owned()),
        ("DELETE", "/api/v1/channels/ops".to_owned()),
        ("POST", "/api/v1/deliveries/x/retry".to_owned()),
    ] {
        assert_eq!(
            hub.ask(Role::Viewer, method, &uri, json!({})).await.0,
            403,
            "{method} {uri}"
        );
    }
}
