//! API tokens.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use streamflow_model::{ApiToken, Instant, Role, Span};
use streamflow_web::{ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Desk;
use crate::users;

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(remove))
}

/// Life of a token when the request names none.
const DEFAULT_TTL: Span = Span::from_secs(365 * 86_400);

/// A token; its key is shown once only, when it is made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ShownToken {
    /// What it is for.
    name: String,
    /// What its bearer may do.
    role: Role,
    /// When it was made.
    created_at: Instant,
    /// Until when it is valid.
    expires_at: Option<Instant>,
}

/// A token with its key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct NewKey {
    /// What it is for.
    name: String,
    /// Goes into `Authorization: Bearer …`.
    #[schema(example = "sfp_…")]
    token: String,
}

impl From<ApiToken> for ShownToken {
    fn from(token: ApiToken) -> Self {
        Self {
            name: token.name,
            role: token.role,
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

/// A token to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for: 1 to 64 letters, digits or any of `. _ - @`.
    name: String,
    /// What its bearer may do; `ingest` by default.
    #[serde(default = "ingest")]
    role: Role,
    /// How long it is valid, for example `30d`; a year by default.
    #[serde(default)]
    ttl: Option<Span>,
}

const fn ingest() -> Role {
    Role::Ingest
}

/// All API tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "users", params(PageQuery), responses((status = 200, body = Page<ShownToken>)))]
async fn list(
    State(desk): State<Desk>,
    identity: Identity,
    Query(page): Query<PageQuery>,
) -> ApiResult<axum::Json<Page<ShownToken>>> {
    identity.require(Role::Admin)?;
    let limit = page.limit()?;
    let after = page.cursor.unwrap_or_default();
    let mut tokens = users::tokens(desk.store.as_ref()).await?;
    tokens.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let tokens = tokens
        .into_iter()
        .filter(|token| token.name > after)
        .take(limit + 1)
        .map(ShownToken::from)
        .collect();
    Ok(axum::Json(Page::cut(tokens, limit, |token| token.name.clone())))
}

/// Make an API token
#[utoipa::path(post, path = "/api/v1/tokens", tag = "users", request_body = NewToken, responses(
    (status = 201, body = Data<NewKey>),
    (status = 409, description = "The name is taken."),
))]
async fn create(
    State(desk): State<Desk>,
    identity: Identity,
    Json(new): Json<NewToken>,
) -> ApiResult<(StatusCode, axum::Json<Data<NewKey>>)> {
    identity.require(Role::Admin)?;
    let token = users::create_token(desk.store.as_ref(), &new.name, new.role, new.ttl.unwrap_or(DEFAULT_TTL)).await?;
    desk.auth.forget_tokens();
    tracing::info!(by = identity.name, token = new.name, role = %new.role, "api token made");
    Ok((StatusCode::CREATED, Data::json(NewKey { name: new.name, token })))
}

/// Remove an API token
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "users", params(("name" = String, Path, description = "What it is for")), responses(
    (status = 204, description = "Removed; it is refused from now on."),
    (status = 404, description = "No such token."),
))]
async fn remove(State(desk): State<Desk>, identity: Identity, Path(name): Path<String>) -> ApiResult<StatusCode> {
    identity.require(Role::Admin)?;
    users::remove_token(desk.store.as_ref(), &name).await?;
    desk.auth.forget_tokens();
    tracing::info!(by = identity.name, token = name, "api token removed");
    Ok(StatusCode::NO_CONTENT)
}
