//! Sign-in, roles, and that nothing is open by accident.

use reqwest::Method;
use serde_json::json;
use streamflow_tests::{Api, Hub, HubConfig, hub::PASSWORD};

#[tokio::test]
async fn every_documented_route_needs_a_token_but_a_few() {
    let hub = Hub::start(&HubConfig::default());
    let api = Api::anonymous(&format!("http://{}", hub.http));
    let (status, document) = api.get("/api/openapi.json").await;
    assert_eq!(status, 200);
    let open = [
        "/health",
        "/ready",
        "/metrics",
        "/auth/login",
        "/auth/refresh",
        "/api/openapi.json",
        "/ack",
    ];
    assert_eq!(api.get("/ack?t=x").await.0, 403, "it asks for a signed link instead");
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if open.contains(&path.as_str()) {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let concrete = path
                .replace("{id}", "x")
                .replace("{name}", "x")
                .replace("{username}", "x");
            let (status, error) = api.send(api.request(method.clone(), &concrete)).await;
            assert_eq!(status, 401, "{method} {path}: {error}");
            assert_eq!(error["error"], "Unauthorized", "{method} {path}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} routes in the document");
}

#[tokio::test]
async fn wrong_passwords_and_forged_tokens_are_refused() {
    let hub = Hub::start(&HubConfig::default());
    let admin = hub.admin().await;
    let anonymous = Api::anonymous(&admin.base);
    let (status, _) = anonymous
        .post("/auth/login", &json!({"username": "admin", "password": "wrong"}))
        .await;
    assert_eq!(status, 401);
    let (status, _) = anonymous
        .post("/auth/login", &json!({"username": "nobody", "password": PASSWORD}))
        .await;
    assert_eq!(status, 401);
    let mut parts: Vec<&str> = admin.token.split('.').collect();
    parts[2] = "AAAA";
    for token in [
        parts.join("."),
        "nonsense".into(),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".into(),
    ] {
        let (status, _) = admin.with_token(&token).get("/api/v1/alerts").await;
        assert_eq!(status, 401, "{token}");
    }
}

#[tokio::test]
async fn roles_limit_what_a_token_may_do() {
    let hub = Hub::start(&HubConfig::default());
    let admin = hub.admin().await;
    let token = |role: &str| {
        let output = hub.command(&["token", "create", role, "--role", role]);
        assert!(output.status.success(), "{output:?}");
        admin.with_token(String::from_utf8(output.stdout).unwrap().trim())
    };
    let (viewer, ingest) = (token("viewer"), token("ingest"));
    let event = json!({"type": "t", "source": "s"});
    assert_eq!(ingest.post("/events", &event).await.0, 202);
    assert_eq!(ingest.get("/api/v1/alerts").await.0, 403);
    assert_eq!(viewer.get("/api/v1/alerts").await.0, 200);
    assert_eq!(viewer.post("/events", &event).await.0, 403);
    let rule = json!({"name": "r", "threshold": 1});
    assert_eq!(viewer.post("/api/v1/rules", &rule).await.0, 403);
    assert_eq!(admin.post("/api/v1/rules", &rule).await.0, 201);
}
