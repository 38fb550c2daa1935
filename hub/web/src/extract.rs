//! Extractors that refuse in the contract's error format.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{error::Category, json};

use crate::{ApiError, ApiResult};

/// A JSON body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// The query string.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// Parameters of the path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        if !is_json(request.headers()) {
            return Err(ApiError::unsupported(
                "the body must be JSON; send `Content-Type: application/json`",
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(refused_body)?;
        parse_json(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Reads JSON the way [`Json`] does, for routes that read their body themselves.
///
/// # Errors
/// 400 with line and column when it is not JSON, 422 with the field's path when it is not what `T` takes.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let field = e.path().to_string();
        refused_json(&e.into_inner(), &field)
    })?;
    reader.end().map_err(|e| refused_json(&e, "."))?;
    Ok(value)
}

fn refused_json(error: &serde_json::Error, field: &str) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    if error.classify() == Category::Data {
        let details = json!({"field": field, "reason": reason, "line": line, "column": column});
        let place = if field == "." {
            String::new()
        } else {
            format!("`{field}`: ")
        };
        ApiError::unprocessable(format!("{place}{reason}")).with_details(details)
    } else {
        ApiError::bad_request(format!("not valid JSON: {reason} at line {line}, column {column}"))
            .with_details(json!({"line": line, "column": column}))
    }
}

fn refused_body(rejection: BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("the body is larger than this route accepts"),
        _ => ApiError::bad_request("the body could not be read to its end"),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|q| Self(q.0)).map_err(|e| refused("query", e.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|p| Self(p.0)).map_err(|e| refused("path", e.body_text()))
    }
}

/// axum's text is `Failed to deserialize query string: limit: invalid digit …`; what follows the prefix helps people.
fn refused(place: &str, text: String) -> ApiError {
    let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
    let field = reason.split_once(": ").map(|(field, _)| field);
    ApiError::bad_request(format!("{place}: {reason}")).with_details(json!({"in": place, "field": field}))
}
