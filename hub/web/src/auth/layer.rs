//! The layer in front of every route: no credentials, no entry, unless the route is on the open list.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::Auth;
use crate::{ApiError, ApiResult};

/// Routes that need no credentials; `/ack` asks for a signed link.
pub(crate) const OPEN: [&str; 7] = [
    "/ack",
    "/health",
    "/ready",
    "/metrics",
    "/auth/login",
    "/auth/refresh",
    "/api/openapi.json",
];

pub(crate) async fn identify(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> ApiResult<Response> {
    let open = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|path| OPEN.contains(&path.as_str()));
    let (mut parts, body) = request.into_parts();
    if !open {
        let bearer = bearer(&parts).ok_or_else(|| {
            ApiError::unauthorized("sign in first: POST /auth/login, then send `Authorization: Bearer <access_token>`")
        })?;
        let identity = auth.identify(&bearer).await?;
        parts.extensions.insert(identity);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Browsers cannot set headers on a WebSocket; only there may the token stand in the address, which logs may keep.
fn bearer(parts: &Parts) -> Option<String> {
    let header = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = header.and_then(|value| value.split_once(' ')) {
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    if !crate::guard::is_websocket(&parts.headers) {
        return None;
    }
    let query = parts.uri.query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .map(str::to_owned)
}
