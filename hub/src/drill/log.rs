//! Drills in the store, newest first.

use std::sync::Arc;

use streamflow_model::{Drill, DrillState, HopName, Instant};
use streamflow_storage::{Doc, DocOp, Store, StoreError};
use uuid::Uuid;

/// Their collection.
pub const KIND: &str = "drill";
/// Marks of drills that are forgotten otherwise: their events may still come from an agent that was away, and be read again from the log.
pub const MARKS: &str = "drill-mark";
/// Marks are kept so long: as long as events are unless configured otherwise, and longer than any window.
const KEEP_MARKS_MS: u64 = 30 * 86_400_000;
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
    let mut after: Option<String> = None;
    loop {
        let marks = store.docs(MARKS, after.as_deref(), PAGE).await?;
        marks.iter().for_each(|mark| store.tail().drills().add(&mark.id));
        after = marks.last().map(|mark| mark.id.clone());
        if marks.len() < PAGE {
            break;
        }
    }
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

/// Forgets all but the newest ones. Their marks count for longer.
///
/// # Errors
/// When the store fails.
pub async fn trim(store: &dyn Store, keep: usize, now: Instant) -> Result<(), StoreError> {
    let old = all(store).await?;
    let mut ops: Vec<DocOp> = Vec::new();
    for drill in old.iter().skip(keep.max(1)) {
        ops.push(DocOp::Delete {
            kind: KIND.to_owned(),
            id: document(&drill.id),
        });
        ops.push(DocOp::Put {
            kind: MARKS.to_owned(),
            id: drill.id.clone(),
            body: serde_json::json!({}),
            expect: None,
        });
    }
    // The oldest come first.
    let marks = store.docs(MARKS, None, PAGE).await?;
    let before = u64::try_from(now.0).unwrap_or(0).saturating_sub(KEEP_MARKS_MS);
    let expired = marks.into_iter().filter(|mark| begun_at(&mark.id) < before);
    ops.extend(expired.map(|mark| DocOp::Delete {
        kind: MARKS.to_owned(),
        id: mark.id,
    }));
    if ops.is_empty() {
        return Ok(());
    }
    store.commit(ops).await.map(drop)
}

/// When a drill began, ms, by its id; an id that does not say so is as old as can be.
fn begun_at(id: &str) -> u64 {
    let time = Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp());
    time.map_or(0, |time| {
        let (seconds, nanos) = time.to_unix();
        seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(nanos / 1_000_000))
    })
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp};

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn drill(at: Instant) -> Drill {
        let since = std::time::Duration::from_millis(u64::try_from(at.0).unwrap());
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()));
        serde_json::from_value(serde_json::json!({
            "id": id.to_string(), "state": "passed", "by": "eva", "target": "r", "request": {}, "agent": "a", "channels": [], "would_tell": [],
            "started_at": at, "hops": [],
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn the_marks_of_forgotten_drills_count_for_a_month() {
        let dir = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let options = streamflow_storage::Options::default();
        let (store, _service) = streamflow_storage::build(&options, dir.path(), &registry)
            .await
            .unwrap();
        let now = Instant::now();
        let drills: Vec<Drill> = [40, 3, 2, 1].map(|days| drill(Instant(now.0 - days * DAY_MS))).into();
        for drill in &drills {
            save(store.as_ref(), drill).await.unwrap();
        }
        trim(store.as_ref(), 1, now).await.unwrap();
        trim(store.as_ref(), 1, now).await.unwrap();
        assert_eq!(all(store.as_ref()).await.unwrap(), drills[3..], "the newest is left");
        let marks = store.docs(MARKS, None, PAGE).await.unwrap();
        let marked: Vec<&str> = marks.iter().map(|mark| mark.id.as_str()).collect();
        assert_eq!(marked, [drills[1].id.as_str(), drills[2].id.as_str()]);
        recall(&store).await.unwrap();
        let known = |drill: &Drill| store.tail().drills().contains(&drill.id);
        assert_eq!(drills.iter().map(known).collect::<Vec<_>>(), [false, true, true, true]);
    }
}
