//! `/api/v1/alerts`

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Bytes, extract::State};
use serde::{Deserialize, Serialize};
use streamflow_model::{Alert, AlertState, Level, Role};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, Path, Query, page::check_limit, parse_json};

use super::{Rooms, page_of};
use crate::{
    desk::{Desk, no_alert},
    documents::{self, ALERT, newest_first},
    incident::Incident,
    ranked::HasId,
};

/// Which alerts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct AlertQuery {
    /// Only in this state.
    state: Option<AlertState>,
    /// Only of this level.
    level: Option<Level>,
    /// Only of this rule.
    rule_id: Option<String>,
    /// At most this many, 1 to 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AlertQuery {
    fn takes(&self, alert: &Alert) -> bool {
        self.state.is_none_or(|state| state == alert.state)
            && self.level.is_none_or(|level| level == alert.level)
            && self.rule_id.as_ref().is_none_or(|id| *id == alert.rule_id)
    }
}

/// What a person says about it.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Remark {
    /// Kept in the alert's history.
    comment: String,
}

/// Totals of alerts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AlertStats {
    /// Alerts that are kept.
    total: usize,
    /// Alerts that are not over.
    open: usize,
    /// Alerts by state.
    by_state: BTreeMap<String, usize>,
    /// Open alerts by level.
    by_level: BTreeMap<String, usize>,
    /// Open alerts by rule.
    by_rule: Vec<RuleCount>,
    /// Alerts that began to fire in the last 24 hours.
    fired_last_day: usize,
    /// From firing to a person's acknowledgement on average, ms.
    mean_time_to_acknowledge_ms: Option<i64>,
    /// From firing to the end on average, ms.
    mean_time_to_resolve_ms: Option<i64>,
}

/// Open alerts of a rule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RuleCount {
    /// The rule.
    rule_id: String,
    /// Its name.
    rule_name: String,
    /// How many.
    open: usize,
}

/// Lists alerts, newest first
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertQuery), responses((status = 200, body = Page<Alert>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<AlertQuery>,
) -> ApiResult<Json<Page<Alert>>> {
    identity.require(Role::Viewer)?;
    let limit = check_limit(query.limit)?;
    let board = &rooms.handle.board;
    if query.state.is_some_and(|state| state != AlertState::Resolved) {
        let after = board.newest_first().filter(|shown| {
            let cursor = query.cursor.as_ref();
            cursor.is_none_or(|cursor| newest_first(&shown.id().to_string()) > *cursor)
        });
        let wanted = after
            .filter_map(|shown| shown.alert())
            .filter(|alert| query.takes(alert));
        let page = wanted.take(limit + 1).map(Arc::unwrap_or_clone).collect();
        return Ok(Json(Page::cut(page, limit, |alert: &Alert| newest_first(&alert.id))));
    }
    let pick = |doc: streamflow_storage::Doc| {
        let incident: Incident = serde_json::from_value(doc.body).ok()?;
        let shown = board.alert(&incident.alert.id);
        let alert = shown.map_or(incident.alert, Arc::unwrap_or_clone);
        query.takes(&alert).then_some(alert)
    };
    page_of(rooms.store.as_ref(), ALERT, query.cursor.clone(), limit, pick)
        .await
        .map(Json)
}

/// Totals of alerts
#[utoipa::path(get, path = "/api/v1/alerts/stats", tag = "alerts", responses((status = 200, body = Data<AlertStats>)))]
pub(super) async fn stats(State(rooms): State<Rooms>, identity: Identity) -> ApiResult<Json<Data<AlertStats>>> {
    identity.require(Role::Viewer)?;
    let data = rooms.handle.call(|desk, now| Ok(count(desk, now))).await?;
    Ok(Json(Data { data }))
}

/// Reads an alert with its history
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = Data<Alert>)))]
pub(super) async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Data<Alert>>> {
    identity.require(Role::Viewer)?;
    if let Some(alert) = rooms.handle.board.alert(&id) {
        return Ok(Json(Data {
            data: Alert::clone(&alert),
        }));
    }
    Ok(Json(Data {
        data: stored(&rooms, &id).await?.ok_or_else(|| no_alert(&id))?,
    }))
}

