//! `/api/v1/plugins`: which plugins there are, and changing them while the hub runs.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::json;
use streamflow_model::Role;
use streamflow_web::{ApiError, ApiResult, Data, Identity, Page, Path, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{InstallError, PluginHost, PluginInfo, sandbox::MAX_FILE};

type Answer = ApiResult<axum::Json<Data<PluginInfo>>>;

impl PluginHost {
    /// The routes of this room.
    pub fn routes(self: &Arc<Self>) -> OpenApiRouter {
        let upload = OpenApiRouter::new()
            .routes(routes!(install_plugin))
            .layer(DefaultBodyLimit::max(MAX_FILE));
        OpenApiRouter::new()
            .routes(routes!(list_plugins))
            .routes(routes!(read_plugin, remove_plugin))
            .routes(routes!(approve_plugin))
            .routes(routes!(enable_plugin))
            .routes(routes!(disable_plugin))
            .routes(routes!(rollback_plugin))
            .merge(upload)
            .with_state(Arc::clone(self))
    }
}

impl From<InstallError> for ApiError {
    fn from(error: InstallError) -> Self {
        match &error {
            InstallError::Unfit(_) => Self::unprocessable(error.to_string()).with_details(json!({"field": "body"})),
            InstallError::Untrusted(_) => Self::forbidden(error.to_string()),
            InstallError::Unknown(_) => Self::not_found(error.to_string()),
            InstallError::Shipped(_) | InstallError::NothingWaits(_) | InstallError::NoPrevious(_) => {
                Self::conflict(error.to_string())
            }
            InstallError::Folder(_) => Self::internal(error),
        }
    }
}

/// Lists every plugin
///
/// Those that do not run are listed with their reason. A version that waits for approval is listed beside the one that runs.
#[utoipa::path(get, path = "/api/v1/plugins", tag = "plugins", responses((status = 200, body = Page<PluginInfo>)))]
async fn list_plugins(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
) -> ApiResult<axum::Json<Page<PluginInfo>>> {
    identity.require(Role::Viewer)?;
    // A hub has dozens of plugins at most: always one page.
    Ok(axum::Json(Page::new(host.list(), None)))
}

/// Reads a plugin
#[utoipa::path(get, path = "/api/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>)))]
async fn read_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Viewer)?;
    let info = host.read().info(&name).ok_or(InstallError::Unknown(name))?;
    Ok(Data::json(info))
}

/// How a plugin is installed.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InstallQuery {
    /// Approve the rights that it asks for; without it a plugin with new rights waits.
    approve: bool,
}

/// Installs a plugin, or a new version of one
///
/// The body is the file. It is checked and compiled first; then it takes the place of the version before, without a restart. State of rules is kept.
#[utoipa::path(post, path = "/api/v1/plugins", tag = "plugins", params(InstallQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "A file of `streamflow-hub plugin build`, at most 16 MiB"),
    responses(
        (status = 200, body = Data<PluginInfo>),
        (status = 403, description = "Nobody whom the hub trusts has signed it."),
        (status = 409, description = "A plugin of this name came with the hub."),
        (status = 413, description = "The file is too large."),
        (status = 422, description = "The file cannot be run as a plugin."),
    ))]
async fn install_plugin(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Query(query): Query<InstallQuery>,
    body: Bytes,
) -> Answer {
    identity.require(Role::Admin)?;
    Ok(Data::json(
        host.install(body.into(), query.approve, &identity.name).await?,
    ))
}

/// Approves the version that waits
#[utoipa::path(post, path = "/api/v1/plugins/{name}/approve", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "Nothing waits.")))]
async fn approve_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    Ok(Data::json(host.approve(&name, &identity.name).await?))
}

/// Switches a plugin on
///
/// Also lets it out of quarantine.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/enable", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No plugin of this name was loaded.")))]
async fn enable_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    Ok(Data::json(host.set_enabled(&name, true, &identity.name).await?))
}

/// Switches a plugin off
///
/// Rules that use it stop where they are in the log, and go on from there when it is switched on.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/disable", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No plugin of this name was loaded.")))]
async fn disable_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    Ok(Data::json(host.set_enabled(&name, false, &identity.name).await?))
}

/// Goes back to the version before
#[utoipa::path(post, path = "/api/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "There is no version before.")))]
async fn rollback_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    Ok(Data::json(host.rollback(&name, &identity.name).await?))
}

/// Removes a plugin with all its versions
#[utoipa::path(delete, path = "/api/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 204), (status = 404, description = "No such plugin."), (status = 409, description = "It came with the hub.")))]
async fn remove_plugin(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Admin)?;
    host.remove(&name, &identity.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
