//! Reading whole collections of documents into their types.

use serde::{Serialize, de::DeserializeOwned};
use streamflow_storage::{Doc, DocOp, Store, StoreError};

/// Documents read at a time.
const PAGE: usize = 500;

/// A document's body as its type.
pub(crate) fn read<T: DeserializeOwned>(doc: Doc) -> Result<T, StoreError> {
    let Doc { kind, id, body, .. } = doc;
    serde_json::from_value(body)
        .map_err(|e| StoreError::BadRequest(format!("the stored {kind} `{id}` does not read: {e}")))
}

/// Every document of a collection, in the order of their ids.
pub(crate) async fn all<T: DeserializeOwned>(store: &dyn Store, kind: &str) -> Result<Vec<T>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let docs = store.docs(kind, after.as_deref(), PAGE).await?;
        let more = docs.len() == PAGE;
        after = docs.last().map(|doc| doc.id.clone());
        for doc in docs {
            found.push(read(doc)?);
        }
        if !more {
            return Ok(found);
        }
    }
}

/// Writes a document; see [`DocOp::Put`] for `expect`.
pub(crate) fn put(kind: &str, id: &str, body: &impl Serialize, expect: Option<i64>) -> Result<DocOp, StoreError> {
    let body = serde_json::to_value(body)
        .map_err(|e| StoreError::BadRequest(format!("the {kind} `{id}` cannot be written: {e}")))?;
    Ok(DocOp::Put {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body,
        expect,
    })
}

/// Removes a document.
pub(crate) fn delete(kind: &str, id: &str) -> DocOp {
    DocOp::Delete {
        kind: kind.to_owned(),
        id: id.to_owned(),
    }
}
