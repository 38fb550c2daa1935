//! `GET /api/v1/rules/{id}/band`: a stored series with the band that an anomaly rule draws around it.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use serde_json::json;
use streamflow_model::{Instant, Role, Rule};
use streamflow_web::{ApiError, ApiResult, Data, ErrorBody, Identity, Path, Query};

use crate::{
    aggregation::{AggregationQuery, MAX_POINTS, MAX_SKETCHES},
    anomaly::{
        review,
        series::{self, Band},
    },
    routes::{Context, refused},
};

/// Range when the caller names none.
const DEFAULT_RANGE_MS: i64 = 3_600_000;

/// The band of normal values around what an anomaly rule computes
///
/// Computed from the stored events, as far back before `from` as the rule remembers. A rule with `group_by` needs `labels`. Bounds are `null` while it learns.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}/band", tag = "rules",
    params(
        ("id" = String, Path),
        ("from" = Option<String>, Query, description = "Event time from, inclusive: RFC 3339 or ms since 1970; an hour before `to` when absent"),
        ("to" = Option<String>, Query, description = "Event time to, exclusive; now when absent"),
        ("labels" = Option<String>, Query, description = "The group, as a JSON object: {\"source\":\"web-1\"}"),
    ),
    responses(
        (status = 200, body = Data<Band>),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "Not an anomaly rule, no such group, or more points than an answer may have"),
    ),
)]
pub(crate) async fn band(
    identity: Identity,
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(pairs): Query<BTreeMap<String, String>>,
) -> ApiResult<axum::Json<Data<Band>>> {
    identity.require(Role::Viewer)?;
    let rules = context.rules.borrow().clone();
    let rule = rules.iter().find(|rule| rule.id == id);
    let rule = rule.ok_or_else(|| ApiError::not_found(format!("there is no rule {id}")))?;
    let asked = read(rule, &pairs, Instant::now().0)?;
    let complete_until = context.handle.complete_until();
    let answer = asked.query.run(&*context.store, 1, complete_until).await;
    let values = answer.map_err(refused)?.into_iter().next();
    let values = values.map(|series| series.points).unwrap_or_default();
    Ok(Data::json(Band {
        labels: asked.labels,
        window_ms: asked.query.step,
        points: series::draw(&asked.frame, &values, asked.from),
    }))
}

struct Asked {
    query: AggregationQuery,
    frame: crate::anomaly::model::Frame,
    labels: BTreeMap<String, String>,
    from: i64,
}

fn read(rule: &Rule, pairs: &BTreeMap<String, String>, now: i64) -> ApiResult<Asked> {
    const KNOWN: [&str; 3] = ["from", "to", "labels"];
    if let Some(name) = pairs.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(invalid(name, format!("is unknown; use {}", KNOWN.join(", "))));
    }
    let time = |name: &str, default: i64| match pairs.get(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => Instant::parse(text)
            .map(|at| at.0)
            .ok_or_else(|| invalid(name, "is neither an RFC 3339 time nor ms since 1970")),
    };
    let compiled = rule
        .draft
        .compile()
        .map_err(|_| ApiError::unprocessable("the rule does not compile"))?;
    let slide = rule.draft.window.slide();
    let size = rule.draft.window.size().ms();
    let frame = slide.and_then(|slide| review::frame(&compiled, size, slide.ms()));
    let frame = frame.ok_or_else(|| {
        let reason = format!(
            "the rule has kind `{}`; only rules of kind `anomaly` have a band",
            rule.draft.kind.name()
        );
        ApiError::unprocessable(reason)
    })?;
    let labels = labels(rule, pairs.get("labels"))?;
    let to = time("to", now)?;
    let from = time("from", to.saturating_sub(DEFAULT_RANGE_MS))?;
    // What the rule remembers, or as much of it as may be read at once.
    let step = frame.window;
    let most = if compiled.aggregate.is_sketch() {
        MAX_SKETCHES
    } else {
        MAX_POINTS
    };
    let room = most
        .saturating_sub(1)
        .saturating_mul(step)
        .saturating_sub(to.saturating_sub(from))
        .max(0);
    let begin = from.saturating_sub(series::warm_up(&frame).min(room));
    Ok(Asked {
        query: AggregationQuery {
            spec: compiled.aggregate,
            filter: Arc::new(compiled.filter),
            only: (!labels.is_empty()).then(|| labels.clone()),
            group_by: compiled.group_by,
            from: begin.div_euclid(step).saturating_mul(step),
            to,
            step,
        },
        frame,
        labels,
        from: from.div_euclid(step).saturating_mul(step),
    })
}

/// The group that is asked for: exactly the attributes that the rule groups by.
fn labels(rule: &Rule, text: Option<&String>) -> ApiResult<BTreeMap<String, String>> {
    let given: BTreeMap<String, String> = match text {
        None => BTreeMap::new(),
        Some(text) => {
            serde_json::from_str(text).map_err(|e| invalid("labels", format!("is no JSON object of texts: {e}")))?
        }
    };
    let wanted = &rule.draft.group_by;
    if given.len() == wanted.len() && wanted.iter().all(|name| given.contains_key(name)) {
        return Ok(given);
    }
    let message = format!(
        "`labels` must name one group by exactly these attributes: {}",
        wanted.join(", ")
    );
    Err(ApiError::unprocessable(message).with_details(json!({"field": "labels", "attributes": wanted})))
}

fn invalid(field: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("`{field}`: {reason}")).with_details(json!({"field": field}))
}
