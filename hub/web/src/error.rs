//! The contract's error answer: one JSON shape for every failure of every route.

use std::fmt;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use streamflow_model::Instant;

use crate::correlation;

/// What a handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

/// A failure as the caller sees it. What must not be seen is logged where it happens, never kept here.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    details: Map<String, Value>,
    retry_after_secs: Option<u64>,
}

/// The JSON of every error answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// Name of the kind of failure, for programs.
    #[schema(example = "ValidationError")]
    pub error: String,
    /// What is wrong, for people.
    pub message: String,
    /// More, by kind of failure.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
    /// When it was answered.
    pub timestamp: Instant,
    /// The request's id, as in the header `X-Correlation-Id` and in every log line.
    pub correlation_id: String,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            details: Map::new(),
            retry_after_secs: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: the request can be read, but its values are wrong.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: nobody is signed in, or the credentials are wrong.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403: the caller's role does not allow it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: it does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: it clashes with what exists.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 413: the body is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 415: the body is of a kind that the route does not read.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// 422: well formed, but not what the route takes.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 429, with the seconds after which it is worth trying again.
    #[must_use]
    pub fn too_many(retry_after_secs: u64) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again later");
        error.retry_after_secs = Some(retry_after_secs.max(1));
        error
    }

    /// 503, with the seconds after which it is worth trying again.
    #[must_use]
    pub fn unavailable(retry_after_secs: u64) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not available now; try again later");
        error.retry_after_secs = Some(retry_after_secs.max(1));
        error
    }

    /// 500. The cause goes to the log; the caller sees only the correlation id to ask about.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(error = %cause, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the log tells more under this correlation id",
        )
    }

    /// An answer that something else made in another shape, such as a refusal of axum's own.
    pub(crate) fn from_status(status: StatusCode, message: Option<String>) -> Self {
        let plain = || status.canonical_reason().unwrap_or("refused").to_ascii_lowercase();
        if status.is_server_error() {
            Self::new(status, plain())
        } else {
            Self::new(status, message.unwrap_or_else(plain))
        }
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds details: the fields of a JSON object, or any other value under `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        match details {
            Value::Object(fields) => self.details.extend(fields),
            other => drop(self.details.insert("details".to_owned(), other)),
        }
        self
    }

    /// HTTP status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Name of the kind of failure.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            405 => "MethodNotAllowed",
            409 => "Conflict",
            413 => "PayloadTooLarge",
            415 => "UnsupportedMediaType",
            429 => "TooManyRequests",
            503 => "Unavailable",
            400..500 => "ValidationError",
            _ => "InternalError",
        }
    }

    /// The body as it is answered.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.name().to_owned(),
            message: self.message.clone(),
            details: self.details.clone(),
            timestamp: Instant::now(),
            correlation_id: correlation::current(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
