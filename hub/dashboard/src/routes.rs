//! Routes about who may sign in.

mod session;
mod tokens;
mod users;

use std::sync::Arc;

use serde_json::json;
use streamflow_storage::{Store, StoreError};
use streamflow_web::{ApiError, Auth};
use utoipa_axum::router::OpenApiRouter;

use crate::users::UserError;

/// What these routes work on.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) auth: Arc<Auth>,
}

pub(crate) fn routes(desk: Desk) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(session::routes())
        .merge(users::routes())
        .merge(tokens::routes())
        .with_state(desk)
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        let field = |field: &str| json!({"field": field, "reason": error.to_string()});
        match &error {
            UserError::Name => Self::validation(error.to_string()).with_details(field("name")),
            UserError::Ttl => Self::validation(error.to_string()).with_details(field("ttl")),
            UserError::Password(streamflow_web::password::PasswordError::Length) => {
                Self::validation(error.to_string()).with_details(field("password"))
            }
            UserError::Exists(_) | UserError::LastAdmin(_) => Self::conflict(error.to_string()),
            UserError::Unknown(_) => Self::not_found(error.to_string()),
            UserError::Store(StoreError::Full | StoreError::Closed) => {
                Self::unavailable(1).with_message(error.to_string())
            }
            UserError::Password(_) | UserError::Store(_) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests;
