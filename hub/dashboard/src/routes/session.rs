//! Signing in, staying signed in, signing out.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use streamflow_model::Role;
use streamflow_web::{ApiResult, Data, Identity, Json, Peer, TokenPair};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Desk;

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(me))
}

/// Name and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Sign-in name.
    username: String,
    /// Password.
    #[schema(format = Password)]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    /// From the last answer of `/auth/login` or `/auth/refresh`.
    refresh_token: String,
}

/// The caller.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Me {
    /// User name, or `token:` and the API token's name.
    name: String,
    /// What the caller may do.
    role: Role,
}

/// Sign in
///
/// The access token goes into `Authorization: Bearer …`, and into `?token=` of a WebSocket opened by a browser.
#[utoipa::path(post, path = "/auth/login", tag = "sign-in", request_body = Login, responses(
    (status = 200, body = TokenPair),
    (status = 401, description = "Name and password do not fit."),
    (status = 429, description = "Too many failures; `Retry-After` tells when to try again."),
))]
async fn login(
    State(desk): State<Desk>,
    Peer(peer): Peer,
    Json(login): Json<Login>,
) -> ApiResult<axum::Json<TokenPair>> {
    let address = peer.map(|peer| peer.ip());
    Ok(axum::Json(
        desk.auth.login(&login.username, login.password, address).await?,
    ))
}

/// Exchange a refresh token, which is used up, for a new pair
#[utoipa::path(post, path = "/auth/refresh", tag = "sign-in", request_body = Refresh, responses(
    (status = 200, body = TokenPair),
    (status = 401, description = "The token is not valid, or has been used; then the whole sign-in has ended."),
))]
async fn refresh(State(desk): State<Desk>, Json(refresh): Json<Refresh>) -> ApiResult<axum::Json<TokenPair>> {
    Ok(axum::Json(desk.auth.refresh(&refresh.refresh_token).await?))
}

/// End the sign-in of a refresh token
#[utoipa::path(post, path = "/auth/logout", tag = "sign-in", request_body = Refresh, responses((status = 204, description = "It has ended.")))]
async fn logout(State(desk): State<Desk>, _identity: Identity, Json(refresh): Json<Refresh>) -> ApiResult<StatusCode> {
    desk.auth.logout(&refresh.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who calls
#[utoipa::path(get, path = "/api/v1/me", tag = "sign-in", responses((status = 200, body = Data<Me>)))]
async fn me(identity: Identity) -> axum::Json<Data<Me>> {
    Data::json(Me {
        name: identity.name,
        role: identity.role,
    })
}
