//! `GET /api/v1/provisioning`

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use serde::Serialize;
use streamflow_model::{Instant, Role};
use streamflow_web::{ApiResult, Data, Identity, Json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Options,
    task::{ProvisionedFileView, Taken},
};
use crate::prom_rules::PromGroupView;

/// What is kept in files, and how it does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ProvisioningView {
    /// The folder; none when nothing is provisioned.
    folder: Option<String>,
    /// When its files were last taken in.
    taken_at: Option<Instant>,
    /// Why the folder cannot be read.
    error: Option<String>,
    /// Its files.
    files: Vec<ProvisionedFileView>,
    /// Groups of alerting rules that are written for Prometheus.
    groups: Vec<PromGroupView>,
}

#[derive(Debug, Clone)]
struct Context {
    options: Arc<Options>,
    taken: Arc<Mutex<Taken>>,
    groups: Arc<Mutex<Vec<PromGroupView>>>,
}

/// What is kept in files.
#[must_use]
pub fn routes(options: &Options, taken: Arc<Mutex<Taken>>, groups: Arc<Mutex<Vec<PromGroupView>>>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(read)).with_state(Context {
        options: Arc::new(options.clone()),
        taken,
        groups,
    })
}

/// What is kept in provisioning files
///
/// Every file with its mistakes, and the groups of alerting rules for Prometheus with their last evaluation.
#[utoipa::path(get, path = "/api/v1/provisioning", tag = "rules", responses((status = 200, body = Data<ProvisioningView>)))]
async fn read(State(context): State<Context>, identity: Identity) -> ApiResult<Json<Data<ProvisioningView>>> {
    identity.require(Role::Viewer)?;
    let taken = context.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let groups = context.groups.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Json(Data {
        data: ProvisioningView {
            folder: context.options.folder().map(|folder| folder.display().to_string()),
            taken_at: taken.at,
            error: taken.error,
            files: taken.files,
            groups,
        },
    }))
}
