//! The routes on a real store.

use axum::{Extension, Router, body::Body, http::Request};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::{Options, suite};

#[test]
fn lists_are_separated_by_commas_or_repeated() {
    let mut request = EventsRequest::default();
    for (name, value) in [
        ("types", "a,b"),
        ("types", "c"),
        ("severities", "high, low"),
        ("limit", "7"),
        ("order", "asc"),
        ("from", "5"),
    ] {
        request.set(name, value.to_owned()).unwrap();
    }
    let query = request.into_query().unwrap();
    assert_eq!(query.types, ["a", "b", "c"]);
    assert_eq!(query.severities, [Severity::High, Severity::Low]);
    assert_eq!((query.limit, query.order, query.from), (7, Order::Asc, Some(5)));
}

struct Api {
    router: Router,
    _dir: tempfile::TempDir,
    _service: crate::Service,
}

impl Api {
    async fn new(role: Role) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, service) = crate::build(&Options::default(), dir.path(), &Registry::new())
            .await
            .unwrap();
        suite::fill(&*store, 200).await;
        let identity = Identity {
            name: "eva".to_owned(),
            role,
        };
        let (router, _) = routes(store).split_for_parts();
        Self {
            router: router.layer(Extension(identity)),
            _dir: dir,
            _service: service,
        }
    }

    async fn get(&self, uri: &str) -> (u16, Value) {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, body: Value) -> (u16, Value) {
        let request = Request::post("/api/v1/events/query").header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn count(body: &Value) -> usize {
    body["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn both_doors_answer_the_same_pages() {
    let api = Api::new(Role::Viewer).await;
    let asked = json!({"types": ["type.1"], "filter": "data.n > 20", "limit": 25, "order": "asc"});
    let (status, first) = api.post(asked.clone()).await;
    assert_eq!((status, count(&first)), (200, 25), "{first}");
    assert!(first["scanned"]["events"].as_u64() > Some(0) && first["took_ms"].is_u64());
    let (_, same) = api
        .get("/api/v1/events?types=type.1&filter=data.n%20%3E%2020&limit=25&order=asc")
        .await;
    assert_eq!(same["data"], first["data"]);
    assert_eq!(first["pagination"]["has_next"], true);
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    let (_, next) = api
        .get(&format!(
            "/api/v1/events?types=type.1&filter=data.n%20%3E%2020&order=asc&cursor={cursor}"
        ))
        .await;
    assert_eq!(
        (count(&next), &next["pagination"]["has_next"]),
        (60 - 25, &json!(false))
    );
    let event = &first["data"][0];
    assert_eq!(
        (event["type"].as_str(), event["data"]["nested"]["flag"].is_boolean()),
        (Some("type.1"), true)
    );
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{event}");
    let (status, stats) = api.get("/api/v1/stats").await;
    assert_eq!((status, &stats["data"]["events"]), (200, &json!(200)));
}

#[tokio::test]
async fn mistakes_are_named() {
    let api = Api::new(Role::Viewer).await;
    for (query, field) in [
        ("limit=many", "limit"),
        ("order=up", "order"),
        ("from=soon", "from"),
        ("severities=loud", "severities"),
        ("kind=a", "kind"),
        ("from=5&to=5", "to"),
        ("filter=data.n%20%3E", "filter"),
        ("cursor=00", "cursor"),
    ] {
        let (status, body) = api.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(
            (status, &body["error"], &body["details"]["field"]),
            (400, &json!("ValidationError"), &json!(field)),
            "{body}"
        );
    }
    assert_eq!(api.get("/api/v1/events?limit=10001").await.0, 400);
    assert_eq!(api.post(json!({"type": "a"})).await.0, 422);
    let sender = Api::new(Role::Ingest).await;
    for uri in ["/api/v1/events", "/api/v1/stats"] {
        assert_eq!(sender.get(uri).await.0, 403);
    }
}
