//! `GET /api/v1/metrics/realtime` and `GET /api/v1/aggregations`.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use streamflow_model::{Instant, Role, Rule, Span};
use streamflow_proto::{aggregate::AggregateSpec, filter::Filter, path::Path};
use streamflow_storage::{StoreError, store::Store};
use streamflow_web::{ApiError, ApiResult, Data, ErrorBody, Identity, Path as UrlPath, Query};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AnalyticsHandle,
    aggregation::{AggregationError, AggregationQuery, GroupSeries},
    engine::{EngineStatus, RuleStatus},
    realtime::Snapshot,
};

/// Range when the caller names none.
const DEFAULT_RANGE_MS: i64 = 3_600_000;
/// Step when the caller names none.
const DEFAULT_STEP_MS: i64 = 60_000;
/// Most attributes to group by.
const MAX_GROUP_BY: usize = 8;

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: AnalyticsHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) max_groups: usize,
    pub(crate) rules: watch::Receiver<Arc<Vec<Rule>>>,
}

pub(crate) fn routes(context: Context) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(realtime))
        .routes(routes!(aggregations))
        .routes(routes!(status))
        .routes(routes!(rule_status))
        .routes(routes!(crate::band::band))
        .with_state(context)
}

/// Live rates and host metrics of the last five minutes
#[utoipa::path(
    get, path = "/api/v1/metrics/realtime", tag = "metrics",
    responses((status = 200, body = Data<Snapshot>), (status = 401, body = ErrorBody)),
)]
async fn realtime(identity: Identity, State(context): State<Context>) -> ApiResult<axum::Json<Data<Snapshot>>> {
    identity.require(Role::Viewer)?;
    Ok(Data::json(context.handle.snapshot()))
}

/// How far analytics is: its watermark, each agent's progress, and events that came too late
#[utoipa::path(
    get, path = "/api/v1/analytics/status", tag = "rules",
    responses((status = 200, body = Data<AnalyticsStatus>), (status = 401, body = ErrorBody)),
)]
async fn status(identity: Identity, State(context): State<Context>) -> ApiResult<axum::Json<Data<AnalyticsStatus>>> {
    identity.require(Role::Viewer)?;
    let late = context.handle.late().into_iter().map(|late| LateEvents {
        agent: late.agent,
        source: late.source,
        events: late.events,
    });
    Ok(Data::json(AnalyticsStatus {
        engine: EngineStatus::clone(&context.handle.status()),
        late: late.collect(),
    }))
}

/// How a rule does in the engine since the hub started: its groups, late events, corrections, and which attribute made its groups too many
#[utoipa::path(
    get, path = "/api/v1/rules/{id}/status", tag = "rules", params(("id" = String, Path)),
    responses((status = 200, body = Data<RuleStatus>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
)]
async fn rule_status(
    identity: Identity,
    State(context): State<Context>,
    UrlPath(id): UrlPath<String>,
) -> ApiResult<axum::Json<Data<RuleStatus>>> {
    identity.require(Role::Viewer)?;
    let status = context.handle.status();
    let rule = status.rules.iter().find(|rule| rule.rule_id == id);
    rule.cloned()
        .map(Data::json)
        .ok_or_else(|| ApiError::not_found("no enabled rule has this id"))
}

/// How far analytics is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AnalyticsStatus {
    #[serde(flatten)]
    engine: EngineStatus,
    /// Events that came too late for every window of theirs of some rule, since the hub started.
    late: Vec<LateEvents>,
}

/// Events that came too late.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LateEvents {
    /// Who sent them.
    agent: String,
    /// Their source; `other` beyond a thousand.
    source: String,
    /// How many.
    events: u64,
}

