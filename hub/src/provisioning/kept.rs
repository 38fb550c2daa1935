//! The last good groups for Prometheus, in the store: a file that is broken when the hub starts keeps what it held before, as it does
//! while the hub runs. Rules, channels and the routing are in the store themselves.

use streamflow_storage::{DocOp, Store, StoreError};

use crate::prom_rules::PromSource;

/// Its collection, and its document in it.
const DOCUMENT: (&str, &str) = ("provisioned-groups", "last");

/// The groups as they were last good; none when they cannot be read.
pub async fn load(store: &dyn Store) -> PromSource {
    let doc = match store.doc(DOCUMENT.0, DOCUMENT.1).await {
        Ok(doc) => doc,
        Err(error) => {
            tracing::warn!(%error, "groups for Prometheus of the last start cannot be read; a file that is broken now has none");
            None
        }
    };
    let groups = doc.map(|doc| serde_json::from_value(doc.body)).transpose();
    groups
        .inspect_err(|error| tracing::error!(kind = DOCUMENT.0, %error, "document does not decode, it is left out"))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Keeps them.
///
/// # Errors
/// When the store fails.
pub async fn save(store: &dyn Store, groups: &PromSource) -> Result<(), StoreError> {
    let body = serde_json::to_value(groups).map_err(|error| StoreError::BadRequest(error.to_string()))?;
    let op = DocOp::Put {
        kind: DOCUMENT.0.to_owned(),
        id: DOCUMENT.1.to_owned(),
        body,
        expect: None,
    };
    store.commit(vec![op]).await.map(drop)
}
