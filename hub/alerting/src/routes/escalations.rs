//! `/api/v1/escalations` and `/api/v1/oncall`

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamflow_model::{Escalation, Instant, OncallSchedule, Role};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};

use super::{Rooms, silences::named};
use crate::{
    desk::{Desk, policies::missing},
    oncall::Oncall,
};

/// At which time.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct OncallQuery {
    /// RFC 3339 or ms since 1970; now when left out.
    at: Option<String>,
}

/// Lists escalation policies by name
#[utoipa::path(get, path = "/api/v1/escalations", tag = "escalation", params(PageQuery),
    responses((status = 200, body = Page<Escalation>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<Escalation>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let after = query.cursor.unwrap_or_default();
    let work = move |desk: &mut Desk, _| {
        let policies = desk.book.register().escalations().values();
        let policies = policies.filter(|policy| policy.name > after);
        Ok(policies.take(limit + 1).cloned().collect())
    };
    let found = rooms.handle.call(work).await?;
    Ok(Json(Page::cut(found, limit, |policy: &Escalation| policy.name.clone())))
}

/// Makes an escalation policy
#[utoipa::path(post, path = "/api/v1/escalations", tag = "escalation", request_body = Escalation,
    responses((status = 201, body = Data<Escalation>), (status = 409, description = "The name is taken.")))]
pub(super) async fn create(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(policy): Json<Escalation>,
) -> ApiResult<impl IntoResponse> {
    identity.require(Role::Editor)?;
    let work = move |desk: &mut Desk, now| desk.save_escalation(policy, true, now);
    let data = rooms.handle.call(work).await?;
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Reads an escalation policy
#[utoipa::path(get, path = "/api/v1/escalations/{name}", tag = "escalation", params(("name" = String, Path)),
    responses((status = 200, body = Data<Escalation>)))]
pub(super) async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<Json<Data<Escalation>>> {
    identity.require(Role::Viewer)?;
    let work = move |desk: &mut Desk, _| {
        let policy = desk.book.register().escalations().get(&name).cloned();
        policy.ok_or_else(|| missing("escalation policy", &name))
    };
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Replaces an escalation policy
#[utoipa::path(put, path = "/api/v1/escalations/{name}", tag = "escalation", params(("name" = String, Path)), request_body = Escalation,
    responses((status = 200, body = Data<Escalation>)))]
pub(super) async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<Escalation>>> {
    identity.require(Role::Editor)?;
    let policy: Escalation = named(body, &name)?;
    let work = move |desk: &mut Desk, now| desk.save_escalation(policy, false, now);
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Removes an escalation policy that nothing follows
#[utoipa::path(delete, path = "/api/v1/escalations/{name}", tag = "escalation", params(("name" = String, Path)),
    responses((status = 204), (status = 409, description = "It is in use.")))]
pub(super) async fn remove(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms
        .handle
        .call(move |desk, now| desk.delete_escalation(&name, now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is on call, and why
#[utoipa::path(get, path = "/api/v1/oncall", tag = "escalation", params(OncallQuery), responses((status = 200, body = Data<Vec<Oncall>>)))]
pub(super) async fn oncall(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<OncallQuery>,
) -> ApiResult<Json<Data<Vec<Oncall>>>> {
    identity.require(Role::Viewer)?;
    let at = query.at.as_ref().map(|text| {
        let wrong = || {
            let error = ApiError::validation("`at` must be an RFC 3339 time or integer milliseconds since 1970");
            error.with_details(json!({"field": "at"}))
        };
        Instant::parse(text).ok_or_else(wrong)
    });
    let at = at.transpose()?;
    let work = move |desk: &mut Desk, now| {
        let at = at.map_or(now, |at| at.0);
        let rosters = desk.book.register().rosters().values();
        Ok(rosters.map(|roster| roster.who(at)).collect())
    };
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Lists on-call schedules by name
#[utoipa::path(get, path = "/api/v1/oncall/schedules", tag = "escalation", params(PageQuery),
    responses((status = 200, body = Page<OncallSchedule>)))]
pub(super) async fn list_schedules(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<OncallSchedule>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let after = query.cursor.unwrap_or_default();
    let work = move |desk: &mut Desk, _| {
        let schedules = desk.book.register().rosters().values().map(|roster| &roster.schedule);
        let schedules = schedules.filter(|schedule| schedule.name > after);
        Ok(schedules.take(limit + 1).cloned().collect())
    };
    let found = rooms.handle.call(work).await?;
    Ok(Json(Page::cut(found, limit, |schedule: &OncallSchedule| {
        schedule.name.clone()
    })))
}

/// Makes an on-call schedule
#[utoipa::path(post, path = "/api/v1/oncall/schedules", tag = "escalation", request_body = OncallSchedule,
    responses((status = 201, body = Data<OncallSchedule>), (status = 409, description = "The name is taken.")))]
pub(super) async fn create_schedule(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(schedule): Json<OncallSchedule>,
) -> ApiResult<impl IntoResponse> {
    identity.require(Role::Editor)?;
    let work = move |desk: &mut Desk, _| desk.save_schedule(schedule, true);
    let data = rooms.handle.call(work).await?;
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Replaces an on-call schedule; this is also how overrides are added
#[utoipa::path(put, path = "/api/v1/oncall/schedules/{name}", tag = "escalation", params(("name" = String, Path)),
    request_body = OncallSchedule, responses((status = 200, body = Data<OncallSchedule>)))]
pub(super) async fn replace_schedule(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<OncallSchedule>>> {
    identity.require(Role::Editor)?;
    let schedule: OncallSchedule = named(body, &name)?;
    let work = move |desk: &mut Desk, _| desk.save_schedule(schedule, false);
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Removes an on-call schedule that nothing names
#[utoipa::path(delete, path = "/api/v1/oncall/schedules/{name}", tag = "escalation", params(("name" = String, Path)),
    responses((status = 204), (status = 409, description = "It is in use.")))]
pub(super) async fn remove_schedule(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms.handle.call(move |desk, _| desk.delete_schedule(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
