//! The agent's end of a session: what to send next, and what may leave the spool.

use std::collections::VecDeque;

use super::{
    PROTOCOL, SessionError,
    message::{ConfigUpdate, DrillOrder, Enrolled, Hello, MetricsPush, Nack, Refused, Resume, ToAgent, ToHub, Welcome},
};

/// What a message from the hub means for the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The session is open; the hub's wall clock is given.
    Opened {
        /// The hub's wall clock, ms.
        server_time_ms: i64,
    },
    /// Frames up to and including this one may leave the spool.
    Acked(u64),
    /// The hub refuses this frame for good: set it aside and count its events as dropped. An [`AgentEvent::Acked`] that
    /// covers it follows.
    Rejected(Nack),
    /// The hub stored nothing from this frame on; the session itself waits and sends again.
    Delayed(Nack),
    /// The hub already holds a later frame of this epoch than the spool has (a spool restored from an old copy): new
    /// frames would be taken for duplicates. Begin a new epoch and connect again.
    NewEpoch {
        /// Highest sequence that the hub holds.
        hub_seq: u64,
    },
    /// Configuration from the hub.
    Config(ConfigUpdate),
    /// Put an event of a fire drill on its way.
    Drill(DrillOrder),
    /// Metrics to compute from now on.
    Metrics(MetricsPush),
    /// A fresh certificate.
    Certificate(Enrolled),
    /// Renewal was refused.
    Refused(Refused),
    /// The hub is stopping: close and connect again after this time.
    Reconnect {
        /// How long to wait.
        after_ms: u64,
    },
}

/// What to put on the stream next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This message.
    Message(ToHub),
    /// The first frame of the spool at or after this sequence; report it with [`AgentSession::sent`].
    Frame {
        /// From here on.
        from_seq: u64,
    },
    /// Nothing before this time, ms.
    WaitUntil(i64),
    /// Nothing until something arrives: an acknowledgement, or a new frame in the spool.
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Greeting,
    Open,
}

/// The session over any number of connections. The shell reads the spool and moves the bytes.
#[derive(Debug)]
pub struct AgentSession {
    epoch: u64,
    version: String,
    host: String,
    phase: Phase,
    window_frames: usize,
    window_bytes: u64,
    hello_next_seq: u64,
    cursor: u64,
    in_flight: VecDeque<(u64, u64)>,
    in_flight_bytes: u64,
    paused_until: Option<i64>,
}

impl AgentSession {
    /// A session for the spool of `epoch`.
    #[must_use]
    pub const fn new(epoch: u64, version: String, host: String) -> Self {
        Self {
            epoch,
            version,
            host,
            phase: Phase::Closed,
            window_frames: 0,
            window_bytes: 0,
            hello_next_seq: 0,
            cursor: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            paused_until: None,
        }
    }

    /// A new connection: the message to begin with. `next_seq` is the sequence that the spool's next new frame will
    /// get.
    pub fn connected(&mut self, next_seq: u64) -> ToHub {
        self.rewind(0);
        self.phase = Phase::Greeting;
        self.paused_until = None;
        self.hello_next_seq = next_seq;
        ToHub::Hello(Hello {
            protocol: PROTOCOL,
            epoch: self.epoch,
            next_seq,
            version: self.version.clone(),
            host: self.host.clone(),
        })
    }

    /// Whether the hub has answered the greeting of this connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Frames sent and not yet acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What to send now, when the spool's next new frame will get `next_seq`.
    pub fn next(&mut self, now_ms: i64, next_seq: u64) -> Next {
        if self.phase != Phase::Open {
            return Next::Idle;
        }
        match self.paused_until {
            Some(at) if now_ms < at => return Next::WaitUntil(at),
            Some(_) => {
                self.paused_until = None;
                return Next::Message(ToHub::Resume(Resume { next_seq: self.cursor }));
            }
            None => {}
        }
        let room = self.in_flight.is_empty()
            || (self.in_flight.len() < self.window_frames && self.in_flight_bytes < self.window_bytes);
        if room && self.cursor < next_seq {
            Next::Frame { from_seq: self.cursor }
        } else {
            Next::Idle
        }
    }

