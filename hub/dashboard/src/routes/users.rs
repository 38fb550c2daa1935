//! Users.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use streamflow_model::{Instant, Role, User};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Desk;
use crate::users::{self, UserError};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(change, remove))
}

/// A user; the password's hash never leaves the store.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ShownUser {
    /// Sign-in name.
    username: String,
    /// What the user may do.
    role: Role,
    /// When the account was made.
    created_at: Instant,
}

impl From<User> for ShownUser {
    fn from(user: User) -> Self {
        Self {
            username: user.username,
            role: user.role,
            created_at: user.created_at,
        }
    }
}

/// A user to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// Sign-in name: 1 to 64 letters, digits or any of `. _ - @`.
    username: String,
    /// 8 to 1024 bytes.
    #[schema(format = Password)]
    password: String,
    /// What the user may do.
    role: Role,
}

/// What changes of a user.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// New password.
    #[serde(default)]
    #[schema(format = Password)]
    password: Option<String>,
    /// The present password, which the own account needs for a new one: a stolen session must not become an account.
    #[serde(default)]
    #[schema(format = Password)]
    current_password: Option<String>,
    /// New role.
    #[serde(default)]
    role: Option<Role>,
}

/// All users
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(PageQuery), responses((status = 200, body = Page<ShownUser>)))]
async fn list(
    State(desk): State<Desk>,
    identity: Identity,
    Query(page): Query<PageQuery>,
) -> ApiResult<axum::Json<Page<ShownUser>>> {
    identity.require(Role::Admin)?;
    let limit = page.limit()?;
    let after = page.cursor.unwrap_or_default();
    let users = users::list(desk.store.as_ref()).await?;
    let users = users
        .into_iter()
        .filter(|user| user.username > after)
        .take(limit + 1)
        .map(ShownUser::from)
        .collect();
    Ok(axum::Json(Page::cut(users, limit, |user| user.username.clone())))
}

/// Make a user
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser, responses(
    (status = 201, body = Data<ShownUser>),
    (status = 400, description = "The name or password cannot be used."),
    (status = 409, description = "The name is taken."),
))]
async fn create(
    State(desk): State<Desk>,
    identity: Identity,
    Json(new): Json<NewUser>,
) -> ApiResult<(StatusCode, axum::Json<Data<ShownUser>>)> {
    identity.require(Role::Admin)?;
    let password_hash = desk
        .auth
        .passwords()
        .hash(new.password)
        .await
        .map_err(UserError::Password)?;
    let user = User {
        username: new.username,
        role: new.role,
        password_hash,
        created_at: Instant::now(),
    };
    let user = users::insert(desk.store.as_ref(), user).await?;
    tracing::info!(by = identity.name, username = user.username, role = %user.role, "user made");
    Ok((StatusCode::CREATED, Data::json(user.into())))
}

/// Change a user's password or role
///
/// Sign-ins of the user end. Everybody may change the own password with the present one; an administrator may change all others.
#[utoipa::path(put, path = "/api/v1/users/{username}", tag = "users", params(("username" = String, Path, description = "Sign-in name")),
    request_body = UserChange, responses(
    (status = 200, body = Data<ShownUser>),
    (status = 404, description = "No such user."),
    (status = 409, description = "It is the last administrator."),
))]
async fn change(
    State(desk): State<Desk>,
    identity: Identity,
    Path(username): Path<String>,
    Json(change): Json<UserChange>,
) -> ApiResult<axum::Json<Data<ShownUser>>> {
    if change.role.is_some() || identity.name != username {
        identity.require(Role::Admin)?;
    }
    if change.role.is_none() && change.password.is_none() {
        return Err(ApiError::validation(
            "nothing to change: give `password`, `role` or both",
        ));
    }
    if identity.name == username && change.password.is_some() {
        let current = change.current_password.unwrap_or_default();
        if !users::fits(desk.store.as_ref(), desk.auth.passwords(), &username, current).await? {
            let reason = "must be your present password";
            let details = serde_json::json!({"field": "current_password", "reason": reason});
            return Err(ApiError::validation(format!("`current_password` {reason}")).with_details(details));
        }
    }
    let hash = match change.password {
        Some(password) => Some(
            desk.auth
                .passwords()
                .hash(password)
                .await
                .map_err(UserError::Password)?,
        ),
        None => None,
    };
    let user = users::change(desk.store.as_ref(), &username, change.role, hash).await?;
    tracing::info!(by = identity.name, username, role = %user.role, "user changed");
    Ok(Data::json(user.into()))
}

/// Remove a user
#[utoipa::path(delete, path = "/api/v1/users/{username}", tag = "users", params(("username" = String, Path, description = "Sign-in name")), responses(
    (status = 204, description = "Removed."),
    (status = 404, description = "No such user."),
    (status = 409, description = "It is the last administrator."),
))]
async fn remove(State(desk): State<Desk>, identity: Identity, Path(username): Path<String>) -> ApiResult<StatusCode> {
    identity.require(Role::Admin)?;
    users::remove(desk.store.as_ref(), &username).await?;
    tracing::info!(by = identity.name, username, "user removed");
    Ok(StatusCode::NO_CONTENT)
}
