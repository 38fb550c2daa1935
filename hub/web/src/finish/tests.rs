//! The service as callers see it.

use axum::{body::Body, http::request::Builder};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamflow_model::Role;

use super::*;
use crate::{ApiResult, Data, ErrorBody, Identity, Query, auth::OPEN, auth::tests::with_eva, page::PageQuery};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Order {
    inner: Inner,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Inner {
    count: u32,
}

/// Orders something
#[utoipa::path(post, path = "/api/v1/orders", request_body = Order, responses((status = 200, body = Data<u32>)))]
async fn order(identity: Identity, Json(order): Json<Order>) -> ApiResult<Json<Data<u32>>> {
    identity.require(Role::Admin)?;
    Ok(Json(Data {
        data: order.inner.count,
    }))
}

/// Lists
#[utoipa::path(get, path = "/api/v1/orders", params(PageQuery), responses((status = 200, body = Data<usize>)))]
async fn list(Query(page): Query<PageQuery>) -> ApiResult<Json<Data<usize>>> {
    Ok(Json(Data { data: page.limit()? }))
}

/// Breaks
#[utoipa::path(get, path = "/api/v1/broken", responses((status = 200, body = String)))]
async fn broken() -> String {
    panic!("secret detail")
}

struct Service {
    router: Router,
    token: String,
    health: Health,
    _dir: tempfile::TempDir,
}

impl Service {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (auth, _) = with_eva(dir.path()).await;
        let token = auth
            .login("eva", "correct horse".to_owned(), None)
            .await
            .unwrap()
            .access_token;
        let health = Health::default();
        let rooms = OpenApiRouter::new()
            .routes(routes!(order, list))
            .routes(routes!(broken));
        let options = FinishOptions {
            auth: Arc::new(auth),
            health: health.clone(),
            registry: Registry::new(),
            cors_origins: Vec::new(),
            limits: Limits {
                max_body_bytes: 1000,
                ..Limits::default()
            },
            fallback: Router::new().fallback(|| async { "page" }),
        };
        Self {
            router: finish(rooms, options).unwrap(),
            token,
            health,
            _dir: dir,
        }
    }

    fn signed_in(&self, method: &str, uri: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {}", self.token))
    }

    async fn send(&self, request: Builder, body: &str) -> (StatusCode, axum::http::HeaderMap, Value) {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        (parts.status, parts.headers, body)
    }

    /// Sends, and checks that the refusal is the contract's in every part.
    async fn refused(&self, request: Builder, body: &str) -> (u16, String, Value) {
        let (status, headers, body) = self.send(request, body).await;
        assert_eq!(headers["content-type"], "application/json", "{body}");
        assert_eq!(headers["x-correlation-id"], body["correlation_id"].as_str().unwrap());
        assert!(
            body["timestamp"]
                .as_str()
                .is_some_and(|t| streamflow_model::Instant::parse(t).is_some())
        );
        assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()) && body["details"].is_object());
        (status.as_u16(), body["error"].as_str().unwrap().to_owned(), body)
    }
}

fn json_body(builder: Builder) -> Builder {
    builder.header("content-type", "application/json")
}

#[tokio::test]
async fn every_refusal_has_the_shape_of_the_contract() {
    let service = Service::new().await;
    let post = || json_body(service.signed_in("POST", "/api/v1/orders"));
    let plain = |method: &str, uri: &str| Request::builder().method(method).uri(uri);
    let large = format!("{{\"inner\":\"{}\"}}", "x".repeat(2000));
    for (request, body, status, name) in [
        (post(), "{\"inner\":\n  nope}", 400, "ValidationError"),
        (post(), "{\"inner\":{\"count\":\"many\"}}", 422, "ValidationError"),
        (post(), "{}", 422, "ValidationError"),
        (post(), "{\"inner\":{\"count\":1}} trailing", 400, "ValidationError"),
        (post(), large.as_str(), 413, "PayloadTooLarge"),
        (
            service.signed_in("POST", "/api/v1/orders"),
            "{}",
            415,
            "UnsupportedMediaType",
        ),
        (post(), "{\"inner\":{\"count\":1}}", 403, "Forbidden"),
        (post().header("sec-fetch-site", "cross-site"), "{}", 403, "Forbidden"),
        (
            service.signed_in("GET", "/api/v1/orders?limit=0"),
            "",
            400,
            "ValidationError",
        ),
        (
            service.signed_in("GET", "/api/v1/orders?limit=x"),
            "",
            400,
            "ValidationError",
        ),
        (
            service.signed_in("DELETE", "/api/v1/orders"),
            "",
            405,
            "MethodNotAllowed",
        ),
        (service.signed_in("GET", "/api/v1/nowhere"), "", 404, "NotFound"),
        (service.signed_in("GET", "/api/v1/broken"), "", 500, "InternalError"),
        (plain("GET", "/api/v1/orders"), "", 401, "Unauthorized"),
        (plain("GET", "/api/v1/orders?token=x"), "", 401, "Unauthorized"),
    ] {
        let what = format!("{request:?} {body}");
        let (got, error, answer) = service.refused(request, body).await;
        assert_eq!((got, error.as_str()), (status, name), "{what}: {answer}");
        assert!(!answer.to_string().contains("secret detail"));
    }
}

