//! The ready-made views over the metrics that come with the hub: trends, top sources, types, devices, windows.

mod shape;

use axum::extract::State;
use serde::Deserialize;
use streamflow_model::{
    Instant, Role,
    metric::{HOUR, MINUTE},
};
use streamflow_web::{ApiResult, Data, ErrorBody, Identity, Json, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::rollup::{
    History, LabelledSeries,
    builtin::{BY_DEVICE, BY_SEVERITY, BY_SOURCE, BY_TYPE, USERS, USERS_BY_DEVICE},
    routes::invalid,
};
use shape::{DeviceShare, SourceShare, Trend, TypeShare, WindowSummary};

/// Longest range of a view: a year.
const MAX_HOURS: i64 = 8784;
/// Most steps of an answer.
const MAX_STEPS: i64 = 11_000;

pub(crate) fn routes(history: History) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(event_trends))
        .routes(routes!(top_sources))
        .routes(routes!(event_types))
        .routes(routes!(user_distribution))
        .routes(routes!(windows))
        .with_state(history)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct TrendQuery {
    /// Hours back from now, 1 to 8784; 24 when absent.
    hours: Option<i64>,
    /// Minutes of a step, 1 to 1440; 60 when absent.
    interval_minutes: Option<i64>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct TopQuery {
    /// At most this many, 1 to 1000; 10 when absent.
    limit: Option<i64>,
    /// Hours back from now, 1 to 8784; 24 when absent.
    hours: Option<i64>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct RangeQuery {
    /// Hours back from now, 1 to 8784; 24 when absent.
    hours: Option<i64>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct WindowsQuery {
    /// The newest so many windows, 1 to 1000; 12 when absent.
    limit: Option<i64>,
}

fn within(field: &str, value: Option<i64>, default: i64, most: i64) -> ApiResult<i64> {
    match value.unwrap_or(default) {
        value if (1..=most).contains(&value) => Ok(value),
        _ => Err(invalid(field, format!("must be between 1 and {most}"))),
    }
}

/// The last hours, to the end of the present minute, so that what has just come is seen.
fn last(hours: Option<i64>) -> ApiResult<(i64, i64)> {
    let hours = within("hours", hours, 24, MAX_HOURS)?;
    let to = (Instant::now().0.div_euclid(MINUTE) + 1) * MINUTE;
    Ok((to - hours * HOUR, to))
}

/// Events by type in steps of time, oldest first
#[utoipa::path(get, path = "/api/v1/analytics/event-trends", tag = "metrics", params(TrendQuery),
    responses((status = 200, body = Data<Vec<Trend>>), (status = 400, body = ErrorBody)))]
async fn event_trends(
    State(history): State<History>,
    identity: Identity,
    Query(query): Query<TrendQuery>,
) -> ApiResult<Json<Data<Vec<Trend>>>> {
    identity.require(Role::Viewer)?;
    let step = within("interval_minutes", query.interval_minutes, 60, 1440)? * MINUTE;
    let (from, to) = last(query.hours)?;
    if (to - from) / step > MAX_STEPS {
        return Err(invalid(
            "interval_minutes",
            format!("makes more than {MAX_STEPS} steps; take a longer one"),
        ));
    }
    let types = steps(&history, BY_TYPE, from, to, step).await?;
    let data = shape::trends(&types, (from, to, step), history.complete_until());
    Ok(Json(Data { data }))
}

/// Sources by their number of events, most first
#[utoipa::path(get, path = "/api/v1/analytics/top-sources", tag = "metrics", params(TopQuery),
    responses((status = 200, body = Data<Vec<SourceShare>>), (status = 400, body = ErrorBody)))]
