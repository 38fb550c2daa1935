//! Drills in the store, newest first.

use std::sync::Arc;

use streamflow_model::{Drill, DrillState, HopName, Instant};
use streamflow_storage::{Doc, DocOp, Store, StoreError};
use uuid::Uuid;

/// Their collection.
pub const KIND: &str = "drill";
/// Documents read at once.
const PAGE: usize = 256;

/// A document's id that sorts the newest UUIDv7 first.
pub fn document(id: &str) -> String {
    Uuid::parse_str(id).map_or_else(
        |_| id.to_owned(),
        |id| Uuid::from_u128(!id.as_u128()).simple().to_string(),
    )
}

/// A drill as it was last written; `None` when the document is damaged.
pub fn read(doc: Doc) -> Option<Drill> {
    let id = doc.id.clone();
    serde_json::from_value(doc.body)
        .map_err(|error| tracing::error!(kind = KIND, id, %error, "document does not decode, it is left out"))
        .ok()
}

/// Writes a drill as it is now.
///
/// # Errors
/// When the store fails.
pub async fn save(store: &dyn Store, drill: &Drill) -> Result<(), StoreError> {
    let body = serde_json::to_value(drill).map_err(|error| StoreError::BadRequest(error.to_string()))?;
    let op = DocOp::Put {
        kind: KIND.to_owned(),
        id: document(&drill.id),
        body,
        expect: None,
    };
    store.commit(vec![op]).await.map(drop)
}

/// All drills, newest first.
///
/// # Errors
/// When the store fails.
pub async fn all(store: &dyn Store) -> Result<Vec<Drill>, StoreError> {
    let (mut all, mut after): (Vec<Drill>, Option<String>) = (Vec::new(), None);
    loop {
        let docs = store.docs(KIND, after.as_deref(), PAGE).await?;
        let full = docs.len() == PAGE;
        after = docs.last().map(|doc| doc.id.clone());
        all.extend(docs.into_iter().filter_map(read));
        if !full {
            return Ok(all);
        }
    }
}

/// Reads what there is at the start: their marks count from now on, and what was under way when the hub stopped has failed.
///
/// # Errors
/// When the store fails.
pub async fn recall(store: &Arc<dyn Store>) -> Result<Vec<Drill>, StoreError> {
    let mut drills = all(store.as_ref()).await?;
    for drill in &mut drills {
        store.tail().drills().add(&drill.id);
        if drill.state == DrillState::Running {
            let hop = drill.waits_for().unwrap_or(HopName::Acknowledged);
            drill.fail(hop, "the hub stopped meanwhile", Instant::now());
            save(store.as_ref(), drill).await?;
        }
    }
    Ok(drills)
}

/// Forgets all but the newest ones.
///
/// # Errors
/// When the store fails.
pub async fn trim(store: &dyn Store, keep: usize) -> Result<(), StoreError> {
    let old = all(store).await?;
    let ops: Vec<DocOp> = old
        .iter()
        .skip(keep.max(1))
        .map(|drill| DocOp::Delete {
            kind: KIND.to_owned(),
            id: document(&drill.id),
        })
        .collect();
    if ops.is_empty() {
        return Ok(());
    }
    store.commit(ops).await.map(drop)
}
