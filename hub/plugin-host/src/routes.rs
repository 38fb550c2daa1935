//! `/api/v1/plugins`: which plugins there are, and changing them while the hub runs.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware::from_fn_with_state,
};
use serde::Deserialize;
use serde_json::json;
use streamflow_model::Role;
use streamflow_web::{ApiError, ApiResult, Data, Identity, Page, Path, Query, answer_within};
use tracing::Instrument as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{InstallError, LineLevel, PluginHost, PluginInfo, PluginLogs, ShadowInfo, sandbox::MAX_FILE};

/// What an answer may take beyond the compilation: to receive the file, and to check and keep it.
const BESIDE_COMPILING: Duration = Duration::from_secs(20);

type Answer = ApiResult<axum::Json<Data<PluginInfo>>>;

impl PluginHost {
    /// The routes of this room.
    pub fn routes(self: &Arc<Self>) -> OpenApiRouter {
        let upload = OpenApiRouter::new()
            .routes(routes!(install_plugin))
            .layer(DefaultBodyLimit::max(MAX_FILE));
        let time = self.loader.options.limits.compile() + BESIDE_COMPILING;
        let compiling = OpenApiRouter::new()
            .routes(routes!(approve_plugin))
            .routes(routes!(rollback_plugin))
            .routes(routes!(promote_plugin))
            .merge(upload)
            .layer(from_fn_with_state(time, answer_within));
        OpenApiRouter::new()
            .routes(routes!(list_plugins))
            .routes(routes!(read_plugin, remove_plugin))
            .routes(routes!(enable_plugin))
            .routes(routes!(disable_plugin))
            .routes(routes!(plugin_logs))
            .routes(routes!(read_shadow))
            .routes(routes!(discard_plugin))
            .merge(compiling)
            .with_state(Arc::clone(self))
    }
}

/// Carries a change out to its end, also when whoever asked for it goes away meanwhile: half of it would remain.
async fn to_its_end(
    change: impl Future<Output = Result<PluginInfo, InstallError>> + Send + 'static,
) -> ApiResult<PluginInfo> {
    let ended = tokio::spawn(change.in_current_span()).await;
    Ok(ended.map_err(ApiError::internal)??)
}

impl From<InstallError> for ApiError {
    fn from(error: InstallError) -> Self {
        match &error {
            InstallError::Unfit(_) => Self::unprocessable(error.to_string()).with_details(json!({"field": "body"})),
            InstallError::Untrusted(_) => Self::forbidden(error.to_string()),
            InstallError::Unknown(_) => Self::not_found(error.to_string()),
            InstallError::Used { users, .. } => {
                let details = json!({"code": "plugin_in_use", "rules": users.rules, "channels": users.channels});
                Self::conflict(error.to_string()).with_details(details)
            }
            InstallError::Shipped(_)
            | InstallError::NothingWaits(_)
            | InstallError::NoPrevious(_)
            | InstallError::NoShadowOf(_)
            | InstallError::NoShadow(_) => Self::conflict(error.to_string()),
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

/// Which lines of a plugin are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// Only lines behind this number: `last` of the answer before.
    after: u64,
    /// Lines of this level and above.
    level: LineLevel,
    /// At most so many, the newest of them; 1 to 1000.
    limit: usize,
}

impl Default for LogsQuery {
    fn default() -> Self {
        Self {
            after: 0,
            level: LineLevel::Debug,
            limit: 100,
        }
    }
}

/// Reads the last lines of a plugin
///
/// What it logged, in all its instances and versions, and what the hub says about calls that it ended. At most 1,000 lines are kept, in memory, until the hub
/// stops; secrets are hidden in them.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/logs", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin"), LogsQuery),
    responses((status = 200, body = Data<PluginLogs>), (status = 404, description = "No plugin of this name was loaded.")))]
async fn plugin_logs(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> ApiResult<axum::Json<Data<PluginLogs>>> {
    identity.require(Role::Viewer)?;
    if !(1..=1000).contains(&query.limit) {
        return Err(ApiError::bad_request("limit: 1 to 1000").with_details(json!({"field": "limit"})));
    }
    let logs = host.logs(&name, query.after, query.level, query.limit);
    Ok(Data::json(logs.ok_or(InstallError::Unknown(name))?))
}

/// How a plugin is installed.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InstallQuery {
    /// Approve the rights that it asks for; without it a plugin with new rights waits.
    approve: bool,
    /// Run it beside the version that runs, and compare what they say, until somebody promotes or discards it.
    shadow: bool,
}

