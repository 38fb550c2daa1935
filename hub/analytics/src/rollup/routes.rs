//! `/api/v1/metrics`: declaring metrics, and reading what they have kept.

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use streamflow_model::{Instant, Metric, MetricDraft, Role, Span};
use streamflow_storage::StoreError;
use streamflow_web::{ApiError, ApiResult, Data, ErrorBody, Identity, Json, Page, PageQuery, Path, Query, parse_json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    builtin,
    catalog::{Catalog, CatalogError},
    history::{History, HistoryError, LabelledSeries},
    placement::{self, EdgeLink, Placed},
};

/// Fields of a metric that the hub writes. A `version` that is given must be the present one.
const READ_ONLY: [&str; 8] = [
    "id",
    "builtin",
    "series_id",
    "since",
    "version",
    "created_at",
    "updated_at",
    "placed",
];
/// Most points of one series.
const MAX_STEPS: i64 = 11_000;
/// Points of a series when the caller names no step.
const GOOD_STEPS: i64 = 1000;
const HOUR: i64 = streamflow_model::metric::HOUR;

#[derive(Clone)]
struct Rooms {
    catalog: Catalog,
    history: History,
    edge: EdgeLink,
}

/// A metric and where it is computed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ShownMetric {
    #[serde(flatten)]
    metric: Metric,
    /// Where it is computed now, and why.
    placed: Placed,
}

impl Rooms {
    /// All metrics, by id, with where they are computed but not for which agent.
    fn shown(&self) -> Vec<ShownMetric> {
        let all = self.catalog.all();
        let placed = placement::place(&all, &self.edge.agents());
        let shown = all.iter().zip(placed).map(|(metric, placed)| ShownMetric {
            metric: Metric::clone(metric),
            placed,
        });
        shown.collect()
    }

    /// One metric with everything.
    fn show(&self, metric: &Metric) -> ShownMetric {
        let found = self.shown().into_iter().find(|shown| shown.metric.id == metric.id);
        found.unwrap_or_else(|| {
            // It was removed this moment.
            let placed = placement::place(&[std::sync::Arc::new(metric.clone())], &[]);
            ShownMetric {
                metric: metric.clone(),
                placed: placed.into_iter().next().unwrap_or_else(Placed::nowhere),
            }
        })
    }
}

pub(super) fn routes(catalog: Catalog, history: History, edge: EdgeLink) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, remove))
        .routes(routes!(historical))
        .with_state(Rooms { catalog, history, edge })
}

/// Lists metrics by name: those that come with the hub, and those that were declared
#[utoipa::path(get, path = "/api/v1/metrics", tag = "metrics", params(PageQuery), responses((status = 200, body = Page<ShownMetric>)))]
async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<ShownMetric>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let after = query.cursor.unwrap_or_default();
    let all = rooms.shown().into_iter();
    let page = all.filter(|shown| shown.metric.id > after).take(limit + 1);
    let page = page.map(|mut shown| {
        shown.placed.agents.clear();
        shown
    });
    Ok(Json(Page::cut(page.collect(), limit, |shown: &ShownMetric| {
        shown.metric.id.clone()
    })))
}

/// Declares a metric
///
/// It is kept from now on. Values of the past can be asked of `GET /api/v1/aggregations`.
#[utoipa::path(post, path = "/api/v1/metrics", tag = "metrics", request_body = MetricDraft,
    responses(
        (status = 201, body = Data<ShownMetric>),
        (status = 400, body = ErrorBody, description = "Every mistake is named in `details.errors`."),
        (status = 409, body = ErrorBody, description = "The name is taken."),
    ))]
async fn create(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(draft): Json<MetricDraft>,
) -> ApiResult<impl IntoResponse> {
    identity.require(Role::Editor)?;
    check(&draft)?;
    let metric = rooms.catalog.create(draft, Instant::now()).await?;
    Ok((
        StatusCode::CREATED,
        Json(Data {
            data: rooms.show(&metric),
        }),
    ))
}