/// Takes an alert: it is not escalated any further
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts", params(("id" = String, Path)), request_body = Remark,
    responses((status = 200, body = Data<Alert>), (status = 409, description = "It is over, or does not fire yet.")))]
pub(super) async fn acknowledge(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
    body: Bytes,
) -> ApiResult<Json<Data<Alert>>> {
    by_person(rooms, identity, id, &body, Desk::acknowledge).await
}

/// Closes an alert
#[utoipa::path(post, path = "/api/v1/alerts/{id}/resolve", tag = "alerts", params(("id" = String, Path)), request_body = Remark,
    responses((status = 200, body = Data<Alert>), (status = 409, description = "It is over.")))]
pub(super) async fn resolve(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
    body: Bytes,
) -> ApiResult<Json<Data<Alert>>> {
    by_person(rooms, identity, id, &body, Desk::resolve).await
}

type Act = fn(&mut Desk, &str, &str, &str, i64) -> ApiResult<Alert>;

async fn by_person(
    rooms: Rooms,
    identity: Identity,
    id: String,
    body: &[u8],
    act: Act,
) -> ApiResult<Json<Data<Alert>>> {
    identity.require(Role::Editor)?;
    let remark: Remark = if body.is_empty() {
        Remark::default()
    } else {
        parse_json(body)?
    };
    let wanted = id.clone();
    let done = rooms
        .handle
        .call(move |desk, now| act(desk, &id, &identity.name, &remark.comment, now))
        .await;
    match done {
        // Only the newest alert of a group is at hand; an older one is over.
        Err(error) if error.status() == 404 && stored(&rooms, &wanted).await?.is_some() => {
            Err(ApiError::conflict("the alert is already resolved"))
        }
        done => Ok(Json(Data { data: done? })),
    }
}

pub(super) async fn stored(rooms: &Rooms, id: &str) -> ApiResult<Option<Alert>> {
    documents::alert(rooms.store.as_ref(), id).await
}

fn count(desk: &Desk, now: i64) -> AlertStats {
    let yesterday = now - 86_400_000;
    let history = desk.book.history();
    let (mut by_state, mut by_level, mut by_rule) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut open, mut fired_last_day) = (0, 0);
    for alert in desk.book.outlines() {
        open += 1;
        *by_state.entry(alert.state.name().to_owned()).or_insert(0) += 1;
        *by_level.entry(alert.level.name().to_owned()).or_insert(0) += 1;
        by_rule
            .entry(alert.rule_id.to_owned())
            .or_insert_with(|| (alert.rule_name.into_owned(), 0))
            .1 += 1;
        fired_last_day += usize::from(alert.fired_at.is_some_and(|at| at >= yesterday));
    }
    fired_last_day += history
        .iter()
        .filter(|closed| closed.fired_at.is_some_and(|at| at >= yesterday))
        .count();
    by_state.insert(AlertState::Resolved.name().to_owned(), history.iter().len());
    let taken = history
        .iter()
        .filter_map(|closed| Some(closed.acknowledged_at? - closed.fired_at?));
    let ended = history
        .iter()
        .filter_map(|closed| Some(closed.resolved_at - closed.fired_at?));
    AlertStats {
        total: open + history.iter().len(),
        open,
        by_state,
        by_level,
        by_rule: by_rule
            .into_iter()
            .map(|(rule_id, (rule_name, open))| RuleCount {
                rule_id,
                rule_name,
                open,
            })
            .collect(),
        fired_last_day,
        mean_time_to_acknowledge_ms: mean(taken),
        mean_time_to_resolve_ms: mean(ended),
    }
}

fn mean(values: impl Iterator<Item = i64>) -> Option<i64> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count)
}
