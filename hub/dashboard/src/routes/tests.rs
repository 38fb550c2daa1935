use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use serde_json::{Value, json};
use streamflow_model::Role;
use streamflow_web::{FinishOptions, Health, Limits};
use tower::ServiceExt as _;

use super::*;
use crate::{testbed::Bench, users};

/// The routes as they are served, behind sign-in.
struct Service {
    bench: Bench,
    router: Router,
}

impl Service {
    async fn new() -> Self {
        let bench = Bench::new().await;
        users::ensure_admin(bench.store(), Some("admin-password".into()))
            .await
            .unwrap();
        users::add(bench.store(), "kim", Role::Viewer, "kim-password")
            .await
            .unwrap();
        let auth = Arc::new(bench.auth());
        let options = FinishOptions {
            auth: auth.clone(),
            health: Health::default(),
            registry: prometheus::Registry::new(),
            cors_origins: Vec::new(),
            limits: Limits::default(),
            fallback: crate::ui_fallback(),
        };
        let rooms = routes(Desk {
            store: Arc::clone(&bench.store),
            auth,
        });
        let router = streamflow_web::finish(rooms, options).unwrap();
        Self { bench, router }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn sign_in(&self, username: &str, password: &str) -> (String, String) {
        let login = json!({"username": username, "password": password});
        let (status, pair) = self.call(Method::POST, "/auth/login", "", login).await;
        assert_eq!(status, StatusCode::OK, "{pair}");
        let part = |name: &str| pair[name].as_str().unwrap().to_owned();
        (part("access_token"), part("refresh_token"))
    }
}

#[tokio::test]
async fn signing_in_and_out() {
    let service = Service::new().await;
    let (access, refresh) = service.sign_in("kim", "kim-password").await;
    let (status, me) = service.call(Method::GET, "/api/v1/me", &access, Value::Null).await;
    assert_eq!(
        (status, me),
        (StatusCode::OK, json!({"data": {"name": "kim", "role": "viewer"}}))
    );
    assert_eq!(
        service.call(Method::GET, "/api/v1/me", "nonsense", Value::Null).await.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, renewed) = service
        .call(Method::POST, "/auth/refresh", "", json!({"refresh_token": refresh}))
        .await;
    assert_eq!(status, StatusCode::OK, "{renewed}");
    let out = json!({"refresh_token": renewed["refresh_token"]});
    assert_eq!(
        service.call(Method::POST, "/auth/logout", &access, out.clone()).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        service.call(Method::POST, "/auth/refresh", "", out).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn only_administrators_reach_accounts() {
    let service = Service::new().await;
    let (kim, _) = service.sign_in("kim", "kim-password").await;
    let new_user = json!({"username": "eve", "password": "eve-password", "role": "admin"});
    for (method, path, body) in [
        (Method::GET, "/api/v1/users", Value::Null),
        (Method::POST, "/api/v1/users", new_user),
        (Method::DELETE, "/api/v1/users/admin", Value::Null),
        (Method::PUT, "/api/v1/users/admin", json!({"password": "taken-over"})),
        (Method::PUT, "/api/v1/users/kim", json!({"role": "admin"})),
        (Method::GET, "/api/v1/tokens", Value::Null),
        (Method::POST, "/api/v1/tokens", json!({"name": "t", "role": "admin"})),
        (Method::DELETE, "/api/v1/tokens/t", Value::Null),
    ] {
        let (status, answer) = service.call(method.clone(), path, &kim, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}");
    }
    assert_eq!(users::list(service.bench.store()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_administrator_keeps_accounts() {
    let service = Service::new().await;
    let (admin, _) = service.sign_in("admin", "admin-password").await;
    let new_user = json!({"username": "lee", "password": "lee-password", "role": "editor"});
    let (status, made) = service
        .call(Method::POST, "/api/v1/users", &admin, new_user.clone())
        .await;
    assert_eq!((status, &made["data"]["role"]), (StatusCode::CREATED, &json!("editor")));
    assert_eq!(
        service.call(Method::POST, "/api/v1/users", &admin, new_user).await.0,
        StatusCode::CONFLICT
    );
    let (_, first) = service
        .call(Method::GET, "/api/v1/users?limit=2", &admin, Value::Null)
        .await;
    assert_eq!(first["pagination"], json!({"next_cursor": "kim", "has_next": true}));
    assert!(!first.to_string().contains("argon2"), "a hash has left the store");
    let (_, rest) = service
        .call(Method::GET, "/api/v1/users?cursor=kim", &admin, Value::Null)
        .await;
    assert_eq!(rest["data"][0]["username"], "lee");
    assert_eq!(
        service
            .call(Method::DELETE, "/api/v1/users/lee", &admin, Value::Null)
            .await
            .0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        service
            .call(Method::DELETE, "/api/v1/users/admin", &admin, Value::Null)
            .await
            .0,
        StatusCode::CONFLICT
    );

    let (status, made) = service
        .call(
            Method::POST,
            "/api/v1/tokens",
            &admin,
            json!({"name": "ci", "role": "viewer"}),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let key = made["data"]["token"].as_str().unwrap();
    let (_, me) = service.call(Method::GET, "/api/v1/me", key, Value::Null).await;
    assert_eq!(me["data"], json!({"name": "token:ci", "role": "viewer"}));
    assert_eq!(
        service
            .call(Method::DELETE, "/api/v1/tokens/ci", &admin, Value::Null)
            .await
            .0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        service.call(Method::GET, "/api/v1/me", key, Value::Null).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_own_password_needs_the_present_one() {
    let service = Service::new().await;
    let (kim, _) = service.sign_in("kim", "kim-password").await;
    for current in [Value::Null, json!("a guess")] {
        let change = json!({"password": "new-password", "current_password": current});
        let (status, answer) = service.call(Method::PUT, "/api/v1/users/kim", &kim, change).await;
        assert_eq!(
            (status, &answer["details"]["field"]),
            (StatusCode::BAD_REQUEST, &json!("current_password"))
        );
    }
    let change = json!({"password": "new-password", "current_password": "kim-password"});
    assert_eq!(
        service.call(Method::PUT, "/api/v1/users/kim", &kim, change).await.0,
        StatusCode::OK
    );
    service.sign_in("kim", "new-password").await;
}
