//! When each agent was seen last, written to the store now and then: for the command line, which knows nothing of a running
//! hub, and for the time after a restart.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{AgentStatus, Instant};
use streamflow_storage::{DocOp, Store, StoreError};

use crate::roster::Roster;

/// Collection of what was seen of agents.
const SEEN: &str = "agent_seen";
/// Documents read and written at a time.
const PAGE: usize = 500;
/// How old the document of a connected agent becomes before it is written again.
const EVERY_MS: i64 = 30_000;
/// How long a document that says `connected` is believed: a hub that was killed could not take it back.
const BELIEVED_MS: i64 = 3 * EVERY_MS;

/// What was seen of one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeenDoc {
    name: String,
    version: String,
    remote: Option<String>,
    last_seen: Instant,
    connected: bool,
    connected_at: Option<Instant>,
    written_at: Instant,
}

impl SeenDoc {
    /// The document that is due for an agent, when what is `saved` of it is too old or wrong.
    pub(crate) fn due(status: &AgentStatus, saved: Option<&Self>, now: Instant) -> Option<Self> {
        let last_seen = status.last_seen?;
        let holds = saved.is_some_and(|saved| {
            let fresh = !status.connected || now.0 - saved.written_at.0 < EVERY_MS;
            saved.connected == status.connected && saved.connected_at == status.connected_at && fresh
        });
        (!holds).then(|| Self {
            name: status.name.clone(),
            version: status.version.clone(),
            remote: status.remote.clone(),
            last_seen,
            connected: status.connected,
            connected_at: status.connected_at,
            written_at: now,
        })
    }

    /// Completes what the allow-list tells of an agent; the connection of an earlier hub is none.
    pub(crate) fn recall(&self, status: &mut AgentStatus) {
        status.name.clone_from(&self.name);
        status.version.clone_from(&self.version);
        status.remote.clone_from(&self.remote);
        status.last_seen = Some(self.last_seen);
    }

    /// The same for who reads beside a running hub: with the connection, as far as the document is to be believed.
    pub(crate) fn tell(&self, status: &mut AgentStatus, now: Instant) {
        self.recall(status);
        status.connected = self.connected && now.0 - self.written_at.0 < BELIEVED_MS;
        status.connected_at = self.connected_at.filter(|_| status.connected);
    }
}

/// All that is stored, by the agent's id.
pub(crate) async fn all(store: &dyn Store) -> Result<HashMap<String, SeenDoc>, StoreError> {
    let mut seen = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let docs = store.docs(SEEN, after.as_deref(), PAGE).await?;
        let more = docs.len() == PAGE;
        after = docs.last().map(|doc| doc.id.clone());
        // A document that does not read is written anew when the agent comes back.
        let readable = docs
            .into_iter()
            .filter_map(|doc| Some((doc.id, serde_json::from_value(doc.body).ok()?)));
        seen.extend(readable);
        if !more {
            return Ok(seen);
        }
    }
}

/// Writes what is due.
pub(crate) async fn save(roster: &Roster, store: &dyn Store) {
    let due = roster.unsaved(Instant::now(), PAGE);
    if due.is_empty() {
        return;
    }
    let put = |(id, doc): &(String, SeenDoc)| {
        Some(DocOp::Put {
            kind: SEEN.to_owned(),
            id: id.clone(),
            body: serde_json::to_value(doc).ok()?,
            expect: None,
        })
    };
    match store.commit(due.iter().filter_map(put).collect()).await {
        Ok(_) => roster.saved(due),
        Err(error) => tracing::debug!(%error, "when agents were seen last is not stored now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(connected: bool, last_seen: Option<i64>) -> AgentStatus {
        serde_json::from_value(serde_json::json!({"id": "a", "name": "web-1", "version": "2", "connected": connected, "connected_at": null,
            "last_seen": last_seen.map(Instant), "remote": "10.0.0.1:5", "epoch": 0, "last_seq": 0, "lag_ms": 0, "spool_bytes": 0,
            "spool_events": 0, "events_total": 0, "dropped_total": 0, "revoked": false}))
        .unwrap()
    }

    #[test]
    fn a_document_is_due_on_changes_and_now_and_then() {
        let at = |ms| Instant(1_700_000_000_000 + ms);
        assert_eq!(SeenDoc::due(&status(false, None), None, at(0)), None, "never seen");
        let connected = status(true, Some(at(0).0));
        let first = SeenDoc::due(&connected, None, at(0)).unwrap();
        assert_eq!(SeenDoc::due(&connected, Some(&first), at(EVERY_MS - 1)), None);
        assert!(SeenDoc::due(&connected, Some(&first), at(EVERY_MS)).is_some());
        let gone = status(false, Some(at(5).0));
        let last = SeenDoc::due(&gone, Some(&first), at(6)).unwrap();
        assert_eq!(SeenDoc::due(&gone, Some(&last), at(10 * EVERY_MS)), None);

        let mut told = status(false, None);
        first.tell(&mut told, at(BELIEVED_MS - 1));
        assert_eq!(
            (told.connected, told.last_seen, told.name.as_str()),
            (true, Some(at(0)), "web-1")
        );
        first.tell(&mut told, at(BELIEVED_MS));
        assert!(!told.connected, "the hub may have been killed");
        last.tell(&mut told, at(6));
        assert_eq!((told.connected, told.last_seen), (false, Some(at(5))));
    }
}
