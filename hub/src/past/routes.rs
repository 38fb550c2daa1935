//! `/api/v1/rules/…/backtest`, `/api/v1/rules/{id}/explain` and `/api/v1/alerts/{id}/explain`.

use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamflow_analytics::backtest::{self as engine, BacktestError};
use streamflow_model::{Instant, Role, Rule, RuleDraft, RuleError, RuleExplanation, RuleKind, Span};
use streamflow_plugin_host::{ChannelSender, RulePlugin};
use streamflow_storage::StoreError;
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Path, Query, parse_json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Past,
    backtest::{Asked, PagingAsked, Report},
    explain::{self, AlertExplanation},
    paging,
    watch::{self, Place, Run, Single},
};

/// Range when the caller names none.
pub(super) const DEFAULT_RANGE_MS: i64 = 86_400_000;
/// Fields of a saved rule that are no part of what a user writes.
const READ_ONLY: [&str; 5] = ["id", "version", "created_at", "updated_at", "provisioned"];

/// The routes.
pub fn routes(past: Past) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(backtest_draft))
        .routes(routes!(backtest_saved))
        .routes(routes!(paging::backtest_paging))
        .routes(routes!(explain_rule))
        .routes(routes!(explain_alert))
        .with_state(past)
}

/// Over which range.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = BacktestRange)]
pub(super) struct RangeBody {
    /// Event time from, inclusive; a day before `to` when absent.
    from: Option<Instant>,
    /// Event time to, exclusive; now when absent.
    to: Option<Instant>,
    /// Of a rule of kind `plugin`: the installed version to run, in place of the one that runs live.
    version: Option<String>,
    /// Whether to answer who would have been told, too.
    paging: bool,
    /// With `paging`: suppose that somebody acknowledges each alert so long after it was told of.
    acknowledge_after: Option<Span>,
}

/// A rule that need not be saved, and over which range.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BacktestDraft)]
pub(super) struct DraftBody {
    /// The rule as for `POST /api/v1/rules`.
    #[schema(value_type = RuleDraft)]
    rule: Map<String, Value>,
    /// Event time from, inclusive; a day before `to` when absent.
    #[serde(default)]
    from: Option<Instant>,
    /// Event time to, exclusive; now when absent.
    #[serde(default)]
    to: Option<Instant>,
    /// Of a rule of kind `plugin`: the installed version to run, in place of the one that runs live.
    #[serde(default)]
    version: Option<String>,
    /// Whether to answer who would have been told, too.
    #[serde(default)]
    paging: bool,
    /// With `paging`: suppose that somebody acknowledges each alert so long after it was told of.
    #[serde(default)]
    acknowledge_after: Option<Span>,
}

/// How much of the evidence is shown.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// At most so many events, 1 to 1000.
    limit: Option<usize>,
}

/// Runs a rule that need not be saved over stored events
///
/// The same engine as live, over the events in the range in the order of their time. Nobody is told. Windows that the range touches are judged as a whole.
/// A rule of kind `plugin` is decided by its plugin, in an instance of its own that begins without memory; `version` chooses one of the installed versions.
/// With `paging` it goes on through grouping, inhibition, silences, active hours, routes, escalation and on-call schedules as they are now, and answers who would
/// have been told how often and when, and what was held back.
/// With `Accept: application/x-ndjson` the answer is lines: `{"type":"progress",…}` now and then, last `{"type":"result",…}` with the fields below.
#[utoipa::path(post, path = "/api/v1/rules/backtest", tag = "rules", request_body = DraftBody,
    responses((status = 200, body = Report), (status = 400, description = "The rule or the range is wrong."),
        (status = 429, description = "As many backtests run as may.")))]
async fn backtest_draft(
    State(past): State<Past>,
    identity: Identity,
    headers: HeaderMap,
    Json(body): Json<DraftBody>,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    let mut fields = body.rule;
    fields.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    let bytes = serde_json::to_vec(&fields).map_err(ApiError::internal)?;
    let draft: RuleDraft = parse_json(&bytes)?;
    let range = RangeBody {
        from: body.from,
        to: body.to,
        version: body.version,
        paging: body.paging,
        acknowledge_after: body.acknowledge_after,
    };
    start(&past, &headers, engine::unsaved(draft), range).await
}

/// Runs a saved rule over stored events
///
/// As `POST /api/v1/rules/backtest`, with the rule as it is saved, enabled or not.
#[utoipa::path(post, path = "/api/v1/rules/{id}/backtest", tag = "rules", params(("id" = String, Path)), request_body = RangeBody,
    responses((status = 200, body = Report), (status = 400, description = "The range is wrong."),
        (status = 429, description = "As many backtests run as may.")))]
async fn backtest_saved(
    State(past): State<Past>,
    identity: Identity,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    let range: RangeBody = if body.is_empty() {
        RangeBody::default()
    } else {
        parse_json(&body)?
    };
    let rule = find(&past, &id)?;
    start(&past, &headers, rule, range).await
}

/// Says how a rule is evaluated
///
/// Which predicates run on columns, which need the interpreter and why, which let chunks be skipped, and when a window is judged.
#[utoipa::path(get, path = "/api/v1/rules/{id}/explain", tag = "rules", params(("id" = String, Path)),
    responses((status = 200, body = Data<RuleExplanation>)))]