/// Installs a plugin, or a new version of one
///
/// The body is the file. It is checked and compiled first; then it takes the place of the version before, without a restart. State of rules is kept.
#[utoipa::path(post, path = "/api/v1/plugins", tag = "plugins", params(InstallQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "A file of `streamflow-hub plugin build`, at most 32 MiB"),
    responses(
        (status = 200, body = Data<PluginInfo>),
        (status = 403, description = "Nobody whom the hub trusts has signed it."),
        (status = 409, description = "A plugin of this name came with the hub, or it cannot run in the shadow."),
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
    let install = async move {
        let (bytes, by) = (body.into(), identity.name.as_str());
        if query.shadow {
            host.install_shadow(bytes, query.approve, by).await
        } else {
            host.install(bytes, query.approve, by).await
        }
    };
    let info = to_its_end(install).await?;
    Ok(Data::json(info))
}

/// Approves the version that waits
#[utoipa::path(post, path = "/api/v1/plugins/{name}/approve", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "Nothing waits.")))]
async fn approve_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = to_its_end(async move { host.approve(&name, &identity.name).await }).await?;
    Ok(Data::json(info))
}

/// Switches a plugin on
///
/// Also lets it out of quarantine.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/enable", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No plugin of this name was loaded.")))]
async fn enable_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = host.set_enabled(&name, true, &identity.name).await?;
    Ok(Data::json(info))
}

/// Switches a plugin off
///
/// Rules that use it stop where they are in the log, and go on from there when it is switched on.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/disable", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No plugin of this name was loaded.")))]
async fn disable_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = host.set_enabled(&name, false, &identity.name).await?;
    Ok(Data::json(info))
}

/// Goes back to the version before
#[utoipa::path(post, path = "/api/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "There is no version before.")))]
async fn rollback_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = to_its_end(async move { host.rollback(&name, &identity.name).await }).await?;
    Ok(Data::json(info))
}

/// How a plugin is removed.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Also when rules or channels use it. The rules stop, and the channels can deliver nothing, until there is a plugin of this name again.
    force: bool,
}

/// Removes a plugin with all its versions
///
/// One that rules or channels use stays: `details.code` of the answer is `plugin_in_use`, and `details` names them as `rules` and `channels`.
#[utoipa::path(delete, path = "/api/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin"), RemoveQuery),
    responses((status = 204), (status = 404, description = "No such plugin."), (status = 409, description = "It is used, or it came with the hub.")))]
async fn remove_plugin(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Admin)?;
    host.remove(&name, query.force, &identity.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Compares a plugin with the version in its shadow
///
/// Both see the same events; how their verdicts differ, with the first differences in full, and what each of them costs.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/shadow", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<ShadowInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "It has no shadow.")))]
async fn read_shadow(
    State(host): State<Arc<PluginHost>>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<axum::Json<Data<ShadowInfo>>> {
    identity.require(Role::Viewer)?;
    Ok(Data::json(host.shadow_info(&name)?))
}

/// Lets the version in the shadow take over
///
/// Between two batches of events; state of rules is kept, and the version before stays for `rollback`.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/promote", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "It has no shadow.")))]
async fn promote_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = to_its_end(async move { host.promote(&name, &identity.name).await }).await?;
    Ok(Data::json(info))
}

/// Ends the version in the shadow
#[utoipa::path(post, path = "/api/v1/plugins/{name}/discard", tag = "plugins", params(("name" = String, Path, description = "Name of the plugin")),
    responses((status = 200, body = Data<PluginInfo>), (status = 404, description = "No such plugin."), (status = 409, description = "It has no shadow.")))]
async fn discard_plugin(State(host): State<Arc<PluginHost>>, identity: Identity, Path(name): Path<String>) -> Answer {
    identity.require(Role::Admin)?;
    let info = host.discard(&name, &identity.name).await?;
    Ok(Data::json(info))
}
