//! All known agents: the allow-list as last read, and what their connections tell.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quinn::VarInt;
use streamflow_model::{AgentStatus, EdgeAgent, Instant};
use streamflow_proto::wire::{
    self, Ability, DrillNews, DrillOrder, Heartbeat, Hello, MetricsPush, MetricsTaken, ToAgent, close,
};
use streamflow_storage::{Store, StoreError};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

use crate::{
    drill::{DrillHeard, OrderError},
    edge::{Answers, Pushes},
    enroll::{self, AgentDoc},
    metrics::Metrics,
    seen::{self, SeenDoc},
};

/// An open connection. The ticket tells it from a later connection of the same agent.
#[derive(Debug)]
struct Live {
    ticket: u64,
    connection: quinn::Connection,
    /// As the agent gave it, with its abilities.
    version: String,
    orders: mpsc::Sender<ToAgent>,
}

/// Messages to one agent that wait for its session; a full queue refuses.
const ORDERS: usize = 16;
/// Reports about drills kept for a listener that is behind.
const DRILL_NEWS: usize = 256;

/// What a session is given when it begins.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Tells it from a later session of the same agent.
    pub(crate) ticket: u64,
    /// To be waited for.
    pub(crate) turn: Turn,
    /// What other rooms want the agent to hear.
    pub(crate) orders: mpsc::Receiver<ToAgent>,
    /// Metrics that the agent is to compute; absent when it takes none.
    pub(crate) pushes: Option<watch::Receiver<Arc<MetricsPush>>>,
}

#[derive(Debug)]
struct Entry {
    status: AgentStatus,
    /// What the store knows of it.
    saved: Option<SeenDoc>,
    live: Option<Live>,
    turn: Turn,
    skew: Skew,
    /// What it makes of metrics, in its last session.
    answers: Answers,
}

/// How far an agent's clock is ahead. A heartbeat's way to the hub makes a clock look slower than it is, so of the last heartbeats the quickest tells.
#[derive(Debug, Default)]
struct Skew {
    last: [i64; SKEW_HEARTBEATS],
    seen: usize,
}

/// Heartbeats that a clock's skew is judged by.
const SKEW_HEARTBEATS: usize = 8;

impl Skew {
    fn add(&mut self, ahead_ms: i64) -> i64 {
        self.last[self.seen % SKEW_HEARTBEATS] = ahead_ms;
        self.seen += 1;
        let known = &self.last[..self.seen.min(SKEW_HEARTBEATS)];
        known.iter().copied().max().unwrap_or(ahead_ms)
    }
}

/// The one permit is held by the session of an agent that may hand frames to the store. Frames of two sessions must not mix: when the store refuses one, a later frame of
/// the other would raise the high-water mark over it.
pub(crate) type Turn = Arc<Semaphore>;

#[derive(Debug, Default)]
struct State {
    agents: HashMap<String, Entry>,
    next_ticket: u64,
}

/// The agents. A lock and not a task: it is held for a lookup and a few stores, never across an await, and read by
/// routes and metrics.
#[derive(Debug)]
pub(crate) struct Roster {
    state: Mutex<State>,
    drill_news: broadcast::Sender<DrillHeard>,
    /// Metrics that agents are to compute.
    pub(crate) pushes: Pushes,
    metrics: Metrics,
}

