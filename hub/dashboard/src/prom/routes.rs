//! `/prometheus/api/v1/…`, as Grafana asks it.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use promql_parser::parser::{Expr, MatrixSelector};
use serde_json::{Value as Json, json};
use streamflow_model::{Instant, Role, Span, metric::DAY};
use streamflow_web::{ApiResult, ErrorBody, Identity, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    eval::Evaluator,
    labels::{Labels, NAME},
    plan::{Plan, QueryError, Times, Wanted},
    samples::{self, Range},
    source::Source,
    wire::{self, Failure, Success},
};

/// Most points of a series of an answer.
const MAX_POINTS: i64 = 11_000;
/// Range of the lists of labels when the caller names none, ms.
const DEFAULT_RANGE: i64 = 3_600_000;

pub(crate) fn routes(source: Source) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(query, query_form))
        .routes(routes!(query_range, query_range_form))
        .routes(routes!(labels, labels_form))
        .routes(routes!(label_values))
        .routes(routes!(series, series_form))
        .routes(routes!(metadata))
        .routes(routes!(buildinfo))
        .with_state(source)
}

/// Parameters of a request: of its address, and of a form that was posted.
#[derive(Debug)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn with_form(mut pairs: Vec<(String, String)>, form: &Bytes) -> Self {
        let form = url::form_urlencoded::parse(form);
        pairs.extend(form.map(|(name, value)| (name.into_owned(), value.into_owned())));
        Self(pairs)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> Result<&str, QueryError> {
        self.get(name)
            .ok_or_else(|| QueryError::Bad(format!("invalid parameter \"{name}\": is required")))
    }

    fn time(&self, name: &str) -> Result<Option<i64>, QueryError> {
        let wrong = |text: &str| {
            QueryError::Bad(format!(
                "invalid parameter \"{name}\": cannot parse \"{text}\" to a valid timestamp"
            ))
        };
        self.get(name)
            .map(|text| time(text).ok_or_else(|| wrong(text)))
            .transpose()
    }

    fn limit(&self) -> Result<usize, QueryError> {
        let wrong =
            || QueryError::Bad("invalid parameter \"limit\": must be a whole number, zero for no limit".to_owned());
        match self.get("limit").map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(usize::MAX),
            Some(limit) => limit.map_err(|_| wrong()),
        }
    }

    /// The selectors of `match[]`; empty when there are none.
    fn selectors(&self) -> Result<Vec<Wanted>, QueryError> {
        let texts = self.0.iter().filter(|(name, _)| name == "match[]");
        texts.map(|(_, text)| selector(text)).collect()
    }

    fn range(&self, now: i64) -> Result<Range, QueryError> {
        let to = self.time("end")?.unwrap_or(now);
        let from = self.time("start")?.unwrap_or(to.saturating_sub(DEFAULT_RANGE));
        if from > to {
            return Err(QueryError::Bad(
                "invalid parameter \"end\": must not be before \"start\"".to_owned(),
            ));
        }
        // Long lists of the past would read all of the log.
        Ok(Range {
            from: from.max(to.saturating_sub(DAY)).saturating_sub(1),
            to,
        })
    }
}

/// Seconds since 1970, perhaps with a fraction, or RFC 3339.
fn time(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        Ok(seconds) => (seconds.abs() < 1e13).then(|| (seconds * 1000.0).round() as i64),
        Err(_) => Instant::parse(text).map(|at| at.0),
    }
}

/// Seconds, perhaps with a fraction, or a length of time such as `15s`.
fn length(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        Ok(seconds) => (seconds.abs() < 1e13).then(|| (seconds * 1000.0).round() as i64),
        Err(_) => text.parse::<Span>().ok().map(Span::ms),
    }
}

fn selector(text: &str) -> Result<Wanted, QueryError> {
    let wrong = |reason: String| QueryError::Bad(format!("invalid parameter \"match[]\": {reason}"));
    match promql_parser::parser::parse(text).map_err(wrong)? {
        Expr::VectorSelector(selector) | Expr::MatrixSelector(MatrixSelector { vs: selector, .. }) => {
            Ok(Wanted::of(&selector))
        }
        _ => Err(QueryError::Bad(format!(
            "invalid parameter \"match[]\": `{text}` is not a selector"
        ))),
    }
}

fn answer(result: Result<Json, QueryError>) -> ApiResult<Response> {
    Ok(match result {
        Ok(data) => Success::new(data).into_response(),
        Err(error) => error.into_response(),
    })
}

type Pairs = Query<Vec<(String, String)>>;

/// PromQL at one point in time
#[utoipa::path(get, path = "/prometheus/api/v1/query", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("time" = Option<String>, Query, description = "Seconds since 1970 or RFC 3339; now when absent"),
        ("timeout" = Option<String>, Query, description = "Taken and not used"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody),
        (status = 422, body = Failure, description = "It cannot be computed")))]
async fn query(State(source): State<Source>, identity: Identity, Query(pairs): Pairs) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(instant(&source, &Parameters(pairs)).await)
}