    /// The frame `seq` of `bytes` went out. With gaps in the spool it may be later than the one asked for.
    pub fn sent(&mut self, seq: u64, bytes: u64) {
        self.cursor = seq.saturating_add(1);
        self.in_flight.push_back((seq, bytes));
        self.in_flight_bytes += bytes;
    }

    /// A message from the hub arrived.
    ///
    /// # Errors
    /// When it has no place here; close the connection.
    pub fn received(&mut self, now_ms: i64, message: ToAgent) -> Result<Vec<AgentEvent>, SessionError> {
        match (self.phase, message) {
            (_, ToAgent::Config(config)) => Ok(vec![AgentEvent::Config(config)]),
            (Phase::Open, ToAgent::Metrics(push)) => Ok(vec![AgentEvent::Metrics(push)]),
            (_, ToAgent::Enrolled(enrolled)) => Ok(vec![AgentEvent::Certificate(enrolled)]),
            (_, ToAgent::Refused(refused)) => Ok(vec![AgentEvent::Refused(refused)]),
            (_, ToAgent::Shutdown(shutdown)) => Ok(vec![AgentEvent::Reconnect {
                after_ms: shutdown.retry_after_ms,
            }]),
            (Phase::Greeting, ToAgent::Welcome(welcome)) => Ok(self.opened(&welcome)),
            (Phase::Open, ToAgent::Ack(ack)) => Ok(self.release(ack.durable_seq)),
            (Phase::Open, ToAgent::Nack(nack)) => Ok(self.refused(now_ms, nack)),
            (Phase::Open, ToAgent::Drill(order)) => Ok(vec![AgentEvent::Drill(order)]),
            (_, ToAgent::Welcome(_)) => Err(SessionError::OutOfPlace("welcome")),
            (_, ToAgent::Ack(_)) => Err(SessionError::OutOfPlace("ack")),
            (_, ToAgent::Nack(_)) => Err(SessionError::OutOfPlace("nack")),
            (_, ToAgent::Metrics(_)) => Err(SessionError::OutOfPlace("metrics")),
            (_, ToAgent::Drill(_)) => Err(SessionError::OutOfPlace("drill")),
        }
    }

    fn opened(&mut self, welcome: &Welcome) -> Vec<AgentEvent> {
        if let Some(hub_seq) = welcome.last_durable_seq.filter(|seq| *seq >= self.hello_next_seq) {
            return vec![AgentEvent::NewEpoch { hub_seq }];
        }
        self.phase = Phase::Open;
        self.window_frames = welcome.window_frames as usize;
        self.window_bytes = welcome.window_bytes;
        self.cursor = welcome.last_durable_seq.map_or(0, |seq| seq.saturating_add(1));
        let opened = AgentEvent::Opened {
            server_time_ms: welcome.server_time_ms,
        };
        std::iter::once(opened)
            .chain(welcome.last_durable_seq.map(AgentEvent::Acked))
            .collect()
    }

    fn release(&mut self, durable_seq: u64) -> Vec<AgentEvent> {
        // what was never sent cannot be durable: a hub that says so must not make the spool drop it
        if durable_seq >= self.cursor {
            return Vec::new();
        }
        while let Some((_, bytes)) = self.in_flight.pop_front_if(|(seq, _)| *seq <= durable_seq) {
            self.in_flight_bytes -= bytes;
        }
        vec![AgentEvent::Acked(durable_seq)]
    }

    fn refused(&mut self, now_ms: i64, nack: Nack) -> Vec<AgentEvent> {
        let Some(retry_after_ms) = nack.retry_after_ms else {
            return vec![AgentEvent::Rejected(nack)];
        };
        if nack.seq >= self.cursor {
            return Vec::new();
        }
        self.rewind(nack.seq);
        self.paused_until = Some(now_ms.saturating_add_unsigned(retry_after_ms));
        vec![AgentEvent::Delayed(nack)]
    }

    fn rewind(&mut self, seq: u64) {
        while let Some((_, bytes)) = self.in_flight.pop_back_if(|(sent, _)| *sent >= seq) {
            self.in_flight_bytes -= bytes;
        }
        self.cursor = self.cursor.min(seq);
    }
}