async fn explain_rule(
    State(past): State<Past>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Data<RuleExplanation>>> {
    identity.require(Role::Viewer)?;
    let draft = find(&past, &id)?.draft;
    let explained = draft.explain().map_err(|errors| match errors.as_slice() {
        [only] if draft.kind == RuleKind::Plugin => {
            ApiError::validation(only.reason.clone()).with_details(json!({"field": only.field}))
        }
        _ => wrong(errors),
    })?;
    Ok(Json(Data { data: explained }))
}

/// Shows what an alert rests on
///
/// Replays the range behind it from the log: the values of its windows, and the events of its group, newest first.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/explain", tag = "alerts", params(("id" = String, Path), ExplainQuery),
    responses((status = 200, body = Data<AlertExplanation>), (status = 429, description = "As many backtests run as may.")))]
async fn explain_alert(
    State(past): State<Past>,
    identity: Identity,
    Path(id): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> ApiResult<Json<Data<AlertExplanation>>> {
    identity.require(Role::Viewer)?;
    let limit = streamflow_web::page::check_limit(query.limit)?;
    let alert = past.alerting.alert(past.store.as_ref(), &id).await?;
    let rule = past
        .alerting
        .rules()
        .iter()
        .find(|rule| rule.id == alert.rule_id)
        .cloned();
    let mut place = Place::take(&past)?;
    let plugin = match &rule {
        // One that is gone leaves at least the events.
        Some(rule) => plugin_of(&past, rule, None).await.unwrap_or_default(),
        None => None,
    };
    let explained = tokio::select! {
        explained = explain::alert(past.options.analytics, past.store.as_ref(), alert, rule, plugin, limit) => explained,
        () = past.stop.cancelled() => return Err(ApiError::unavailable(5)),
    };
    place.ended(explained.is_ok());
    let explained = explained.map_err(refused)?;
    past.meters.events.inc_by(explained.scanned.events);
    Ok(Json(Data { data: explained }))
}

async fn start(past: &Past, headers: &HeaderMap, rule: Rule, range: RangeBody) -> ApiResult<Response> {
    let to = range.to.unwrap_or_else(Instant::now);
    let from = range.from.unwrap_or(Instant(to.0.saturating_sub(DEFAULT_RANGE_MS)));
    rule.draft.compile().map_err(wrong)?;
    if from >= to {
        return Err(refused(BacktestError::Range));
    }
    let plugin = plugin_of(past, &rule, range.version.as_deref()).await?;
    let paging = if range.paging {
        Some(PagingAsked {
            setup: past.alerting.paging().await?,
            acknowledge_after: range.acknowledge_after,
        })
    } else {
        None
    };
    let asked = Asked { rule, from, to, plugin };
    let place = Place::take(past)?;
    watched(past, headers, place, Single { asked, paging }).await
}

/// As an answer, or as lines for those who want to watch.
pub(super) async fn watched(past: &Past, headers: &HeaderMap, place: Place, run: impl Run) -> ApiResult<Response> {
    if watch::wants_lines(headers) {
        return Ok(watch::lines(past, place, run));
    }
    watch::answer(past, place, run).await
}

/// The plugin of a rule of that kind, apart from the one that runs live: what it does here neither counts nor puts that one into quarantine.
pub(super) async fn plugin_of(past: &Past, rule: &Rule, version: Option<&str>) -> ApiResult<Option<RulePlugin>> {
    let unfit = |field: &str, reason: String| ApiError::validation(reason).with_details(json!({"field": field}));
    let Some(name) = rule
        .draft
        .plugin
        .as_deref()
        .filter(|_| rule.draft.kind == RuleKind::Plugin)
    else {
        return match version {
            Some(_) => Err(unfit(
                "version",
                format!("says nothing to a rule of kind `{}`", rule.draft.kind.name()),
            )),
            None => Ok(None),
        };
    };
    if version.is_none() {
        let problems = past.plugins.check_rule(name, &rule.draft.config).await;
        // That it does not run now is no hindrance.
        let own = problems.into_iter().filter(|problem| problem.field != "plugin");
        let errors: Vec<RuleError> = own
            .map(|problem| RuleError {
                field: problem.field,
                reason: problem.reason,
                line: None,
                column: None,
            })
            .collect();
        if !errors.is_empty() {
            return Err(wrong(errors));
        }
    }
    let field = if version.is_some() { "version" } else { "plugin" };
    let plugin = past.plugins.rule_apart(name, version).await;
    plugin.map(Some).map_err(|error| unfit(field, error.to_string()))
}

fn find(past: &Past, id: &str) -> ApiResult<Rule> {
    let rules = past.alerting.rules();
    let found = rules.iter().find(|rule| rule.id == id).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("there is no rule {id}")))
}

fn wrong(errors: Vec<RuleError>) -> ApiError {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    ApiError::validation(format!("the rule is wrong: {}", all.join("; "))).with_details(json!({"errors": errors}))
}

/// A failure as the caller sees it.
pub(super) fn refused(error: BacktestError) -> ApiError {
    match error {
        BacktestError::Rule(errors) => wrong(errors),
        BacktestError::Plugin(reason) => ApiError::validation(reason).with_details(json!({"field": "plugin"})),
        BacktestError::Range => ApiError::validation(error.to_string()).with_details(json!({"field": "from"})),
        BacktestError::Store(StoreError::Closed | StoreError::Full) => ApiError::unavailable(5),
        BacktestError::Store(error) => ApiError::internal(error),
    }
}