/// PromQL at one point in time, with the parameters as a form
#[utoipa::path(post, path = "/prometheus/api/v1/query", tag = "prometheus",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody),
        (status = 422, body = Failure, description = "It cannot be computed")))]
async fn query_form(
    State(source): State<Source>,
    identity: Identity,
    Query(pairs): Pairs,
    form: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(instant(&source, &Parameters::with_form(pairs, &form)).await)
}

async fn instant(source: &Source, parameters: &Parameters) -> Result<Json, QueryError> {
    let now = Instant::now().0;
    let at = parameters.time("time")?.unwrap_or(now);
    let plan = Plan::new(parameters.need("query")?, Times::at(at))?;
    evaluate(source, plan, now, move |evaluator| {
        Ok(wire::instant(evaluator.instant()?, at))
    })
    .await
}

/// Loads what a plan needs, and computes on a thread where that may take its time.
pub(super) async fn evaluate<T: Send + 'static>(
    source: &Source,
    plan: Plan,
    now: i64,
    work: impl FnOnce(Evaluator<'_>) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let mut data = Vec::with_capacity(plan.needs.len());
    for need in &plan.needs {
        let range = Range {
            from: need.from,
            to: need.to,
        };
        data.push(source.series(&need.wanted, range, now).await?);
    }
    let task = tokio::task::spawn_blocking(move || work(Evaluator::new(&plan, data)));
    task.await.map_err(|error| QueryError::Internal(error.to_string()))?
}

/// PromQL over a range of time
#[utoipa::path(get, path = "/prometheus/api/v1/query_range", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("start" = String, Query, description = "Seconds since 1970 or RFC 3339"),
        ("end" = String, Query, description = "The same"),
        ("step" = String, Query, description = "Seconds, or a length of time such as 15s"),
        ("timeout" = Option<String>, Query, description = "Taken and not used"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody),
        (status = 422, body = Failure, description = "It cannot be computed")))]
async fn query_range(State(source): State<Source>, identity: Identity, Query(pairs): Pairs) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(range(&source, &Parameters(pairs)).await)
}

/// PromQL over a range of time, with the parameters as a form
#[utoipa::path(post, path = "/prometheus/api/v1/query_range", tag = "prometheus",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody),
        (status = 422, body = Failure, description = "It cannot be computed")))]
async fn query_range_form(
    State(source): State<Source>,
    identity: Identity,
    Query(pairs): Pairs,
    form: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(range(&source, &Parameters::with_form(pairs, &form)).await)
}

