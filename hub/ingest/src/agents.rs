//! The list of agents, new enrolment tokens and revocation, as routes and for the command line.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use streamflow_model::{AgentStatus, Instant, Role, Span};
use streamflow_storage::{Store, StoreError};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    enroll::{self, EnrollError},
    quic::Context,
    roster, seen,
};

/// Life of a token when the request names none.
const DEFAULT_TTL: Span = Span::from_secs(3600);

/// All enrolled agents as the store knows them, whether or not a hub runs. A running hub writes within seconds who comes and
/// goes, and every half minute that a connected agent is still there.
///
/// # Errors
/// When the store fails.
pub async fn stored(store: &dyn Store) -> Result<Vec<AgentStatus>, StoreError> {
    let (seen, now) = (seen::all(store).await?, Instant::now());
    let told = |(id, agent): &(String, enroll::AgentDoc)| {
        let mut status = roster::known(id, agent);
        if let Some(doc) = seen.get(id) {
            doc.tell(&mut status, now);
        }
        status
    };
    Ok(enroll::agents(store).await?.iter().map(told).collect())
}

/// Takes an agent off the allow-list; a running hub closes its connection within five seconds. Answers whether there is
/// such an agent.
///
/// # Errors
/// When the store fails.
pub async fn revoke(store: &dyn Store, id: &str) -> Result<bool, StoreError> {
    Ok(enroll::revoke(store, id, "command line", Instant::now())
        .await?
        .is_some())
}

/// What a new token should be.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewToken {
    /// How long it may be used, for example `1h`, which is the default.
    ttl: Option<Span>,
}

/// A token. It is shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ShownToken {
    /// For `streamflow-agent enroll --token`.
    token: String,
    /// Until when it may be used.
    expires_at: Instant,
}

pub(crate) fn routes(context: Arc<Context>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(create_token))
        .routes(routes!(post_revoke))
        .routes(routes!(delete))
        .with_state(context)
}

/// All enrolled agents and how they do
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", params(PageQuery), responses((status = 200, body = Page<AgentStatus>)))]
async fn list(
    State(context): State<Arc<Context>>,
    identity: Identity,
    Query(page): Query<PageQuery>,
) -> ApiResult<axum::Json<Page<AgentStatus>>> {
    identity.require(Role::Viewer)?;
    let limit = page.limit()?;
    let after = page.cursor.unwrap_or_default();
    let agents = context
        .roster
        .agents()
        .into_iter()
        .filter(|agent| agent.id > after)
        .take(limit + 1)
        .collect();
    Ok(axum::Json(Page::cut(agents, limit, |agent| agent.id.clone())))
}

/// Make a one-time enrolment token
#[utoipa::path(post, path = "/api/v1/agents/tokens", tag = "agents", request_body = NewToken, responses((status = 201, body = Data<ShownToken>)))]
async fn create_token(
    State(context): State<Arc<Context>>,
    identity: Identity,
    Json(new): Json<NewToken>,
) -> ApiResult<(StatusCode, axum::Json<Data<ShownToken>>)> {
    identity.require(Role::Admin)?;
    let made = enroll::new_token(
        &*context.store,
        context.pki.pin(),
        new.ttl.unwrap_or(DEFAULT_TTL),
        Instant::now(),
    )
    .await;
    let (token, expires_at) = made.map_err(|error| match error {
        EnrollError::Ttl => ApiError::validation(error.to_string()).with_details(serde_json::json!({"field": "ttl"})),
        EnrollError::Store(_) | EnrollError::Pki(_) => ApiError::internal(error),
    })?;
    tracing::info!(by = identity.name, token = token.id, "made an enrolment token");
    Ok((
        StatusCode::CREATED,
        Data::json(ShownToken {
            token: token.to_string(),
            expires_at,
        }),
    ))
}

/// Take an agent off the allow-list
///
/// Its connection is closed at once, and its certificate is worth nothing any more. It can enrol again with a new
/// token, as a new agent.
#[utoipa::path(post, path = "/api/v1/agents/{id}/revoke", tag = "agents", params(("id" = String, Path, description = "Id of the agent")), responses(
    (status = 204, description = "Revoked."),
    (status = 404, description = "No such agent."),
))]
async fn post_revoke(
    State(context): State<Arc<Context>>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    take_off(&context, &identity, &id).await
}

/// Take an agent off the allow-list, as `POST …/revoke` does
#[utoipa::path(delete, path = "/api/v1/agents/{id}", tag = "agents", params(("id" = String, Path, description = "Id of the agent")), responses(
    (status = 204, description = "Revoked."),
    (status = 404, description = "No such agent."),
))]
async fn delete(
    State(context): State<Arc<Context>>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    take_off(&context, &identity, &id).await
}

async fn take_off(context: &Context, identity: &Identity, id: &str) -> ApiResult<StatusCode> {
    identity.require(Role::Admin)?;
    let revoked = enroll::revoke(&*context.store, id, &identity.name, Instant::now())
        .await
        .map_err(ApiError::internal)?;
    let agent = revoked.ok_or_else(|| ApiError::not_found(format!("there is no agent {id}")))?;
    context.roster.listed(id, &agent);
    Ok(StatusCode::NO_CONTENT)
}