#[tokio::test]
async fn mistakes_in_json_are_placed() {
    let service = Service::new().await;
    let post = || json_body(service.signed_in("POST", "/api/v1/orders"));
    let (_, _, syntax) = service.refused(post(), "{\"inner\":\n  nope}").await;
    assert_eq!(
        (&syntax["details"]["line"], &syntax["details"]["column"]),
        (&json!(2), &json!(4))
    );
    let (_, _, kind) = service.refused(post(), "{\"inner\":{\"count\":\"many\"}}").await;
    assert_eq!(kind["details"]["field"], "inner.count");
}

#[tokio::test]
async fn a_readable_correlation_id_is_kept_and_another_replaced() {
    let service = Service::new().await;
    let ask = |id: &str| Request::builder().uri("/health").header("x-correlation-id", id);
    let (_, headers, _) = service.send(ask("abc-1"), "").await;
    assert_eq!(headers["x-correlation-id"], "abc-1");
    for bad in ["", "with space", &"x".repeat(129)] {
        let (status, headers, _) = service.send(ask(bad), "").await;
        assert_eq!((status.as_u16(), headers["x-correlation-id"].len()), (200, 36));
    }
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_credentials() {
    let service = Service::new().await;
    let (_, _, document) = service.send(Request::builder().uri("/api/openapi.json"), "").await;
    assert_eq!(document["openapi"], "3.1.0");
    let (mut seen, mut ids) = (0, std::collections::BTreeSet::new());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            seen += 1;
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{operation}"
            );
            let error = &operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(
                error,
                &format!("#/components/schemas/{}", <ErrorBody as utoipa::ToSchema>::name()),
                "{path}"
            );
            let (status, ..) = service
                .send(Request::builder().method(method.to_uppercase().as_str()).uri(path), "")
                .await;
            let open = OPEN.contains(&path.as_str());
            assert_eq!(operation.get("security").is_none(), open, "{method} {path}");
            assert_eq!(
                status != StatusCode::UNAUTHORIZED,
                open,
                "{method} {path} answered {status}"
            );
        }
    }
    assert_eq!(seen, 6);
}

#[tokio::test]
async fn only_a_websocket_may_bring_its_token_in_the_address() {
    let service = Service::new().await;
    let uri = format!("/api/v1/orders?token={}", service.token);
    let ask = || Request::builder().uri(uri.as_str());
    assert_eq!(service.send(ask(), "").await.0, 401);
    assert_eq!(service.send(ask().header("upgrade", "websocket"), "").await.0, 200);
    let foreign = ask()
        .header("upgrade", "websocket")
        .header("origin", "https://evil.example");
    assert_eq!(service.send(foreign.header("host", "hub"), "").await.0, 403);
}

#[tokio::test]
async fn the_page_and_the_probes_are_open_and_guarded() {
    let service = Service::new().await;
    let get = |uri: &str| Request::builder().uri(uri);
    let (status, headers, body) = service.send(get("/alerts/1"), "").await;
    assert_eq!((status.as_u16(), body), (200, json!("page")));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(service.send(get("/ready"), "").await.0, 200);
    service.health.register("storage", || Err("disk full".to_owned()));
    let (status, headers, body) = service.send(get("/ready"), "").await;
    assert_eq!(
        (status.as_u16(), &body["details"]["checks"]["storage"]["reason"]),
        (503, &json!("disk full"))
    );
    assert!(headers.contains_key("retry-after"));
    let (status, _, body) = service.send(get("/health"), "").await;
    assert_eq!((status.as_u16(), &body["status"]), (200, &json!("healthy")));
    let (_, _, metrics) = service.send(get("/metrics"), "").await;
    let line = "streamflow_http_requests_total{method=\"GET\",route=\"/ready\",status=\"503\"} 1";
    assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
}
