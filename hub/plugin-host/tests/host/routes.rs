//! `/api/v1/plugins`.

use std::{task::Poll, time::Duration};

use axum::{Extension, Router, body::Body};
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use streamflow_model::Role;
use streamflow_plugin_host::PluginUsers;
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
        ("granted", json!(["http api.example.org"])),
        ("envelope", json!([])),
        ("fields", json!([])),
        ("calls", json!(1)),
        ("errors", json!(0)),
        ("traps", json!(0)),
    ] {
        assert_eq!(a[key], value, "{key}");
    }
    for key in ["cpu_ns_per_event", "ns_per_call", "memory_bytes"] {
        assert!(a[key].is_u64(), "{key}: {a}");
    }
    assert_eq!(
        a["limits"],
        json!({"memory_bytes": 32 << 20, "deadline_ms": 100, "call_ms": 30_000})
    );
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

#[tokio::test]
async fn what_was_approved_is_told_beside_what_is_asked_for() {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.start().await;
    let build = |manifest| {
        let parts = Parts {
            manifest,
            ..Parts::default()
        };
        parts.build("caller")
    };
    let before = build("[capabilities]\nhttp = [\"one.example.org\"]\n");
    running.host.install(before, true, "someone").await.unwrap();
    let next = build("[capabilities]\nhttp = [\"one.example.org\", \"two.example.org\"]\n");
    running.host.install(next, false, "someone").await.unwrap();
    let (_, body) = ask(router(&running, Role::Viewer), "GET", "/api/v1/plugins").await;
    let rights = |state: &str| {
        let found = body["data"].as_array().unwrap().iter();
        let found = found.filter(|plugin| plugin["name"] == "caller");
        found
            .filter(|plugin| plugin["state"] == state)
            .map(|plugin| (plugin["capabilities"].clone(), plugin["granted"].clone()))
            .next()
            .unwrap()
    };
    let (one, two) = ("http one.example.org", "http two.example.org");
    assert_eq!(rights("active"), (json!([one]), json!([one])));
    assert_eq!(rights("awaiting_approval"), (json!([one, two]), json!([one])));
}

#[tokio::test]
async fn a_file_is_installed_over_http_by_an_admin_alone_and_within_bounds() {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.start().await;
    let post = async |role, path: &str, body: Vec<u8>| {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .body(Body::from(body))
            .unwrap();
        let response = router(&running, role).oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let file = Parts::default().build("mine");
    let install = "/api/v1/plugins";
    assert_eq!(post(Role::Editor, install, file.clone()).await.0, StatusCode::FORBIDDEN);
    let (status, body) = post(Role::Admin, install, file.clone()).await;
    assert_eq!(
        (status, &body["data"]["state"]),
        (StatusCode::OK, &json!("awaiting_approval"))
    );
    let (status, body) = post(Role::Admin, "/api/v1/plugins?approve=true", file).await;
    assert_eq!((status, &body["data"]["state"]), (StatusCode::OK, &json!("active")));
    assert_eq!(
        post(Role::Admin, install, b"nonsense".to_vec()).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        post(Role::Admin, install, vec![0; (32 << 20) + 1]).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        post(Role::Admin, "/api/v1/plugins?aprove=true", Vec::new()).await.0,
        StatusCode::BAD_REQUEST
    );
    let (status, body) = ask(router(&running, Role::Viewer), "GET", "/api/v1/plugins/mine").await;
    assert_eq!(
        (status, &body["data"]["signature"]),
        (StatusCode::OK, &json!("unsigned"))
    );
    assert_eq!(
        post(Role::Admin, "/api/v1/plugins/mine/rollback", Vec::new()).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(
        post(Role::Admin, "/api/v1/plugins/mine/approve", Vec::new()).await.0,
        StatusCode::CONFLICT
    );
    let (_, body) = post(Role::Admin, "/api/v1/plugins/mine/disable", Vec::new()).await;
    assert_eq!(body["data"]["state"], json!("disabled"));
    running.host.ask_users(|_| PluginUsers {
        rules: vec!["hot".to_owned()],
        channels: Vec::new(),
    });
    let (status, used) = ask(router(&running, Role::Admin), "DELETE", "/api/v1/plugins/mine").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let used = &used["details"];
    assert_eq!(
        (&used["code"], &used["rules"], &used["channels"]),
        (&json!("plugin_in_use"), &json!(["hot"]), &json!([]))
    );
    let remove = || {
        let request = Request::delete("/api/v1/plugins/mine?force=true")
            .body(Body::empty())
            .unwrap();
        router(&running, Role::Admin).oneshot(request)
    };
    assert_eq!(remove().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(remove().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_installation_ends_although_nobody_waits_for_its_answer() {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.start().await;
    let mut changes = running.host.changes();
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/plugins?approve=true")
        .body(Body::from(Parts::default().build("mine")))
        .unwrap();
    let mut answer = Box::pin(router(&running, Role::Admin).oneshot(request));
    let waits = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context).is_pending())).await;
    assert!(waits, "it compiles meanwhile");
    drop(answer);
    let installed = tokio::time::timeout(Duration::from_secs(60), changes.changed()).await;
    installed.expect("the installation ends").unwrap();
    assert_eq!(running.deliver("mine").await.unwrap(), "done");
}
