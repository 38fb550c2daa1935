//! `GET /api/v1/self`

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::State;
use serde::Serialize;
use streamflow_model::{Instant, Level, Role, Span};
use streamflow_web::{ApiResult, Data, Identity, Json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Options, check::Check, task::Looked};

/// One check and what it finds now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SelfCheckView {
    /// Its key in the section `[self]` of `hub.toml`; `false` there switches it off.
    key: String,
    /// The id of its built-in rule, as alerts and `GET /api/v1/rules/{id}` have it.
    rule_id: String,
    /// The rule's name.
    rule: String,
    /// What it means.
    about: String,
    /// Whether the check is made.
    enabled: bool,
    /// Level of its alerts.
    level: Level,
    /// How long it must last before the alert fires.
    #[serde(rename = "for")]
    hold: Span,
    /// What it finds now.
    findings: Vec<SelfFindingView>,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SelfFindingView {
    /// What it is about.
    labels: BTreeMap<String, String>,
    /// How much.
    value: f64,
    /// In a few words.
    summary: String,
    /// In some lines.
    message: String,
}

/// What the hub sees of itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SelfView {
    /// When it looked last.
    looked_at: Option<Instant>,
    /// Every check.
    checks: Vec<SelfCheckView>,
}

#[derive(Debug, Clone)]
struct Context {
    options: Arc<Options>,
    looked: Arc<Mutex<Looked>>,
}

/// What the hub sees of itself, and the built-in rules by which it tells.
#[must_use]
pub fn routes(options: &Options, looked: Arc<Mutex<Looked>>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(read)).with_state(Context {
        options: Arc::new(options.clone()),
        looked,
    })
}

/// What the hub sees of itself
///
/// Every check by which it watches itself, its agents, plugins and channels, with what is found now. Their alerts stand among all others.
#[utoipa::path(get, path = "/api/v1/self", tag = "self", responses((status = 200, body = Data<SelfView>)))]
async fn read(State(context): State<Context>, identity: Identity) -> ApiResult<Json<Data<SelfView>>> {
    identity.require(Role::Viewer)?;
    let looked = context.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let view = |check: Check| SelfCheckView {
        key: check.key().to_owned(),
        rule_id: check.rule_id(),
        rule: check.name().to_owned(),
        about: check.about().to_owned(),
        enabled: context.options.wants(check),
        level: check.level(),
        hold: check.hold(),
        findings: looked
            .findings
            .iter()
            .filter(|finding| finding.check == check)
            .map(|finding| SelfFindingView {
                labels: finding.labels.clone(),
                value: finding.value,
                summary: finding.account.summary.clone(),
                message: finding.account.message.clone(),
            })
            .collect(),
    };
    Ok(Json(Data {
        data: SelfView {
            looked_at: looked.at,
            checks: Check::ALL.into_iter().map(view).collect(),
        },
    }))
}