/// An aggregate of stored events by group and step of time
///
/// Each point is `[begin of the step, value, whether all hosts have reported past its end]`. Counts are zero where there were no events; other aggregates have no
/// point there, and a group without any point is left out. Groups beyond the limit are summed up in the group `other`.
#[utoipa::path(
    get, path = "/api/v1/aggregations", tag = "metrics",
    params(
        ("aggregate" = String, Query, description = "For example count(), p99(data.ms) or distinct(user_id)"),
        ("match" = Option<String>, Query, description = "CEL over the event: which events count"),
        ("group_by" = Option<String>, Query, description = "Attributes, separated by commas"),
        ("from" = Option<String>, Query, description = "Event time from, inclusive: RFC 3339 or ms since 1970; an hour before `to` when absent"),
        ("to" = Option<String>, Query, description = "Event time to, exclusive; now when absent"),
        ("step" = Option<String>, Query, description = "For example 10s, 1m or 1h; 1m when absent"),
    ),
    responses(
        (status = 200, body = Data<Vec<GroupSeries>>),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "More points than an answer may have"),
    ),
)]
async fn aggregations(
    identity: Identity,
    State(context): State<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> ApiResult<axum::Json<Data<Vec<GroupSeries>>>> {
    identity.require(Role::Viewer)?;
    let query = read(&pairs, Instant::now().0)?;
    let series = query
        .run(&*context.store, context.max_groups, context.handle.complete_until())
        .await;
    Ok(Data::json(series.map_err(refused)?))
}

/// Why there is no series.
pub(crate) fn refused(error: AggregationError) -> ApiError {
    match &error {
        AggregationError::Range => invalid("from", error.to_string()),
        AggregationError::Step => invalid("step", error.to_string()),
        AggregationError::TooManySteps { .. } => {
            ApiError::unprocessable(error.to_string()).with_details(json!({"field": "step"}))
        }
        AggregationError::Store(StoreError::Full | StoreError::Closed) => ApiError::unavailable(5),
        AggregationError::Store(_) | AggregationError::Decode(_) => ApiError::internal(error),
    }
}

fn invalid(field: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("`{field}`: {reason}")).with_details(json!({"field": field}))
}

fn read(pairs: &[(String, String)], now: i64) -> ApiResult<AggregationQuery> {
    const KNOWN: [&str; 6] = ["aggregate", "match", "group_by", "from", "to", "step"];
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(invalid(name, format!("is unknown; use {}", KNOWN.join(", "))));
    }
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let time = |name: &str, default: i64| match value(name) {
        None => Ok(default),
        Some(text) => Instant::parse(text)
            .map(|at| at.0)
            .ok_or_else(|| invalid(name, "is neither an RFC 3339 time nor ms since 1970")),
    };
    let aggregate =
        value("aggregate").ok_or_else(|| invalid("aggregate", "is required, for example count() or p99(data.ms)"))?;
    let spec = AggregateSpec::parse(aggregate).map_err(|e| invalid("aggregate", e))?;
    let filter = Filter::compile(value("match").unwrap_or("true")).map_err(|e| {
        ApiError::validation(format!("`match`: {e}"))
            .with_details(json!({"field": "match", "line": e.line, "column": e.column}))
    })?;
    let names = pairs
        .iter()
        .filter(|(name, _)| name == "group_by")
        .flat_map(|(_, list)| list.split(','))
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let group_by = names
        .map(|text| Path::parse(text).map_err(|e| invalid("group_by", format!("`{text}`: {e}"))))
        .collect::<ApiResult<Vec<Path>>>()?;
    if group_by.len() > MAX_GROUP_BY {
        return Err(invalid("group_by", format!("at most {MAX_GROUP_BY} attributes")));
    }
    let to = time("to", now)?;
    let from = time("from", to.saturating_sub(DEFAULT_RANGE_MS))?;
    let step = match value("step") {
        None => DEFAULT_STEP_MS,
        Some(text) => text.parse::<Span>().map_err(|e| invalid("step", e))?.ms(),
    };
    Ok(AggregationQuery {
        spec,
        filter: Arc::new(filter),
        group_by,
        only: None,
        from,
        to,
        step,
    })
}
