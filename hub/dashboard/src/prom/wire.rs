//! Answers in the format of Prometheus' HTTP API.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value as Json, json};
use streamflow_web::ApiError;

use super::{
    eval::Value,
    labels::{Point, Series},
    plan::QueryError,
};

/// A good answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Success {
    /// `success`.
    #[schema(example = "success")]
    status: &'static str,
    /// As Prometheus answers this request.
    #[schema(value_type = serde_json::Value)]
    data: Json,
}

/// A refusal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Failure {
    /// `error`.
    #[schema(example = "error")]
    status: &'static str,
    /// `bad_data`, `execution` or `internal`.
    #[serde(rename = "errorType")]
    error_type: &'static str,
    /// What is wrong.
    error: String,
    /// The same, as in the hub's other answers.
    message: String,
    /// Stands in the hub's log lines of this request.
    correlation_id: String,
}

impl Success {
    pub(super) const fn new(data: Json) -> Self {
        Self {
            status: "success",
            data,
        }
    }
}

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        let (status, error_type) = match &self {
            Self::Bad(_) => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Execution(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Self::Internal(reason) => {
                tracing::error!(reason, "a query failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let text = match self {
            Self::Internal(_) => "the hub could not answer; its log says why".to_owned(),
            other => other.to_string(),
        };
        let failure = Failure {
            status: "error",
            error_type,
            error: text.clone(),
            message: text,
            correlation_id: ApiError::bad_request("").body().correlation_id,
        };
        (status, axum::Json(failure)).into_response()
    }
}

/// The value of an instant query.
pub(super) fn instant(value: Value, at: i64) -> Json {
    match value {
        Value::Scalar(number) => json!({"resultType": "scalar", "result": sample(at, number)}),
        Value::Text(text) => json!({"resultType": "string", "result": [seconds(at), text]}),
        Value::Vector(points) => {
            let one = |point: Point| json!({"metric": point.labels, "value": sample(at, point.value)});
            json!({"resultType": "vector", "result": points.into_iter().map(one).collect::<Vec<_>>()})
        }
        Value::Matrix(series) => matrix(series),
    }
}

/// Series over time.
pub(super) fn matrix(series: Vec<Series>) -> Json {
    let one = |series: Series| {
        let values: Vec<Json> = series
            .samples
            .into_iter()
            .map(|(at, value)| sample(at, value))
            .collect();
        json!({"metric": series.labels, "values": values})
    };
    json!({"resultType": "matrix", "result": series.into_iter().map(one).collect::<Vec<_>>()})
}

fn sample(at: i64, value: f64) -> Json {
    json!([seconds(at), number(value)])
}

#[expect(clippy::cast_precision_loss, reason = "times in ms stay far below 2^53")]
fn seconds(at: i64) -> Json {
    if at % 1000 == 0 {
        json!(at / 1000)
    } else {
        json!(at as f64 / 1000.0)
    }
}

/// A value as Prometheus writes it: all digits, never an exponent.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    } else {
        value.to_string()
    }
}
