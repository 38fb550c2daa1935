//! Alerting's documents in the store, and how they are read back.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use streamflow_model::{Alert, Channel, DeliveryState, Rule};
use streamflow_storage::{Doc, Store, StoreError};
use streamflow_web::{ApiError, ApiResult};
use uuid::Uuid;

use crate::{
    incident::Incident,
    outbox::{Outbox, Outgoing},
};

/// Rules by id.
pub(crate) const RULE: &str = "rule";
/// Channels by name.
pub(crate) const CHANNEL: &str = "channel";
/// Alerts, newest first.
pub(crate) const ALERT: &str = "alert";
/// Deliveries, newest first.
pub(crate) const DELIVERY: &str = "delivery";
/// Documents read at once.
const PAGE: usize = 1000;

/// A document's id that sorts the newest UUIDv7 first: the store lists in ascending order, and people want the newest.
pub(crate) fn newest_first(id: &str) -> String {
    Uuid::parse_str(id).map_or_else(
        |_| id.to_owned(),
        |id| Uuid::from_u128(!id.as_u128()).simple().to_string(),
    )
}

/// An alert as it was last written.
pub(crate) async fn alert(store: &dyn Store, id: &str) -> ApiResult<Option<Alert>> {
    let doc = store.doc(ALERT, &newest_first(id)).await.map_err(ApiError::internal)?;
    let incident = doc.map(|doc| serde_json::from_value::<Incident>(doc.body)).transpose();
    Ok(incident.map_err(ApiError::internal)?.map(|incident| incident.alert))
}

/// Everything of a collection. What does not decode is logged and left out: one damaged rule must not stop all others.
async fn read_all<T: DeserializeOwned>(store: &dyn Store, kind: &str) -> Result<Vec<(String, T)>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let docs = store.docs(kind, after.as_deref(), PAGE).await?;
        let full = docs.len() == PAGE;
        after = docs.last().map(|doc| doc.id.clone());
        for Doc { id, body, .. } in docs {
            match serde_json::from_value(body) {
                Ok(value) => all.push((id, value)),
                // The error may quote a value, and a channel's may be a secret.
                Err(_) if kind == CHANNEL => tracing::error!(kind, id, "document does not decode, it is left out"),
                Err(error) => tracing::error!(kind, id, %error, "document does not decode, it is left out"),
            }
        }
        if !full {
            return Ok(all);
        }
    }
}

/// What alerting had when it last wrote.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// All rules.
    pub(crate) rules: Vec<Rule>,
    /// All channels.
    pub(crate) channels: Vec<Channel>,
    /// All incidents, newest first.
    pub(crate) incidents: Vec<Incident>,
    /// Notifications under way.
    pub(crate) outbox: Outbox,
    /// Documents of finished deliveries, oldest first.
    pub(crate) finished: VecDeque<String>,
}

/// Reads everything at start.
pub(crate) async fn load(store: &dyn Store) -> Result<Loaded, StoreError> {
    let (mut outbox, mut finished) = (Outbox::default(), VecDeque::new());
    let deliveries: Vec<(String, Outgoing)> = read_all(store, DELIVERY).await?;
    for (id, outgoing) in deliveries.into_iter().rev() {
        match outgoing.delivery.state {
            DeliveryState::Pending => outbox.push(outgoing),
            _ => finished.push_back(id),
        }
    }
    let values = |(_, value)| value;
    Ok(Loaded {
        rules: read_all(store, RULE).await?.into_iter().map(values).collect(),
        channels: read_all(store, CHANNEL)
            .await?
            .into_iter()
            .map(|(_, channel)| channel)
            .collect(),
        incidents: read_all(store, ALERT)
            .await?
            .into_iter()
            .map(|(_, incident)| incident)
            .collect(),
        outbox,
        finished,
    })
}
