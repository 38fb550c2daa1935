//! `/api/v1/drills`.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use streamflow_model::{Drill, DrillRequest, DrillState, Role};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, Path, Query, page::check_limit};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Drills,
    log::{self, KIND, document},
    schedule::Shown,
};

/// The routes.
pub fn routes(drills: Drills) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, begin))
        .routes(routes!(schedules))
        .routes(routes!(read))
        .with_state(drills)
}

/// Which drills.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DrillQuery {
    /// Only in this state.
    state: Option<DrillState>,
    /// At most this many, 1 to 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Begins a fire drill
///
/// A marked event goes from an agent through log, rule, route and channel to a person's acknowledgement, and every hop is timed. Nobody is told but `channels`, or those of
/// `[drills] channels`; with `page`, those whom the real alert would tell. The answer is the drill as it begins; `GET /api/v1/drills/{id}` shows how it goes on.
#[utoipa::path(post, path = "/api/v1/drills", tag = "drills", request_body = DrillRequest,
    responses((status = 202, body = Data<Drill>), (status = 400, description = "The drill cannot be as it is asked for."),
        (status = 404, description = "No such rule or agent."), (status = 409, description = "No agent that can take part is connected."),
        (status = 429, description = "As many drills are under way as may.")))]
async fn begin(
    State(drills): State<Drills>,
    identity: Identity,
    Json(request): Json<DrillRequest>,
) -> ApiResult<(StatusCode, axum::Json<Data<Drill>>)> {
    identity.require(Role::Editor)?;
    let drill = drills.start(request, &identity.name, None).await?;
    Ok((StatusCode::ACCEPTED, Data::json(drill)))
}

/// Fire drills, newest first
#[utoipa::path(get, path = "/api/v1/drills", tag = "drills", params(DrillQuery), responses((status = 200, body = Page<Drill>)))]
async fn list(
    State(drills): State<Drills>,
    identity: Identity,
    Query(query): Query<DrillQuery>,
) -> ApiResult<axum::Json<Page<Drill>>> {
    identity.require(Role::Viewer)?;
    let limit = check_limit(query.limit)?;
    let all = log::all(drills.0.rooms.store.as_ref())
        .await
        .map_err(ApiError::internal)?;
    let after = query.cursor.unwrap_or_default();
    let found = all
        .into_iter()
        .filter(|drill| query.state.is_none_or(|state| state == drill.state) && document(&drill.id) > after)
        .take(limit + 1)
        .collect();
    Ok(axum::Json(Page::cut(found, limit, |drill| document(&drill.id))))
}

/// Drills that happen by themselves, as configured under `[[drills.schedule]]`
#[utoipa::path(get, path = "/api/v1/drills/schedules", tag = "drills", responses((status = 200, body = Data<Vec<Shown>>)))]
async fn schedules(State(drills): State<Drills>, identity: Identity) -> ApiResult<axum::Json<Data<Vec<Shown>>>> {
    identity.require(Role::Viewer)?;
    Ok(Data::json(drills.schedules()))
}

/// One fire drill and how far it is
#[utoipa::path(get, path = "/api/v1/drills/{id}", tag = "drills", params(("id" = String, Path)),
    responses((status = 200, body = Data<Drill>), (status = 404, description = "There is none.")))]
async fn read(
    State(drills): State<Drills>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<axum::Json<Data<Drill>>> {
    identity.require(Role::Viewer)?;
    let store = &drills.0.rooms.store;
    let doc = store.doc(KIND, &document(&id)).await.map_err(ApiError::internal)?;
    let drill = doc.and_then(log::read);
    let drill = drill.ok_or_else(|| ApiError::not_found(format!("there is no drill {id}")))?;
    Ok(Data::json(drill))
}