async fn range(source: &Source, parameters: &Parameters) -> Result<Json, QueryError> {
    let bad = |text: &str| QueryError::Bad(text.to_owned());
    parameters.need("start")?;
    parameters.need("end")?;
    let (start, end) = (
        parameters.time("start")?.unwrap_or_default(),
        parameters.time("end")?.unwrap_or_default(),
    );
    let step = length(parameters.need("step")?)
        .ok_or_else(|| bad("invalid parameter \"step\": cannot parse it to a length of time"))?;
    if step <= 0 {
        return Err(bad(
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end < start {
        return Err(bad(
            "invalid parameter \"end\": end timestamp must not be before start time",
        ));
    }
    if (end - start) / step > MAX_POINTS {
        return Err(bad(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let plan = Plan::new(parameters.need("query")?, Times { start, end, step })?;
    evaluate(source, plan, Instant::now().0, |evaluator| {
        Ok(wire::matrix(evaluator.range_query()?))
    })
    .await
}

/// Label sets that match, in the asked range.
async fn found(source: &Source, parameters: &Parameters) -> Result<BTreeSet<Labels>, QueryError> {
    let now = Instant::now().0;
    let range = parameters.range(now)?;
    let mut selectors = parameters.selectors()?;
    if selectors.is_empty() {
        selectors.push(Wanted::default());
    }
    let mut all = BTreeSet::new();
    for wanted in selectors {
        all.extend(
            source
                .series(&wanted, range, now)
                .await?
                .into_iter()
                .map(|series| series.labels),
        );
    }
    Ok(all)
}

/// Names of labels
///
/// Of a range longer than a day its last day is read; without a range it is the last hour.
#[utoipa::path(get, path = "/prometheus/api/v1/labels", tag = "prometheus",
    params(
        ("start" = Option<String>, Query, description = "Seconds since 1970 or RFC 3339"),
        ("end" = Option<String>, Query, description = "The same"),
        ("match[]" = Option<String>, Query, description = "A selector; may be given several times"),
        ("limit" = Option<String>, Query, description = "At most this many"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn labels(State(source): State<Source>, identity: Identity, Query(pairs): Pairs) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(label_names(&source, &Parameters(pairs)).await)
}

/// Names of labels, with the parameters as a form
#[utoipa::path(post, path = "/prometheus/api/v1/labels", tag = "prometheus",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn labels_form(
    State(source): State<Source>,
    identity: Identity,
    Query(pairs): Pairs,
    form: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(label_names(&source, &Parameters::with_form(pairs, &form)).await)
}

/// Values of a label
#[utoipa::path(get, path = "/prometheus/api/v1/label/{name}/values", tag = "prometheus",
    params(
        ("name" = String, Path, description = "Name of the label"),
        ("start" = Option<String>, Query, description = "Seconds since 1970 or RFC 3339"),
        ("end" = Option<String>, Query, description = "The same"),
        ("match[]" = Option<String>, Query, description = "A selector; may be given several times"),
        ("limit" = Option<String>, Query, description = "At most this many"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn label_values(
    State(source): State<Source>,
    identity: Identity,
    Path(name): Path<String>,
    Query(pairs): Pairs,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(values_of(&source, &Parameters(pairs), &name).await)
}

async fn values_of(source: &Source, parameters: &Parameters, name: &str) -> Result<Json, QueryError> {
    let limit = parameters.limit()?;
    let all = found(source, parameters).await?;
    let values: BTreeSet<String> = all.into_iter().filter_map(|mut labels| labels.remove(name)).collect();
    Ok(json!(values.into_iter().take(limit).collect::<Vec<_>>()))
}

async fn label_names(source: &Source, parameters: &Parameters) -> Result<Json, QueryError> {
    let limit = parameters.limit()?;
    let all = found(source, parameters).await?;
    let names: BTreeSet<String> = all.into_iter().flat_map(BTreeMap::into_keys).collect();
    Ok(json!(names.into_iter().take(limit).collect::<Vec<_>>()))
}

async fn label_sets(source: &Source, parameters: &Parameters) -> Result<Json, QueryError> {
    if parameters.selectors()?.is_empty() {
        return Err(QueryError::Bad("no match[] parameter provided".to_owned()));
    }
    let limit = parameters.limit()?;
    let all = found(source, parameters).await?;
    Ok(json!(all.into_iter().take(limit).collect::<Vec<_>>()))
}

/// Label sets of series
#[utoipa::path(get, path = "/prometheus/api/v1/series", tag = "prometheus",
    params(
        ("match[]" = String, Query, description = "A selector; may be given several times"),
        ("start" = Option<String>, Query, description = "Seconds since 1970 or RFC 3339"),
        ("end" = Option<String>, Query, description = "The same"),
        ("limit" = Option<String>, Query, description = "At most this many"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn series(State(source): State<Source>, identity: Identity, Query(pairs): Pairs) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(label_sets(&source, &Parameters(pairs)).await)
}

/// Label sets of series, with the parameters as a form
#[utoipa::path(post, path = "/prometheus/api/v1/series", tag = "prometheus",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn series_form(
    State(source): State<Source>,
    identity: Identity,
    Query(pairs): Pairs,
    form: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(label_sets(&source, &Parameters::with_form(pairs, &form)).await)
}

/// Kind and description of metrics
#[utoipa::path(get, path = "/prometheus/api/v1/metadata", tag = "prometheus",
    params(
        ("metric" = Option<String>, Query, description = "Only this one"),
        ("limit" = Option<String>, Query, description = "At most this many"),
    ),
    responses((status = 200, body = Success), (status = 400, body = Failure), (status = 401, body = ErrorBody)))]
async fn metadata(State(source): State<Source>, identity: Identity, Query(pairs): Pairs) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    answer(kinds(&source, &Parameters(pairs)).await)
}

async fn kinds(source: &Source, parameters: &Parameters) -> Result<Json, QueryError> {
    let limit = parameters.limit()?;
    let one = |kind: &str, help: &str| json!([{"type": kind, "help": help, "unit": ""}]);
    let mut all: BTreeMap<String, Json> = BTreeMap::new();
    for metric in source.history.catalog().all().iter() {
        let help = match metric.draft.description.as_str() {
            "" => format!("{} where {}", metric.draft.aggregate, metric.draft.matches),
            text => text.to_owned(),
        };
        if let Some(counter) = samples::counter_name(metric) {
            all.insert(counter, one("counter", &help));
        }
        all.insert(metric.id.clone(), one("gauge", &help));
    }
    let now = Instant::now().0;
    let events = source.series(&Wanted::default(), parameters.range(now)?, now).await?;
    for name in events.into_iter().filter_map(|mut series| series.labels.remove(NAME)) {
        all.entry(name).or_insert_with(|| one("gauge", "Reported by agents"));
    }
    let wanted = parameters.get("metric");
    let chosen = all
        .into_iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
    Ok(json!(chosen.take(limit).collect::<BTreeMap<_, _>>()))
}

/// What answers here; Grafana chooses its features by it
#[utoipa::path(get, path = "/prometheus/api/v1/status/buildinfo", tag = "prometheus",
    responses((status = 200, body = Success), (status = 401, body = ErrorBody)))]
async fn buildinfo(identity: Identity) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    // The version whose PromQL this follows; `application` says who answers.
    answer(Ok(json!({
        "version": "3.0.0", "revision": env!("CARGO_PKG_VERSION"), "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        "application": "StreamFlow", "features": {},
    })))
}
