//! The control messages.

use bincode::{Decode, Encode};

/// From agent to hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToHub {
    /// First message of an agent with a certificate.
    Hello(Hello),
    /// How the agent does; every few seconds.
    Heartbeat(Heartbeat),
    /// First and only message of a peer without a certificate.
    Enroll(EnrollRequest),
    /// Asks for a fresh certificate for the identity of the present one.
    Renew(RenewRequest),
    /// Frames follow again from here, after a [`Nack`] with `retry_after_ms`.
    Resume(Resume),
    /// How far the event of a [`DrillOrder`] is.
    Drill(DrillNews),
    /// Answers [`MetricsPush`], and comes again when a metric fails later. Never sent to a hub that has pushed nothing.
    MetricsTaken(MetricsTaken),
}

/// From hub to agent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToAgent {
    /// Answers [`Hello`].
    Welcome(Welcome),
    /// Cumulative acknowledgement.
    Ack(Ack),
    /// A frame was not stored.
    Nack(Nack),
    /// Configuration that the hub wants on this agent.
    Config(ConfigUpdate),
    /// Answers [`EnrollRequest`] and [`RenewRequest`].
    Enrolled(Enrolled),
    /// The request was refused; the hub closes the connection, except after a refused renewal.
    Refused(Refused),
    /// The hub is stopping.
    Shutdown(Shutdown),
    /// Put an event of a fire drill on its way; only to agents that [can](super::Ability::Drill).
    Drill(DrillOrder),
    /// Metrics to compute where the events arise; only to agents that [can](super::Ability::Metrics).
    Metrics(MetricsPush),
}

/// Opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`super::PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Drawn at random when the spool was made.
    pub epoch: u64,
    /// Sequence that the next new frame of this epoch will get.
    pub next_seq: u64,
    /// Program version, and what else the agent can, see [`super::Ability`].
    pub version: String,
    /// Host name, for people.
    pub host: String,
}

/// Where to go on, and how much may be under way.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// Highest sequence of the epoch that is durable; nothing yet when absent.
    pub last_durable_seq: Option<u64>,
    /// Unacknowledged frames allowed.
    pub window_frames: u32,
    /// Unacknowledged bytes allowed; one frame is always allowed.
    pub window_bytes: u64,
    /// The hub's wall clock, for skew.
    pub server_time_ms: i64,
}

/// Everything up to `durable_seq` is stored, or was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// Cumulative.
    pub durable_seq: u64,
}

/// Why a frame was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum NackCode {
    /// The store is full or stopping; send again later.
    Unavailable,
    /// The checksum does not match; the connection is closed.
    Checksum,
    /// The record breaks a limit; the connection is closed.
    Limit,
    /// The payload does not decode; it would not decode next time either.
    Malformed,
}

impl NackCode {
    /// Name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Checksum => "checksum",
            Self::Limit => "limit",
            Self::Malformed => "malformed",
        }
    }
}

/// A frame was not stored. With `retry_after_ms` nothing from `seq` on was: wait, then [`Resume`]. Without, only `seq`
/// was refused, for good.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Nack {
    /// The frame.
    pub seq: u64,
    /// Reason as a code.
    pub code: NackCode,
    /// Reason in words.
    pub reason: String,
    /// Present when sending again can help.
    pub retry_after_ms: Option<u64>,
}

/// Frames follow from `next_seq` on, or from the first one after it that still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Resume {
    /// First sequence that follows.
    pub next_seq: u64,
}

/// How one source of an agent does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SourceReport {
    /// Name in the agent's configuration.
    pub name: String,
    /// Its kind, for example `file`.
    pub kind: String,
    /// Events read since the agent started.
    pub events: u64,
    /// Errors since the agent started.
    pub errors: u64,
    /// Last error in words.
    pub last_error: Option<String>,
}