async fn top_sources(
    State(history): State<History>,
    identity: Identity,
    Query(query): Query<TopQuery>,
) -> ApiResult<Json<Data<Vec<SourceShare>>>> {
    identity.require(Role::Viewer)?;
    let limit = within("limit", query.limit, 10, 1000)?;
    let (from, to) = last(query.hours)?;
    let totals = totals(&history, BY_SOURCE, from, to).await?;
    let shares = shape::shares(totals)
        .into_iter()
        .take(usize::try_from(limit).unwrap_or(10));
    let data = shares.map(SourceShare::from).collect();
    Ok(Json(Data { data }))
}

/// Types by their number of events, most first
#[utoipa::path(get, path = "/api/v1/analytics/event-types", tag = "metrics", params(RangeQuery),
    responses((status = 200, body = Data<Vec<TypeShare>>), (status = 400, body = ErrorBody)))]
async fn event_types(
    State(history): State<History>,
    identity: Identity,
    Query(query): Query<RangeQuery>,
) -> ApiResult<Json<Data<Vec<TypeShare>>>> {
    identity.require(Role::Viewer)?;
    let (from, to) = last(query.hours)?;
    let shares = shape::shares(totals(&history, BY_TYPE, from, to).await?);
    let data = shares.into_iter().map(TypeShare::from).collect();
    Ok(Json(Data { data }))
}

/// Users and events by kind of device, from `data.user_agent`
#[utoipa::path(get, path = "/api/v1/analytics/user-distribution", tag = "metrics", params(RangeQuery),
    responses((status = 200, body = Data<Vec<DeviceShare>>), (status = 400, body = ErrorBody)))]
async fn user_distribution(
    State(history): State<History>,
    identity: Identity,
    Query(query): Query<RangeQuery>,
) -> ApiResult<Json<Data<Vec<DeviceShare>>>> {
    identity.require(Role::Viewer)?;
    let (from, to) = last(query.hours)?;
    let users = totals(&history, USERS_BY_DEVICE, from, to).await?;
    let events = totals(&history, BY_DEVICE, from, to).await?;
    Ok(Json(Data {
        data: shape::devices(users, events),
    }))
}

/// The newest windows of a fixed length, oldest first
#[utoipa::path(get, path = "/api/v1/analytics/windows/{size}", tag = "metrics",
    params(("size" = String, Path, description = "`1min`, `5min` or `1hour`"), WindowsQuery),
    responses((status = 200, body = Data<Vec<WindowSummary>>), (status = 400, body = ErrorBody)))]
async fn windows(
    State(history): State<History>,
    identity: Identity,
    Path(size): Path<String>,
    Query(query): Query<WindowsQuery>,
) -> ApiResult<Json<Data<Vec<WindowSummary>>>> {
    identity.require(Role::Viewer)?;
    let step = match size.as_str() {
        "1min" => MINUTE,
        "5min" => 5 * MINUTE,
        "1hour" => HOUR,
        _ => return Err(invalid("size", format!("`{size}` is not 1min, 5min or 1hour"))),
    };
    let limit = within("limit", query.limit, 12, 1000)?;
    let to = (Instant::now().0.div_euclid(step) + 1) * step;
    let from = to - limit * step;
    let types = steps(&history, BY_TYPE, from, to, step).await?;
    let severities = steps(&history, BY_SEVERITY, from, to, step).await?;
    let users = steps(&history, USERS, from, to, step).await?;
    let data = shape::windows(&types, &severities, &users, (from, to, step), history.complete_until());
    Ok(Json(Data { data }))
}

async fn steps(history: &History, name: &str, from: i64, to: i64, step: i64) -> ApiResult<Vec<LabelledSeries>> {
    let metric = history.catalog().get(name)?;
    Ok(history.steps(&metric, from, to, step).await?)
}

/// A metric's value of a whole range by its one label.
async fn totals(history: &History, name: &str, from: i64, to: i64) -> ApiResult<Vec<(String, u64)>> {
    let metric = history.catalog().get(name)?;
    let found = history.totals(&metric, from, to).await?;
    let one = |(labels, aggregate): (Vec<String>, _)| {
        (labels.into_iter().next().unwrap_or_default(), shape::whole(&aggregate))
    };
    Ok(found.into_iter().map(one).collect())
}
