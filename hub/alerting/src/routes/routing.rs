//! `/api/v1/routing`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use streamflow_model::{Level, Role, Routing, RoutingDraft, Span};
use streamflow_web::{ApiResult, Data, Identity, Json};

use super::{Rooms, editable};
use crate::route::{Target, Tree};

/// Fields that the hub writes. A `version` that is given must be the present one.
const READ_ONLY: [&str; 3] = ["version", "updated_at", "provisioned"];

/// An alert that may never have been.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Its labels; `alertname` and `level` among them.
    labels: BTreeMap<String, String>,
    /// Its level.
    #[serde(default)]
    level: Level,
    /// A routing to try; the present one when left out.
    #[serde(default)]
    routing: Option<RoutingDraft>,
}

/// Where it would go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Way {
    /// The route: the matchers on the way to it.
    route: String,
    /// Channels as the route names them.
    channels: Vec<String>,
    /// Channels that are told now.
    tells: Vec<String>,
    /// Escalation policy.
    escalation: Option<String>,
    /// What it shares with its group.
    group: BTreeMap<String, String>,
    /// How long the first notification waits.
    group_wait: Span,
    /// How long at least between notifications with news.
    group_interval: Span,
    /// After how long it is told of again.
    repeat_interval: Span,
}

/// A group of alerts that share notifications.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct GroupView {
    /// UUIDv7, in the idempotency keys of its notifications.
    id: String,
    /// Route and labels.
    key: String,
    /// What its alerts have in common.
    labels: BTreeMap<String, String>,
    /// Channels as the route names them.
    channels: Vec<String>,
    /// Channels that were told that it fires.
    told: Vec<String>,
    /// Ids of its alerts.
    alerts: Vec<String>,
}

/// Reads the routing tree and the rules of inhibition
#[utoipa::path(get, path = "/api/v1/routing", tag = "routing", responses((status = 200, body = Data<Routing>)))]
pub(super) async fn read(State(rooms): State<Rooms>, identity: Identity) -> ApiResult<Json<Data<Routing>>> {
    identity.require(Role::Viewer)?;
    let data = rooms.handle.call(|desk, _| Ok(desk.book.routing().clone())).await?;
    Ok(Json(Data { data }))
}

/// Replaces the routing tree and the rules of inhibition
///
/// Alerts of rules that name no channels go by it. With `version`, it must be the present one.
#[utoipa::path(put, path = "/api/v1/routing", tag = "routing", request_body = RoutingDraft,
    responses((status = 200, body = Data<Routing>), (status = 409, description = "It has changed meanwhile.")))]
pub(super) async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<Routing>>> {
    identity.require(Role::Editor)?;
    let version = body.get("version").and_then(Value::as_i64);
    let draft: RoutingDraft = editable(body, &READ_ONLY)?;
    let work = move |desk: &mut crate::desk::Desk, now| desk.save_routing(draft, version, now);
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Where an alert with these labels would go, now or by another routing
#[utoipa::path(post, path = "/api/v1/routing/test", tag = "routing", request_body = Question,
    responses((status = 200, body = Data<Vec<Way>>)))]
pub(super) async fn test(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(question): Json<Question>,
) -> ApiResult<Json<Data<Vec<Way>>>> {
    identity.require(Role::Viewer)?;
    let work = move |desk: &mut crate::desk::Desk, now| {
        let tried = question.routing.as_ref().map(|draft| desk.compile_routing(draft));
        let tried = tried.transpose()?;
        let tree: &Tree = tried.as_ref().map_or(desk.book.tree(), |tried| &tried.tree);
        let way = |target: &Target| Way {
            route: target.route.clone(),
            channels: target.channels.clone(),
            tells: desk.book.register().expand(&target.channels, now),
            escalation: target.escalation.clone(),
            group: target.labels(&question.labels),
            group_wait: target.group_wait,
            group_interval: target.group_interval,
            repeat_interval: target.repeat_interval,
        };
        let targets = tree.targets(&question.labels, question.level);
        Ok(targets.into_iter().map(way).collect())
    };
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// The groups of alerts that share notifications now
#[utoipa::path(get, path = "/api/v1/routing/groups", tag = "routing", responses((status = 200, body = Data<Vec<GroupView>>)))]
pub(super) async fn groups(State(rooms): State<Rooms>, identity: Identity) -> ApiResult<Json<Data<Vec<GroupView>>>> {
    identity.require(Role::Viewer)?;
    let work = |desk: &mut crate::desk::Desk, _| {
        let groups = desk.book.groups().take(MOST).map(|group| GroupView {
            id: group.id.clone(),
            key: group.key.clone(),
            labels: group.labels.clone(),
            channels: group.target.channels.clone(),
            told: group.told.clone(),
            alerts: desk
                .book
                .members(&group.key)
                .take(MOST)
                .map(|id| id.to_string())
                .collect(),
        });
        Ok(groups.collect())
    };
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Groups, and alerts of one, that are shown.
const MOST: usize = 1000;
