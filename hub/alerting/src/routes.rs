//! HTTP: rules, alerts, channels and the delivery log. Viewers read, editors change.

mod acknowledge;
mod alertmanager;
mod alerts;
mod channels;
mod deliveries;
mod escalations;
mod routing;
mod rules;
mod silences;

pub use channels::ChannelDraft;
pub(crate) use channels::prepare;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use streamflow_plugin_host::ChannelSender;
use streamflow_storage::{Doc, Store};
use streamflow_web::{ApiError, ApiResult, Page, parse_json};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{handle::AlertingHandle, seal::Vault};

/// Documents read at once while a filter is applied.
const SCAN: usize = 256;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) handle: AlertingHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sender: Arc<dyn ChannelSender>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) external_url: Arc<str>,
    /// When the hub started, ms.
    pub(crate) started: i64,
}

pub(crate) fn routes(rooms: Rooms) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(rules::read, rules::replace, rules::change, rules::remove))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::stats))
        .routes(routes!(alerts::read))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::resolve))
        .routes(routes!(acknowledge::ask, acknowledge::acknowledge))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::read, channels::replace, channels::remove))
        .routes(routes!(channels::test))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::retry_all))
        .routes(routes!(silences::list, silences::create))
        .routes(routes!(silences::preview))
        .routes(routes!(silences::read, silences::replace, silences::remove))
        .routes(routes!(silences::list_maintenance, silences::create_maintenance))
        .routes(routes!(silences::replace_maintenance, silences::remove_maintenance))
        .routes(routes!(routing::read, routing::replace))
        .routes(routes!(routing::test))
        .routes(routes!(routing::groups))
        .routes(routes!(escalations::list, escalations::create))
        .routes(routes!(escalations::read, escalations::replace, escalations::remove))
        .routes(routes!(escalations::oncall))
        .routes(routes!(escalations::list_schedules, escalations::create_schedule))
        .routes(routes!(escalations::replace_schedule, escalations::remove_schedule))
        .routes(routes!(alertmanager::get_alerts, alertmanager::post_alerts))
        .routes(routes!(alertmanager::get_silences, alertmanager::post_silence))
        .routes(routes!(alertmanager::get_silence, alertmanager::delete_silence))
        .routes(routes!(alertmanager::status))
        .routes(routes!(alertmanager::receivers))
        .with_state(rooms)
}

/// Reads what a caller got from a GET and edited: the fields that are not theirs to write may stay in.
fn editable<T: DeserializeOwned>(mut body: Map<String, Value>, read_only: &[&str]) -> ApiResult<T> {
    body.retain(|key, _| !read_only.contains(&key.as_str()));
    let bytes = serde_json::to_vec(&body).map_err(ApiError::internal)?;
    parse_json(&bytes)
}

/// A page of the documents that `pick` takes, in their order.
async fn page_of<T>(
    store: &dyn Store,
    kind: &str,
    cursor: Option<String>,
    limit: usize,
    pick: impl Fn(Doc) -> Option<T>,
) -> ApiResult<Page<T>> {
    let (mut found, mut after) = (Vec::new(), cursor);
    loop {
        let docs = store
            .docs(kind, after.as_deref(), SCAN)
            .await
            .map_err(ApiError::internal)?;
        let full = docs.len() == SCAN;
        for doc in docs {
            let id = doc.id.clone();
            after = Some(doc.id.clone());
            if let Some(value) = pick(doc) {
                found.push((id, value));
            }
        }
        if found.len() > limit || !full {
            let page = Page::cut(found, limit, |(id, _)| id.clone());
            return Ok(Page {
                data: page.data.into_iter().map(|(_, value)| value).collect(),
                pagination: page.pagination,
            });
        }
    }
}

#[cfg(test)]
mod delivery_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod tests;
