//! Around every request: correlation id, log span, deadline, panic barrier, one shape of error, and metrics.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tracing::Instrument;

use crate::{ApiError, correlation, patience::Allowed};

/// Longest foreign error text that is passed on.
const MAX_FOREIGN_TEXT: usize = 4096;

#[derive(Debug)]
pub(crate) struct Envelope {
    timeout: Duration,
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl Envelope {
    pub(crate) fn new(timeout: Duration, registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let requests = Opts::new("streamflow_http_requests_total", "Requests answered");
        let durations = HistogramOpts::new(
            "streamflow_http_request_duration_seconds",
            "Time from request to answer",
        )
        .buckets(vec![
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ]);
        let envelope = Self {
            timeout,
            requests: IntCounterVec::new(requests, &["method", "route", "status"])?,
            durations: HistogramVec::new(durations, &["method", "route"])?,
        };
        registry.register(Box::new(envelope.requests.clone()))?;
        registry.register(Box::new(envelope.durations.clone()))?;
        Ok(Arc::new(envelope))
    }

    fn record(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = label(method);
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.durations
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }
}

/// Clients may invent methods; labels must stay few.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

pub(crate) async fn envelope(State(envelope): State<Arc<Envelope>>, mut request: Request, next: Next) -> Response {
    let id = correlation::accept_or_mint(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", correlation_id = %id, %method, path = request.uri().path());
    let started = std::time::Instant::now();
    let allowed = Allowed::default();
    request.extensions_mut().insert(allowed.clone());
    let answer = async {
        let mut answer = pin!(AssertUnwindSafe(next.run(request)).catch_unwind());
        let outcome = loop {
            let time = allowed.time().max(envelope.timeout);
            let left = time.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, answer.as_mut()).await {
                // The route has said meanwhile that it needs longer.
                Err(_) if allowed.time() > time => {}
                outcome => break outcome,
            }
        };
        let response = match outcome {
            Ok(Ok(response)) => one_shape(response).await,
            Ok(Err(panic)) => ApiError::internal(panic_text(panic.as_ref())).into_response(),
            Err(_) => ApiError::unavailable(1)
                .with_message("the answer took too long")
                .into_response(),
        };
        let (status, took) = (response.status(), started.elapsed());
        envelope.record(&method, &route, status, took);
        let took_ms = took.as_secs_f64() * 1000.0;
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), took_ms, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), took_ms, "answered");
        }
        response
    };
    let mut response = correlation::scope(Arc::clone(&id), answer.instrument(span)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(correlation::HEADER, value);
    }
    response
}

/// Refusals that axum and its layers made become the contract's JSON; their headers, such as `Allow`, are kept.
async fn one_shape(response: Response) -> Response {
    let status = response.status();
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let readable = kind.is_empty() || kind.starts_with("text/plain");
    if !(status.is_client_error() || status.is_server_error()) || !readable {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_FOREIGN_TEXT).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    let made = ApiError::from_status(status, Some(text).filter(|text| !text.is_empty())).into_response();
    let (made_parts, made_body): (_, Body) = made.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(made_parts.headers);
    Response::from_parts(parts, made_body)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("handler panicked: {}", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::get};
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;
    use crate::answer_within;

    #[tokio::test]
    async fn a_route_may_allow_its_answers_more_time() {
        let go = Arc::new(Notify::new());
        let waits = Arc::clone(&go);
        let wait = move || {
            let waits = Arc::clone(&waits);
            async move { waits.notified().await }
        };
        let patient = Router::new()
            .route("/patient", get(wait))
            .layer(from_fn_with_state(Duration::from_secs(60), answer_within));
        let state = Envelope::new(Duration::from_millis(1), &Registry::new()).unwrap();
        let router = Router::new()
            .route("/plain", get(std::future::pending::<()>))
            .merge(patient)
            .layer(from_fn_with_state(state, envelope));
        let ask = async |path: &str| {
            let request = axum::http::Request::builder().uri(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status()
        };
        let (patient, ()) = tokio::join!(ask("/patient"), async {
            for _ in 0..2 {
                assert_eq!(ask("/plain").await, StatusCode::SERVICE_UNAVAILABLE);
            }
            go.notify_one();
        });
        assert_eq!(patient, StatusCode::OK);
    }
}