/// Reads a metric's declaration, and where it is computed for which agent
#[utoipa::path(get, path = "/api/v1/metrics/{name}", tag = "metrics", params(("name" = String, Path)),
    responses((status = 200, body = Data<ShownMetric>), (status = 404, body = ErrorBody)))]
async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<Json<Data<ShownMetric>>> {
    identity.require(Role::Viewer)?;
    let data = rooms.show(&*rooms.catalog.get(&name)?);
    Ok(Json(Data { data }))
}

/// Replaces a metric
///
/// Fields that are left out get their defaults. With `version`, it must be the present one. When it then asks something else, what was kept is removed and it
/// begins anew; another `window` of a minute or more and another description leave it alone.
#[utoipa::path(put, path = "/api/v1/metrics/{name}", tag = "metrics", params(("name" = String, Path)), request_body = MetricDraft,
    responses(
        (status = 200, body = Data<ShownMetric>),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It comes with the hub, or has changed."),
    ))]
async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Json(mut body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<ShownMetric>>> {
    identity.require(Role::Editor)?;
    let version = body.get("version").and_then(Value::as_i64);
    body.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    let draft: MetricDraft = parse_json(&serde_json::to_vec(&body).map_err(ApiError::internal)?)?;
    check(&draft)?;
    let metric = rooms.catalog.replace(&name, draft, version, Instant::now()).await?;
    let data = rooms.show(&metric);
    Ok(Json(Data { data }))
}

/// Removes a metric and what it has kept
#[utoipa::path(delete, path = "/api/v1/metrics/{name}", tag = "metrics", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn remove(State(rooms): State<Rooms>, identity: Identity, Path(name): Path<String>) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms.catalog.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which values of a metric to read.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct HistoricalQuery {
    /// Name of the metric; `events_by_type` when absent.
    metric: Option<String>,
    /// Event time from, inclusive: RFC 3339 or ms since 1970; `hours` before `to` when absent.
    from: Option<String>,
    /// Event time to, exclusive; now when absent.
    to: Option<String>,
    /// Length of the range when `from` is absent, 1 to 87600; 1 when absent.
    hours: Option<i64>,
    /// For example 1m, 1h or 1d, a multiple of the metric's smallest window; chosen by the length of the range when absent.
    step: Option<String>,
}

/// Values of one series over time.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct SeriesValues {
    /// Attributes and their values; all `other` for the series beyond the limit of a day.
    pub(crate) group: BTreeMap<String, String>,
    /// Begin of each step, its value, and whether all hosts have reported past its end.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub(crate) points: Vec<(i64, f64, bool)>,
}

/// A metric's values over time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Historical {
    /// Values by series; each point is `[begin of the step, value, whether all hosts have reported past its end]`.
    data: Vec<SeriesValues>,
    /// Name of the metric.
    metric: String,
    /// Length of a step, ms.
    step_ms: i64,
}

