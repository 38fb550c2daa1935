//! `/api/v1/plugins`: which plugins there are, and letting one out of quarantine.

use std::sync::Arc;

use axum::extract::State;
use streamflow_model::Role;
use streamflow_web::{ApiError, ApiResult, Data, Identity, Page, Path};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{PluginHost, PluginInfo};

impl PluginHost {
    /// The routes of this room.
    pub fn routes(self: &Arc<Self>) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list_plugins))
            .routes(routes!(enable_plugin))
            .with_state(Arc::clone(self))
    }
}

/// Lists every plugin; those that do not run with their reason.
#[utoipa::path(get, path = "/api/v1/plugins", tag = "plugins", responses((status = 200, body = Page<PluginInfo>)))]
async fn list_plugins(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
) -> ApiResult<axum::Json<Page<PluginInfo>>> {
    identity.require(Role::Viewer)?;
    // A hub has dozens of plugins at most: always one page.
    Ok(axum::Json(Page::new(host.list(), None)))
}

/// Lets a plugin out of quarantine.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/enable", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")), responses(
    (status = 200, body = Data<PluginInfo>),
    (status = 404, description = "No plugin of this name was loaded."),
))]
async fn enable_plugin(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<axum::Json<Data<PluginInfo>>> {
    identity.require(Role::Admin)?;
    let info = host
        .enable(&name)
        .ok_or_else(|| ApiError::not_found(format!("no plugin `{name}` was loaded")))?;
    tracing::info!(plugin = name, by = identity.name, "plugin enabled by hand");
    Ok(Data::json(info))
}
