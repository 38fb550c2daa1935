//! `/api/v1/plugins`.

use axum::{Extension, Router, body::Body};
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use streamflow_model::Role;
use streamflow_web::Identity;
use tower::ServiceExt;

use crate::fixture::{Fixture, Parts, Running};

fn router(running: &Running, role: Role) -> Router {
    let (router, _) = running.host.routes().split_for_parts();
    router.layer(Extension(Identity {
        name: "someone".to_owned(),
        role,
    }))
}

async fn ask(router: Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn plugins_are_listed_with_what_the_contract_names() {
    let http = Parts {
        manifest: "[capabilities]\nhttp = [\"api.example.org\"]\n",
        ..Parts::default()
    };
    let running = Fixture::new()
        .plugin("a", &http)
        .file("shipped/b.wasm", b"garbage")
        .start()
        .await;
    running.deliver("a").await.unwrap();
    let (status, body) = ask(router(&running, Role::Viewer), "GET", "/api/v1/plugins").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["pagination"], json!({"next_cursor": null, "has_next": false}));
    let a = &body["data"][0];
    for (key, value) in [
        ("name", json!("a")),
        ("version", json!("1.0.0")),
        ("kind", json!("channel")),
        ("state", json!("active")),
        ("reason", json!(null)),
        ("capabilities", json!(["http api.example.org"])),
        ("calls", json!(1)),
        ("errors", json!(0)),
        ("traps", json!(0)),
    ] {
        assert_eq!(a[key], value, "{key}");
    }
    assert!(a["cpu_ns_per_event"].is_u64() && a["memory_bytes"].is_u64(), "{a}");
    let b = &body["data"][1];
    assert_eq!((&b["name"], &b["state"]), (&json!("b"), &json!("failed")));
    assert!(b["reason"].as_str().unwrap().contains("not a WebAssembly component"));
}

#[tokio::test]
async fn only_an_admin_enables() {
    let running = Fixture::new()
        .plugin(
            "a",
            &Parts {
                deliver: "(unreachable)",
                ..Parts::default()
            },
        )
        .start()
        .await;
    for _ in 0..5 {
        running.fault("a").await;
    }
    let enable = async |role, name: &str| {
        ask(
            router(&running, role),
            "POST",
            &format!("/api/v1/plugins/{name}/enable"),
        )
        .await
    };
    assert_eq!(enable(Role::Editor, "a").await.0, StatusCode::FORBIDDEN);
    assert_eq!(enable(Role::Admin, "b").await.0, StatusCode::NOT_FOUND);
    let (status, body) = enable(Role::Admin, "a").await;
    assert_eq!((status, &body["data"]["state"]), (StatusCode::OK, &json!("active")));
}