impl Roster {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            state: Mutex::default(),
            drill_news: broadcast::channel(DRILL_NEWS).0,
            pushes: Pushes::default(),
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the allow-list; closes the connections of agents that are no longer on it, whoever took them off.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        for (id, agent) in enroll::agents(store).await? {
            self.listed(&id, &agent);
        }
        Ok(())
    }

    /// An agent as its document says.
    pub(crate) fn listed(&self, id: &str, agent: &AgentDoc) {
        let mut state = self.lock();
        let entry = state.agents.entry(id.to_owned()).or_insert_with(|| Entry {
            status: known(id, agent),
            saved: None,
            live: None,
            turn: Arc::new(Semaphore::new(1)),
            skew: Skew::default(),
            answers: Answers::default(),
        });
        entry.status.revoked = agent.revoked;
        entry.status.certificate_expires_at = Some(agent.certificate_expires_at);
        if agent.revoked
            && let Some(live) = &entry.live
        {
            tracing::warn!(agent = id, "closing the connection of a revoked agent");
            self.metrics.agent_closed.with_label_values(&["revoked"]).inc();
            live.connection
                .close(VarInt::from_u32(close::FORBIDDEN), b"this agent is revoked");
        }
    }

    /// What was seen of agents before this start.
    pub(crate) async fn recall(&self, store: &dyn Store) -> Result<(), StoreError> {
        let seen = seen::all(store).await?;
        let mut state = self.lock();
        for (id, doc) in seen {
            if let Some(entry) = state.agents.get_mut(&id) {
                doc.recall(&mut entry.status);
                entry.saved = Some(doc);
            }
        }
        Ok(())
    }

    /// What has to be written of up to `most` agents.
    pub(crate) fn unsaved(&self, now: Instant, most: usize) -> Vec<(String, SeenDoc)> {
        let state = self.lock();
        let due = |(id, entry): (&String, &Entry)| {
            SeenDoc::due(&entry.status, entry.saved.as_ref(), now).map(|doc| (id.clone(), doc))
        };
        state.agents.iter().filter_map(due).take(most).collect()
    }

    /// That has been written.
    pub(crate) fn saved(&self, written: Vec<(String, SeenDoc)>) {
        let mut state = self.lock();
        for (id, doc) in written {
            if let Some(entry) = state.agents.get_mut(&id) {
                entry.saved = Some(doc);
            }
        }
    }

    /// A session begins. An older connection of the same agent is closed: its end has not noticed that the path is
    /// gone. Answers its seat, or `None` when the agent has been revoked meanwhile.
    pub(crate) fn connected(&self, id: &str, hello: &Hello, connection: &quinn::Connection) -> Option<Seat> {
        let now = Instant::now();
        let mut state = self.lock();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let entry = state.agents.get_mut(id).filter(|entry| !entry.status.revoked)?;
        let status = &mut entry.status;
        status.name = enroll::clipped(&hello.host);
        status.version = enroll::clipped(wire::split_version(&hello.version).0);
        status.connected = true;
        status.connected_at = Some(now);
        status.last_seen = Some(now);
        status.remote = Some(connection.remote_address().to_string());
        status.epoch = hello.epoch;
        status.last_seq = 0;
        status.clock_skew_ms = None;
        let turn = Arc::clone(&entry.turn);
        let (sender, orders) = mpsc::channel(ORDERS);
        match entry.live.replace(Live {
            ticket,
            connection: connection.clone(),
            version: hello.version.clone(),
            orders: sender,
        }) {
            Some(old) => {
                self.metrics.agent_closed.with_label_values(&["replaced"]).inc();
                old.connection.close(
                    VarInt::from_u32(close::REPLACED),
                    b"another connection of this agent took over",
                );
            }
            None => self.metrics.agents.inc(),
        }
        entry.answers = Answers::of(&hello.version);
        let pushes = entry.answers.capable.then(|| self.pushes.subscribe());
        self.pushes.agent_changed();
        Some(Seat {
            ticket,
            turn,
            orders,
            pushes,
        })
    }

    /// Whether an agent, by its id or name, can take part in a drill now; answers its status.
    pub(crate) fn can_drill(&self, agent: &str) -> Result<AgentStatus, OrderError> {
        self.drilled(agent, |_| Ok(()))
    }

    /// Asks it to put a drill's event on its way.
    pub(crate) fn order_drill(&self, agent: &str, order: DrillOrder) -> Result<AgentStatus, OrderError> {
        self.drilled(agent, |orders| orders.try_send(ToAgent::Drill(order)).map_err(drop))
    }

    fn drilled(
        &self,
        agent: &str,
        tell: impl FnOnce(&mpsc::Sender<ToAgent>) -> Result<(), ()>,
    ) -> Result<AgentStatus, OrderError> {
        let state = self.lock();
        let named = |(id, entry): &(&String, &Entry)| *id == agent || entry.status.name == agent;
        // Names need not be unique: of several the one that is connected is meant.
        let mut found: Vec<(&String, &Entry)> = state.agents.iter().filter(named).collect();
        found.sort_unstable_by_key(|(_, entry)| entry.live.is_none());
        let Some((_, entry)) = found.first() else {
            return Err(OrderError::Unknown(agent.to_owned()));
        };
        let name = || entry.status.name.clone();
        let Some(live) = &entry.live else {
            return Err(OrderError::Away(name()));
        };
        if !wire::can(&live.version, Ability::Drill) {
            let version = live.version.clone();
            return Err(OrderError::TooOld { agent: name(), version });
        }
        match tell(&live.orders) {
            Ok(()) => Ok(entry.status.clone()),
            Err(()) => Err(OrderError::Busy(name())),
        }
    }

    /// An agent tells how far a drill's event is.
    pub(crate) fn drill_news(&self, id: &str, news: DrillNews) {
        let heard = DrillHeard {
            agent: id.to_owned(),
            news,
        };
        if self.drill_news.send(heard).is_err() {
            tracing::debug!(agent = id, "an agent tells of a drill that nobody waits for");
        }
    }

    /// What agents tell of drills from now on.
    pub(crate) fn subscribe_drills(&self) -> broadcast::Receiver<DrillHeard> {
        self.drill_news.subscribe()
    }

    /// A session ended.
    pub(crate) fn disconnected(&self, id: &str, ticket: u64) {
        let mut state = self.lock();
        if let Some(entry) = state.agents.get_mut(id)
            && entry.live.take_if(|live| live.ticket == ticket).is_some()
        {
            entry.status.connected = false;
            entry.status.connected_at = None;
            entry.skew = Skew::default();
            drop(self.metrics.agent_skew.remove_label_values(&[id]));
            self.metrics.agents.dec();
            self.show_lag(&state);
            self.pushes.agent_changed();
        }
    }

    /// An agent tells which of the metrics that were pushed it computes.
    pub(crate) fn metrics_taken(&self, id: &str, taken: MetricsTaken) {
        let push = self.pushes.current();
        let news = self
            .lock()
            .agents
            .get_mut(id)
            .and_then(|entry| entry.answers.take(taken, &push));
        let Some(refused) = news else { return };
        for (series, reason) in &refused {
            tracing::warn!(agent = id, series, reason, "an agent refuses to compute a metric");
        }
        self.pushes.agent_changed();
    }

    /// All agents that may come again, as far as computing metrics goes.
    pub(crate) fn edge_agents(&self) -> Vec<EdgeAgent> {
        let push = self.pushes.current();
        let state = self.lock();
        let of = |entry: &Entry| EdgeAgent {
            id: entry.status.id.clone(),
            name: entry.status.name.clone(),
            version: entry.status.version.clone(),
            connected: entry.status.connected,
            capable: entry.answers.capable,
            answered: entry.answers.answered(&push),
            refused: entry.answers.refused.clone(),
        };
        let mut agents: Vec<EdgeAgent> = state
            .agents
            .values()
            .filter(|entry| !entry.status.revoked)
            .map(of)
            .collect();
        agents.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        agents
    }

    /// The agent tells how it does.
    pub(crate) fn heartbeat(&self, id: &str, heartbeat: &Heartbeat) {
        let mut state = self.lock();
        if let Some(Entry { status, skew, live, .. }) = state.agents.get_mut(id) {
            let now = Instant::now();
            status.last_seen = Some(now);
            status.heartbeat_at = Some(now);
            let way = live.as_ref().map_or(0, |live| live.connection.rtt().as_millis() / 2);
            let way = i64::try_from(way).unwrap_or(0);
            let ahead_ms = skew.add(heartbeat.sent_at_ms.saturating_add(way).saturating_sub(now.0));
            status.clock_skew_ms = Some(ahead_ms);
            self.metrics
                .agent_skew
                .with_label_values(&[id])
                .set(ahead_ms as f64 / 1000.0);
            // both times are of the agent's own clock, so skew does not matter
            status.lag_ms = heartbeat
                .oldest_unacked_ms
                .map_or(0, |oldest| heartbeat.sent_at_ms.saturating_sub(oldest).max(0));
            status.spool_bytes = heartbeat.spool_bytes;
            status.spool_events = heartbeat.spool_events;
            let dropped = heartbeat
                .dropped
                .iter()
                .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            // counted by the agent since its own start: smaller than before means it has started again
            self.metrics.agent_dropped.inc_by(if dropped >= status.dropped_total {
                dropped - status.dropped_total
            } else {
                dropped
            });
            status.dropped_total = dropped;
        }
        self.show_lag(&state);
    }

    fn show_lag(&self, state: &State) {
        let connected = state.agents.values().filter(|entry| entry.live.is_some());
        let lag_ms = connected.map(|entry| entry.status.lag_ms).max().unwrap_or(0);
        self.metrics.agent_lag.set(lag_ms as f64 / 1000.0);
    }

    /// Frames of the agent became durable.
    pub(crate) fn stored(&self, id: &str, last_seq: u64, events: u64) {
        if let Some(Entry { status, .. }) = self.lock().agents.get_mut(id) {
            status.last_seen = Some(Instant::now());
            status.last_seq = status.last_seq.max(last_seq);
            status.events_total += events;
        }
    }

    /// All agents in the order of their ids, which is the order of their enrolment.
    pub(crate) fn agents(&self) -> Vec<AgentStatus> {
        let mut agents: Vec<AgentStatus> = self.lock().agents.values().map(|entry| entry.status.clone()).collect();
        agents.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        agents
    }
}

/// What the allow-list tells of an agent that has not been seen yet.
pub(crate) fn known(id: &str, agent: &AgentDoc) -> AgentStatus {
    AgentStatus {
        id: id.to_owned(),
        name: agent.name.clone(),
        version: agent.version.clone(),
        connected: false,
        connected_at: None,
        last_seen: None,
        remote: None,
        epoch: 0,
        last_seq: 0,
        heartbeat_at: None,
        clock_skew_ms: None,
        lag_ms: 0,
        spool_bytes: 0,
        spool_events: 0,
        events_total: 0,
        dropped_total: 0,
        certificate_expires_at: Some(agent.certificate_expires_at),
        revoked: agent.revoked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_of_the_last_heartbeats_tells_the_skew() {
        let mut skew = Skew::default();
        assert_eq!(skew.add(-900), -900, "a slow heartbeat");
        assert_eq!(skew.add(-5), -5);
        assert_eq!(skew.add(-400), -5);
        // The clock was set back: after eight heartbeats nothing else is known.
        let last = (0..SKEW_HEARTBEATS).map(|_| skew.add(-60_000)).last();
        assert_eq!(last, Some(-60_000));
    }
}
