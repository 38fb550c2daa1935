//! `/api/v1/silences` and `/api/v1/maintenance`

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use streamflow_model::{Alert, Instant, Level, Maintenance, Matcher, Role, Silence, SilenceState};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query, page::check_limit};

use super::{Rooms, editable};

/// A silence as a user writes it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SilenceDraft {
    /// All of them must hold.
    matchers: Vec<Matcher>,
    /// From then on; now when left out.
    #[serde(default)]
    starts_at: Option<Instant>,
    /// Until then.
    ends_at: Instant,
    /// Why.
    #[serde(default)]
    comment: String,
}

/// Whose alerts a silence would silence.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(super) struct PreviewDraft {
    /// All of them must hold.
    matchers: Vec<Matcher>,
}

/// A silence as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SilenceView {
    #[serde(flatten)]
    silence: Silence,
    /// Where it stands.
    state: SilenceState,
    /// Open alerts that match now.
    alerts: Vec<Meant>,
}

/// An open alert that a silence means.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Meant {
    /// Its id.
    id: String,
    /// Its title.
    title: String,
    /// Its level.
    level: Level,
}

impl From<Alert> for Meant {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id,
            title: alert.title,
            level: alert.level,
        }
    }
}

/// Which silences.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct SilenceQuery {
    /// Only in this state.
    state: Option<SilenceState>,
    /// At most this many, 1 to 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists silences, newest first
#[utoipa::path(get, path = "/api/v1/silences", tag = "silences", params(SilenceQuery),
    responses((status = 200, body = Page<SilenceView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<SilenceQuery>,
) -> ApiResult<Json<Page<SilenceView>>> {
    identity.require(Role::Viewer)?;
    let limit = check_limit(query.limit)?;
    let work = move |desk: &mut crate::desk::Desk, now| {
        let mut wanted: Vec<Silence> = desk
            .book
            .mutes()
            .silences()
            .filter(|silence| query.state.is_none_or(|state| state == silence.state(now)))
            .filter(|silence| query.cursor.as_ref().is_none_or(|cursor| silence.id < *cursor))
            .cloned()
            .collect();
        wanted.sort_unstable_by(|a, b| b.id.cmp(&a.id));
        wanted.truncate(limit + 1);
        wanted.into_iter().map(|silence| view(desk, silence, now)).collect()
    };
    let found = rooms.handle.call(work).await?;
    Ok(Json(Page::cut(found, limit, |view: &SilenceView| {
        view.silence.id.clone()
    })))
}

/// Makes a silence
///
/// The answer lists the open alerts that it means now.
#[utoipa::path(post, path = "/api/v1/silences", tag = "silences", request_body = SilenceDraft,
    responses((status = 201, body = Data<SilenceView>)))]
pub(super) async fn create(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(draft): Json<SilenceDraft>,
) -> ApiResult<impl IntoResponse> {
    let data = save(&rooms, identity, String::new(), draft).await?;
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Which open alerts a silence would mean
#[utoipa::path(post, path = "/api/v1/silences/preview", tag = "silences", request_body = PreviewDraft,
    responses((status = 200, body = Data<Vec<Meant>>)))]
pub(super) async fn preview(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(draft): Json<PreviewDraft>,
) -> ApiResult<Json<Data<Vec<Meant>>>> {
    identity.require(Role::Viewer)?;
    let meant = rooms.handle.call(move |desk, _| desk.meant(&draft.matchers)).await?;
    let data = meant.into_iter().map(Meant::from).collect();
    Ok(Json(Data { data }))
}

/// Reads a silence
#[utoipa::path(get, path = "/api/v1/silences/{id}", tag = "silences", params(("id" = String, Path)),
    responses((status = 200, body = Data<SilenceView>)))]
pub(super) async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Data<SilenceView>>> {
    identity.require(Role::Viewer)?;
    let work = move |desk: &mut crate::desk::Desk, now| {
        let silence = desk.silence(&id)?;
        view(desk, silence, now)
    };
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Changes a silence
///
/// One that is over, or whose matchers change, ends and is replaced by a new one: the past stays as it was.
#[utoipa::path(put, path = "/api/v1/silences/{id}", tag = "silences", params(("id" = String, Path)), request_body = SilenceDraft,
    responses((status = 200, body = Data<SilenceView>)))]
