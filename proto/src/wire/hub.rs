//! The hub's end of a session, for one connection: which frames to store, and what to acknowledge.

use std::collections::VecDeque;

use super::{
    PROTOCOL, SessionError,
    message::{Ack, DrillNews, Heartbeat, Hello, MetricsTaken, RenewRequest, ToHub, Welcome},
};

/// What a message of the agent means for the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// Look up the epoch's high-water mark, then [`HubSession::open`].
    Hello(Hello),
    /// Note it.
    Heartbeat(Heartbeat),
    /// Issue a certificate for the identity of the connection.
    Renew(RenewRequest),
    /// Pass it to whoever drills.
    Drill(DrillNews),
    /// Note what it computes.
    Metrics(MetricsTaken),
    /// Handled by the session itself.
    Nothing,
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFate {
    /// Hand it to the store, then report [`HubSession::stored`], [`HubSession::rejected`] or [`HubSession::failed`].
    Store,
    /// Stored before or on its way; it will be acknowledged, not stored.
    Duplicate,
    /// Sent before the agent learned of a failure; it will come again.
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Expecting,
    Greeted,
    Open,
    /// A frame failed: skip all until the agent resumes.
    Failed,
}

/// One connection's state.
#[derive(Debug)]
pub struct HubSession {
    phase: Phase,
    /// Highest sequence handed to the store, or durable before.
    accepted: Option<u64>,
    /// Everything up to here is durable or refused.
    durable: Option<u64>,
    /// Handed to the store and not acknowledged: sequence, and whether it is done.
    in_flight: VecDeque<(u64, bool)>,
    ack_due: bool,
}

impl Default for HubSession {
    fn default() -> Self {
        Self {
            phase: Phase::Expecting,
            accepted: None,
            durable: None,
            in_flight: VecDeque::new(),
            ack_due: false,
        }
    }
}

impl HubSession {
    /// A message of an agent with a certificate.
    ///
    /// # Errors
    /// When it has no place here; close the connection.
    pub fn received(&mut self, message: ToHub) -> Result<Greeting, SessionError> {
        match (self.phase, message) {
            (Phase::Expecting, ToHub::Hello(hello)) => {
                if hello.protocol != PROTOCOL {
                    return Err(SessionError::Protocol {
                        theirs: hello.protocol,
                        ours: PROTOCOL,
                    });
                }
                self.phase = Phase::Greeted;
                Ok(Greeting::Hello(hello))
            }
            (Phase::Open | Phase::Failed, ToHub::Heartbeat(heartbeat)) => Ok(Greeting::Heartbeat(heartbeat)),
            (Phase::Open | Phase::Failed, ToHub::Renew(renew)) => Ok(Greeting::Renew(renew)),
            (Phase::Open | Phase::Failed, ToHub::Drill(news)) => Ok(Greeting::Drill(news)),
            (Phase::Open | Phase::Failed, ToHub::MetricsTaken(taken)) => Ok(Greeting::Metrics(taken)),
            (Phase::Open | Phase::Failed, ToHub::Resume(_)) => {
                self.phase = Phase::Open;
                Ok(Greeting::Nothing)
            }
            (_, ToHub::Hello(_)) => Err(SessionError::OutOfPlace("hello")),
            (_, ToHub::Heartbeat(_)) => Err(SessionError::OutOfPlace("heartbeat")),
            (_, ToHub::Enroll(_)) => Err(SessionError::OutOfPlace("enroll")),
            (_, ToHub::Renew(_)) => Err(SessionError::OutOfPlace("renew")),
            (_, ToHub::Resume(_)) => Err(SessionError::OutOfPlace("resume")),
            (_, ToHub::MetricsTaken(_)) => Err(SessionError::OutOfPlace("metrics taken")),
            (_, ToHub::Drill(_)) => Err(SessionError::OutOfPlace("drill")),
        }
    }

    /// Opens the session at the store's high-water mark of the epoch.
    pub fn open(&mut self, high_water: Option<u64>, window_frames: u32, window_bytes: u64, now_ms: i64) -> Welcome {
        self.phase = Phase::Open;
        self.accepted = high_water;
        self.durable = high_water;
        Welcome {
            last_durable_seq: high_water,
            window_frames,
            window_bytes,
            server_time_ms: now_ms,
        }
    }

    /// A frame arrived.
    ///
    /// # Errors
    /// Before the session is open.
    pub fn frame(&mut self, seq: u64) -> Result<FrameFate, SessionError> {
        match self.phase {
            Phase::Expecting | Phase::Greeted => Err(SessionError::OutOfPlace("a frame")),
            Phase::Failed => Ok(FrameFate::Skip),
            Phase::Open if self.accepted.is_some_and(|accepted| seq <= accepted) => {
                self.ack_due = true;
                Ok(FrameFate::Duplicate)
            }
            Phase::Open => {
                self.accepted = Some(seq);
                self.in_flight.push_back((seq, false));
                Ok(FrameFate::Store)
            }
        }
    }

    /// The frame is durable, or the store says it was before.
    pub fn stored(&mut self, seq: u64) {
        if let Some(entry) = self.in_flight.iter_mut().find(|(s, _)| *s == seq) {
            entry.1 = true;
        }
        while let Some((seq, _)) = self.in_flight.pop_front_if(|(_, done)| *done) {
            self.durable = Some(seq);
            self.ack_due = true;
        }
    }

    /// The frame is refused for good; send a nack without `retry_after_ms`. Acknowledgements will cover it.
    pub fn rejected(&mut self, seq: u64) {
        self.stored(seq);
    }

    /// The store failed on this frame. Answers whether to send a nack with `retry_after_ms` for it: later frames that
    /// fail with it need none.
    ///
    /// The store must not have stored a later frame of the origin: the high-water mark would then cover this one, and
    /// its repetition would be taken for a duplicate.
    pub fn failed(&mut self, seq: u64) -> bool {
        let Some(at) = self.in_flight.iter().position(|(s, _)| *s == seq) else {
            return false;
        };
        self.in_flight.truncate(at);
        self.accepted = self.in_flight.back().map(|(s, _)| *s).or(self.durable);
        self.phase = Phase::Failed;
        true
    }

    /// Highest sequence up to which everything is durable or refused.
    #[must_use]
    pub const fn durable(&self) -> Option<u64> {
        self.durable
    }

    /// The acknowledgement to send, if there is news; one covers everything since the last.
    pub fn ack(&mut self) -> Option<Ack> {
        std::mem::take(&mut self.ack_due)
            .then_some(self.durable)
            .flatten()
            .map(|durable_seq| Ack { durable_seq })
    }
}
