//! Who calls, and what they may do.

use axum::{extract::FromRequestParts, http::request::Parts};
use streamflow_model::Role;

use crate::{ApiError, ApiResult};

/// The caller, put into the request by the sign-in layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User name, or `token:` and the API token's name.
    pub name: String,
    /// What the caller may do.
    pub role: Role,
}

impl Identity {
    /// Refuses callers below a role.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, role: Role) -> ApiResult<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "this needs the role {role}; {} has the role {}",
            self.name, self.role
        )))
    }

    /// Refuses callers that may not send events.
    ///
    /// # Errors
    /// 403.
    pub fn require_ingest(&self) -> ApiResult<()> {
        if self.role == Role::Ingest {
            Ok(())
        } else {
            self.require(Role::Editor)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| ApiError::unauthorized("sign in first"))
    }
}