pub(super) async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
    Json(draft): Json<SilenceDraft>,
) -> ApiResult<Json<Data<SilenceView>>> {
    let data = save(&rooms, identity, id, draft).await?;
    Ok(Json(Data { data }))
}

/// Ends a silence
#[utoipa::path(delete, path = "/api/v1/silences/{id}", tag = "silences", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn remove(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms
        .handle
        .call(move |desk, now| desk.expire_silence(&id, now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn save(rooms: &Rooms, identity: Identity, id: String, draft: SilenceDraft) -> ApiResult<SilenceView> {
    identity.require(Role::Editor)?;
    let work = move |desk: &mut crate::desk::Desk, now| {
        let silence = Silence {
            id,
            matchers: draft.matchers,
            starts_at: draft.starts_at.unwrap_or(Instant(now)),
            ends_at: draft.ends_at,
            comment: draft.comment,
            created_by: identity.name,
            created_at: Instant(now),
            updated_at: Instant(now),
        };
        let silence = desk.save_silence(silence, now)?;
        view(desk, silence, now)
    };
    rooms.handle.call(work).await
}

fn view(desk: &crate::desk::Desk, silence: Silence, now: i64) -> ApiResult<SilenceView> {
    let state = silence.state(now);
    let alerts = if state == SilenceState::Expired {
        Vec::new()
    } else {
        desk.meant(&silence.matchers)?.into_iter().map(Meant::from).collect()
    };
    Ok(SilenceView { silence, state, alerts })
}

/// Lists maintenance windows by name
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "silences", params(PageQuery),
    responses((status = 200, body = Page<Maintenance>)))]
pub(super) async fn list_maintenance(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<Maintenance>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let after = query.cursor.unwrap_or_default();
    let work = move |desk: &mut crate::desk::Desk, _| {
        let windows = desk.book.windows().filter(|window| window.name > after);
        Ok(windows.take(limit + 1).cloned().collect())
    };
    let found = rooms.handle.call(work).await?;
    Ok(Json(Page::cut(found, limit, |window: &Maintenance| {
        window.name.clone()
    })))
}

/// Makes a maintenance window
#[utoipa::path(post, path = "/api/v1/maintenance", tag = "silences", request_body = Maintenance,
    responses((status = 201, body = Data<Maintenance>), (status = 409, description = "The name is taken.")))]
pub(super) async fn create_maintenance(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(window): Json<Maintenance>,
) -> ApiResult<impl IntoResponse> {
    identity.require(Role::Editor)?;
    let work = move |desk: &mut crate::desk::Desk, now| desk.save_maintenance(window, true, now);
    let data = rooms.handle.call(work).await?;
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Replaces a maintenance window
#[utoipa::path(put, path = "/api/v1/maintenance/{name}", tag = "silences", params(("name" = String, Path)), request_body = Maintenance,
    responses((status = 200, body = Data<Maintenance>)))]
pub(super) async fn replace_maintenance(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Json(body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<Maintenance>>> {
    identity.require(Role::Editor)?;
    let window: Maintenance = named(body, &name)?;
    let work = move |desk: &mut crate::desk::Desk, now| desk.save_maintenance(window, false, now);
    let data = rooms.handle.call(work).await?;
    Ok(Json(Data { data }))
}

/// Removes a maintenance window
#[utoipa::path(delete, path = "/api/v1/maintenance/{name}", tag = "silences", params(("name" = String, Path)), responses((status = 204)))]
pub(super) async fn remove_maintenance(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms
        .handle
        .call(move |desk, now| desk.delete_maintenance(&name, now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A document whose name stands in the path, and may stand in the body.
pub(super) fn named<T: serde::de::DeserializeOwned>(mut body: Map<String, Value>, name: &str) -> ApiResult<T> {
    if body
        .insert("name".to_owned(), json!(name))
        .is_some_and(|given| given != name)
    {
        let error = ApiError::validation("a name cannot be changed; make a new one");
        return Err(error.with_details(json!({"field": "name"})));
    }
    editable(body, &[])
}
