//! What agents' heartbeats say, in step with the log: a heartbeat counts once everything that was stored before it has been read.

use std::{collections::HashMap, fmt, sync::Arc};

use streamflow_model::AgentStatus;

use crate::engine::Heard;

/// Where the agents' last heartbeats are read.
#[derive(Clone)]
pub struct Heartbeats(Arc<dyn Fn() -> Vec<AgentStatus> + Send + Sync>);

impl Heartbeats {
    /// From the room that hears them.
    pub fn new(agents: impl Fn() -> Vec<AgentStatus> + Send + Sync + 'static) -> Self {
        Self(Arc::new(agents))
    }
}

impl Default for Heartbeats {
    /// Nobody is heard.
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heartbeats")
    }
}

/// Heartbeats between their arrival and the moment at which they count.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    source: Heartbeats,
    /// Newest heartbeat of each agent that was taken.
    taken: HashMap<String, i64>,
    heard: Vec<Heard>,
    /// Position of the log that must have been read first; unknown until it is asked for.
    until: Option<u64>,
}

impl Waiting {
    pub(crate) fn new(source: Heartbeats) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// Takes what has come since, unless earlier ones still wait. Answers whether the log's position is wanted now, see [`Self::wait_for`].
    pub(crate) fn collect(&mut self) -> bool {
        if !self.heard.is_empty() {
            return self.until.is_none();
        }
        let agents = (self.source.0)();
        self.taken
            .retain(|name, _| agents.iter().any(|agent| agent.id == *name));
        for agent in agents {
            let Some(at) = agent.heartbeat_at.filter(|_| !agent.revoked) else {
                continue;
            };
            if self.taken.get(&agent.id).is_some_and(|taken| *taken >= at.0) {
                continue;
            }
            self.heard.push(Heard {
                agent: agent.id.clone(),
                at: at.0,
                skew_ms: agent.clock_skew_ms.unwrap_or(0),
                drained: agent.is_drained(),
            });
            self.taken.insert(agent.id, at.0);
        }
        self.until = None;
        !self.heard.is_empty()
    }

    /// The log's newest position, asked for after [`Self::collect`].
    pub(crate) const fn wait_for(&mut self, position: u64) {
        self.until = Some(position);
    }

    /// The heartbeats that count now, when the log has been read to this position.
    pub(crate) fn ready(&mut self, read: u64) -> Vec<Heard> {
        if self.until.is_some_and(|until| until <= read) {
            self.until = None;
            std::mem::take(&mut self.heard)
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use streamflow_model::Instant;

    use super::*;

    fn agent(id: &str, heartbeat_at: i64, spool_events: u64) -> AgentStatus {
        serde_json::from_value(json!({
            "id": id, "name": id, "version": "1", "connected": true, "connected_at": null, "last_seen": null, "remote": null,
            "epoch": 1, "last_seq": 1, "heartbeat_at": Instant(heartbeat_at), "clock_skew_ms": -5, "lag_ms": 0, "spool_bytes": 0,
            "spool_events": spool_events, "events_total": 0, "dropped_total": 0, "revoked": false,
        }))
        .unwrap()
    }

    #[test]
    fn a_heartbeat_counts_once_and_only_behind_what_was_stored_before_it() {
        let agents = Arc::new(Mutex::new(vec![agent("a", 100, 0), agent("b", 100, 7)]));
        let source = Arc::clone(&agents);
        let mut waiting = Waiting::new(Heartbeats::new(move || source.lock().unwrap().clone()));
        assert!(waiting.collect());
        assert!(waiting.ready(u64::MAX).is_empty(), "not before the position is known");
        waiting.wait_for(5);
        agents.lock().unwrap()[0] = agent("a", 200, 0);
        assert!(!waiting.collect(), "the earlier ones still wait");
        assert!(waiting.ready(4).is_empty());
        let heard = waiting.ready(5);
        assert_eq!(
            heard
                .iter()
                .map(|h| (h.agent.as_str(), h.at, h.skew_ms, h.drained))
                .collect::<Vec<_>>(),
            [("a", 100, -5, true), ("b", 100, -5, false)]
        );
        assert!(waiting.collect());
        waiting.wait_for(5);
        assert_eq!(waiting.ready(5).len(), 1, "only the new one");
        assert!(!waiting.collect());
    }
}
