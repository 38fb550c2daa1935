//! What protects browsers: security headers, and the refusal of requests that another site makes in a user's name.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::ApiError;

/// Everything from our own origin only; nobody frames us.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
];

pub(crate) async fn guard(State(origins): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let mut response = match check_origin(request.method(), request.headers(), &origins) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Go 1.25's cross-origin protection: a browser says where a request comes from, other programs say nothing and may pass.
/// A WebSocket's handshake is a GET, but lets its opener act, so it is checked as well.
fn check_origin(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if safe && !is_websocket(headers) {
        return Ok(());
    }
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let origin = text(header::ORIGIN);
    if origin.is_some_and(|origin| allowed.iter().any(|one| one == origin)) {
        return Ok(());
    }
    let same = match (text(HeaderName::from_static("sec-fetch-site")), origin) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) == text(header::HOST),
        (None, None) => true,
    };
    if same {
        Ok(())
    } else {
        Err(ApiError::forbidden(
            "requests from other sites are refused; see `http.cors_origins`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sites_are_refused_and_programs_are_not() {
        let check = |method: &Method, pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
                .collect();
            check_origin(method, &headers, &["https://grafana.example".to_owned()]).is_ok()
        };
        for (method, headers, passes) in [
            (Method::POST, &[][..], true),
            (Method::POST, &[("sec-fetch-site", "same-origin")], true),
            (Method::POST, &[("sec-fetch-site", "none")], true),
            (Method::POST, &[("sec-fetch-site", "cross-site")], false),
            (Method::POST, &[("sec-fetch-site", "same-site")], false),
            (Method::GET, &[("sec-fetch-site", "cross-site")], true),
            (
                Method::DELETE,
                &[("origin", "http://localhost:8080"), ("host", "localhost:8080")],
                true,
            ),
            (
                Method::DELETE,
                &[("origin", "http://evil.example"), ("host", "localhost:8080")],
                false,
            ),
            (Method::POST, &[("origin", "null"), ("host", "localhost:8080")], false),
            (
                Method::POST,
                &[("origin", "https://grafana.example"), ("sec-fetch-site", "cross-site")],
                true,
            ),
            (
                Method::GET,
                &[
                    ("upgrade", "websocket"),
                    ("origin", "http://evil.example"),
                    ("host", "localhost"),
                ],
                false,
            ),
            (
                Method::GET,
                &[
                    ("upgrade", "websocket"),
                    ("origin", "http://localhost"),
                    ("host", "localhost"),
                ],
                true,
            ),
        ] {
            assert_eq!(check(&method, headers), passes, "{method} {headers:?}");
        }
    }
}