/// How the agent does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Heartbeat {
    /// The agent's wall clock.
    pub sent_at_ms: i64,
    /// Bytes waiting in the spool.
    pub spool_bytes: u64,
    /// Events waiting in the spool.
    pub spool_events: u64,
    /// Wall clock at which the oldest unacknowledged frame entered the spool.
    pub oldest_unacked_ms: Option<i64>,
    /// Events dropped by policy since the agent started, by reason.
    pub dropped: Vec<(String, u64)>,
    /// Its sources.
    pub sources: Vec<SourceReport>,
}

/// Configuration from the hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ConfigUpdate {
    /// Grows with every change.
    pub version: u64,
    /// TOML.
    pub body: String,
}

/// Asks for a certificate with a one-time token.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct EnrollRequest {
    /// Which token.
    pub token_id: String,
    /// Its secret, as text of the token.
    pub secret: String,
    /// PKCS #10 request; only its public key is used.
    pub csr_der: Vec<u8>,
    /// Host name, for people.
    pub host: String,
    /// Program version.
    pub version: String,
}

impl std::fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollRequest")
            .field("token_id", &self.token_id)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Asks for a fresh certificate over a connection that the present one secures.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RenewRequest {
    /// PKCS #10 request of a new key; only its public key is used.
    pub csr_der: Vec<u8>,
}

/// The certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Enrolled {
    /// Identity in it.
    pub agent_id: String,
    /// The certificate, DER, leaf first.
    pub chain_der: Vec<Vec<u8>>,
    /// The hub's CA, DER; the only root the agent trusts from now on.
    pub ca_der: Vec<u8>,
    /// Wall clock from which the agent should renew.
    pub renew_after_ms: i64,
    /// Wall clock at which the certificate ends.
    pub expires_ms: i64,
}

/// Why enrolment or renewal was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum RefusalCode {
    /// No such token, or a wrong secret.
    UnknownToken,
    /// The token's time is over.
    ExpiredToken,
    /// The token has been used.
    UsedToken,
    /// The certificate request does not parse or its signature is wrong.
    BadRequest,
    /// The agent is not on the allow-list.
    Revoked,
    /// The hub cannot answer now.
    Unavailable,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// Reason as a code.
    pub code: RefusalCode,
    /// Reason in words.
    pub reason: String,
}

/// The hub is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Shutdown {
    /// When to connect again.
    pub retry_after_ms: u64,
}

/// Asks the agent to put one marked event through its pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DrillOrder {
    /// Which drill; the event carries it at `metadata.streamflow_drill`.
    pub drill: String,
    /// The event as JSON without `timestamp`: it happens when the agent emits it.
    pub event: String,
}

/// A drill's event on its way through the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum DrillStep {
    /// It was made, as an event of a source is.
    Emitted,
    /// It is durable in the spool.
    Spooled,
    /// It was put on the stream to the hub.
    Sent,
    /// It ends here; the reason says why.
    Lost,
}

/// How far the event of a drill is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DrillNews {
    /// Which drill.
    pub drill: String,
    /// How far.
    pub step: DrillStep,
    /// When, by the agent's wall clock.
    pub at_ms: i64,
    /// Why it goes no further.
    pub reason: Option<String>,
}

/// A metric to be computed where the events arise.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MetricDefinition {
    /// Whose windows these are; a metric that asks something else has another one.
    pub series: String,
    /// Name, for people.
    pub name: String,
    /// CEL: which events count.
    pub matches: String,
    /// What is computed, for example `count()`.
    pub aggregate: String,
    /// By which attributes.
    pub group_by: Vec<String>,
    /// Length of the windows, ms.
    pub base_ms: i64,
    /// Whether the events that it counts are sent all the same.
    pub keep_events: bool,
}

/// All metrics that an agent is to compute; those of an earlier push that are not among them end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct MetricsPush {
    /// Grows with every change.
    pub version: u64,
    /// [`crate::metric::FORMAT`] of the windows that the hub reads.
    pub format: u8,
    /// The metrics.
    pub definitions: Vec<MetricDefinition>,
}

/// What an agent made of a push. What it refuses the hub computes itself from the events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct MetricsTaken {
    /// Of which push.
    pub version: u64,
    /// Series that it does not compute, each with the reason in words.
    pub refused: Vec<(String, String)>,
}
