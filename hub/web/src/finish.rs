//! From the rooms' routes to the service that answers: what all share goes around them, once.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use streamflow_model::Span;
use tower::ServiceExt as _;
use tower_http::{
    compression::{
        CompressionLayer, DefaultPredicate,
        predicate::{Predicate as _, SizeAbove},
    },
    cors::CorsLayer,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiError, Auth, Health, HealthReport, Json, auth, correlation, envelope, guard, openapi};

/// Smaller answers cost more to compress than to send.
const COMPRESS_ABOVE: u64 = 1024;

/// Bounds on what callers may take up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body in bytes, unless a route has a limit of its own.
    pub max_body_bytes: usize,
    /// Longest time for an answer.
    pub timeout: Span,
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 * 1024 * 1024,
            timeout: Span::from_secs(30),
            max_connections: 4096,
        }
    }
}

/// What the service needs besides the routes.
#[derive(Debug)]
pub struct FinishOptions {
    /// Who may call.
    pub auth: Arc<Auth>,
    /// Checks behind `/ready`.
    pub health: Health,
    /// Metrics behind `/metrics`.
    pub registry: Registry,
    /// Other sites whose pages may call this hub, such as `https://grafana.example`.
    pub cors_origins: Vec<String>,
    /// Bounds.
    pub limits: Limits,
    /// Answers what no route does: the user interface.
    pub fallback: Router,
}

#[derive(Clone)]
struct Common {
    health: Health,
    registry: Registry,
}

/// Puts sign-in, correlation ids, logging, metrics, limits and security headers around the routes, and adds `/health`,
/// `/ready`, `/metrics` and `/api/openapi.json`.
///
/// # Errors
/// When the metrics' names are taken in the registry.
pub fn finish(rooms: OpenApiRouter, options: FinishOptions) -> Result<Router, prometheus::Error> {
    let envelope = envelope::Envelope::new(options.limits.timeout.std(), &options.registry)?;
    let common = Common {
        health: options.health,
        registry: options.registry,
    };
    let own = OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(metrics));
    let (router, mut api) = rooms.merge(own.with_state(common)).split_for_parts();
    openapi::complete(&mut api);
    let document = openapi::document(&api);
    let answer_document = axum::routing::get(move || async move { axum::Json(document) });
    let ui = options.fallback;
    let router = router
        .route("/api/openapi.json", answer_document)
        .route_layer(from_fn_with_state(options.auth, auth::identify))
        .fallback(move |request| fallback(ui.clone(), request));
    let origins: Arc<[String]> = options.cors_origins.into();
    let compress = CompressionLayer::new().compress_when(DefaultPredicate::new().and(SizeAbove::new(COMPRESS_ABOVE)));
    Ok(router
        .layer(DefaultBodyLimit::max(options.limits.max_body_bytes))
        .layer(cors(&origins))
        .layer(from_fn_with_state(origins, guard::guard))
        .layer(from_fn_with_state(envelope, envelope::envelope))
        .layer(compress))
}

/// Answers nothing to other sites unless they are listed.
fn cors(origins: &[String]) -> CorsLayer {
    let listed: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if listed.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(listed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, correlation::HEADER])
        .expose_headers([correlation::HEADER, header::RETRY_AFTER])
}

/// The user interface, except below the programs' paths, where a wrong address must not look like a page.
async fn fallback(ui: Router, request: Request) -> Response {
    let path = request.uri().path();
    let program = ["/api/", "/auth/", "/ws", "/events"]
        .iter()
        .any(|prefix| path.starts_with(prefix));
    if program {
        return ApiError::not_found(format!("there is no {path}")).into_response();
    }
    ui.oneshot(request).await.into_response()
}

/// Whether the program runs
///
/// Answers 200 as long as it can answer at all; the checks tell how its rooms do.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = HealthReport)))]
async fn health(State(common): State<Common>) -> Json<HealthReport> {
    Json(HealthReport {
        status: "healthy".to_owned(),
        checks: common.health.report(),
    })
}

/// Whether the program can do its work
#[utoipa::path(get, path = "/ready", tag = "health", responses(
    (status = 200, body = HealthReport),
    (status = 503, description = "Some check fails; `details.checks` tells which and why."),
))]
async fn ready(State(common): State<Common>) -> Response {
    let checks = common.health.report();
    let red: Vec<_> = checks
        .iter()
        .filter(|(_, check)| !check.ready)
        .map(|(name, _)| name.as_str())
        .collect();
    if red.is_empty() {
        return Json(HealthReport {
            status: "ready".to_owned(),
            checks,
        })
        .into_response();
    }
    let message = format!("not ready: {}", red.join(", "));
    let details = serde_json::json!({"status": "not_ready", "checks": checks});
    ApiError::unavailable(1)
        .with_message(message)
        .with_details(details)
        .into_response()
}

/// Metrics in the text format of Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(common): State<Common>) -> Response {
    match TextEncoder::new().encode_to_string(&common.registry.gather()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(e) => ApiError::internal(e).into_response(),
    }
}

#[cfg(test)]
mod tests;