/// Values of a metric over time, from what was kept
///
/// Counts are zero where there were no events of a series that has some in the range; other aggregates have no point there.
#[utoipa::path(get, path = "/api/v1/metrics/historical", tag = "metrics", params(HistoricalQuery),
    responses((status = 200, body = Historical), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn historical(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<HistoricalQuery>,
) -> ApiResult<Json<Historical>> {
    identity.require(Role::Viewer)?;
    let metric = rooms.catalog.get(query.metric.as_deref().unwrap_or(builtin::BY_TYPE))?;
    let hours = query.hours.unwrap_or(1);
    if !(1..=87_600).contains(&hours) {
        return Err(invalid("hours", "must be between 1 and 87600"));
    }
    let time = |field: &str, text: &Option<String>, default: i64| match text.as_deref() {
        None | Some("") => Ok(default),
        Some(text) => Instant::parse(text)
            .map(|at| at.0)
            .ok_or_else(|| invalid(field, "is neither an RFC 3339 time nor ms since 1970")),
    };
    let to = time("to", &query.to, Instant::now().0)?;
    let from = time("from", &query.from, to.saturating_sub(hours * HOUR))?;
    let step = match query.step.as_deref() {
        None | Some("") => good_step(&metric, to.saturating_sub(from)),
        Some(text) => text.parse::<Span>().map_err(|e| invalid("step", e))?.ms(),
    };
    if step > 0 && to.saturating_sub(from) / step > MAX_STEPS {
        return Err(invalid(
            "step",
            format!("makes more than {MAX_STEPS} points; take a longer one"),
        ));
    }
    let series = rooms.history.steps(&metric, from, to, step).await?;
    let complete = rooms.history.complete_until();
    Ok(Json(Historical {
        data: points(&metric, &series, (from, to, step), complete),
        metric: metric.id.clone(),
        step_ms: step,
    }))
}

/// The metric's window, or a longer step when that makes too many points.
fn good_step(metric: &Metric, range: i64) -> i64 {
    const MINUTES: [i64; 9] = [1, 5, 15, 60, 180, 360, 720, 1440, 10_080];
    let window = metric.draft.window.ms();
    let longer = MINUTES.map(|minutes| minutes * 60_000);
    let candidates = std::iter::once(window).chain(longer.into_iter().filter(|step| step % window == 0));
    let mut last = window;
    for step in candidates {
        last = step;
        if range / step <= GOOD_STEPS {
            break;
        }
    }
    last
}

/// Values of series over a range, with zeros for counts.
pub(crate) fn points(
    metric: &Metric,
    series: &[LabelledSeries],
    (from, to, step): (i64, i64, i64),
    complete_until: i64,
) -> Vec<SeriesValues> {
    let names = metric.draft.label_names();
    let counts = ["count(", "rate("]
        .iter()
        .any(|name| metric.draft.aggregate.trim_start().starts_with(name));
    let first = from.div_euclid(step) * step;
    let starts = || std::iter::successors(Some(first), |at| at.checked_add(step)).take_while(|at| *at < to);
    let of = |series: &LabelledSeries| {
        let known: BTreeMap<i64, f64> = series
            .steps
            .iter()
            .filter_map(|(start, aggregate)| Some((*start, aggregate.value(step)?)))
            .collect();
        let value = |start: i64| {
            let value = known.get(&start).copied().or_else(|| counts.then_some(0.0))?;
            Some((start, value, start.saturating_add(step) <= complete_until))
        };
        SeriesValues {
            group: names.iter().cloned().zip(series.labels.iter().cloned()).collect(),
            points: starts().filter_map(value).collect(),
        }
    };
    series.iter().map(of).collect()
}

/// Everything that is wrong with a metric, at once.
fn check(draft: &MetricDraft) -> ApiResult<()> {
    let Err(errors) = draft.compile() else { return Ok(()) };
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(ApiError::validation(format!("the metric is wrong: {}", all.join("; ")))
        .with_details(json!({"errors": errors})))
}

pub(crate) fn invalid(field: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("`{field}`: {reason}")).with_details(json!({"field": field}))
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Taken(_) | CatalogError::Builtin(_) | CatalogError::Changed { .. } => {
                Self::conflict(error.to_string())
            }
            CatalogError::Unknown(_) => Self::not_found(error.to_string()),
            CatalogError::Renamed { .. } => invalid("name", error),
            CatalogError::TooMany(_) => Self::unprocessable(error.to_string()),
            CatalogError::Store(StoreError::Full | StoreError::Closed) => Self::unavailable(5),
            CatalogError::Store(error) => error.into(),
        }
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Range => invalid("from", error),
            HistoryError::Step(_) => invalid("step", error),
            HistoryError::Metric(error) => error.into(),
            HistoryError::Store(error) => error.into(),
        }
    }
}
