//! What agents and the hub say to each other: records on one bidirectional QUIC stream, and the two session state
//! machines.
//!
//! A record is either a data frame (`SFB1`, see [`crate::frame`]) or a control message: `SFC1`, a little-endian `u32`
//! length and that many bytes of bincode. Only agents send data frames. The conversation:
//!
//! ```text
//! agent                                   hub
//! Hello{epoch, next_seq}            ──►
//!                                   ◄──   Welcome{last_durable_seq, window}
//! frames last_durable_seq+1 …       ──►
//! Heartbeat                         ──►
//!                                   ◄──   Ack{durable_seq}           everything up to here is stored, or was refused by a Nack
//!                                   ◄──   Nack{seq, retry_after}     stored nothing from `seq` on; the hub skips frames until Resume
//! Resume{next_seq}, frames          ──►
//!                                   ◄──   Nack{seq, no retry_after}  only this frame is refused, and for good
//!                                   ◄──   Drill{event}             to agents that can; answered by Drill{step} as the event goes on
//!                                   ◄──   Metrics{definitions}        to agents that can: what to count where the events arise
//! MetricsTaken{refused}             ──►
//!                                   ◄──   Shutdown{retry_after}
//! ```
//!
//! A peer without a certificate may send one [`EnrollRequest`] and nothing else; one with a certificate may send a
//! [`RenewRequest`] at any time. The agent's identity comes from its certificate alone. The hub's TLS chain is its leaf
//! for [`SERVER_NAME`] followed by its CA, so that an agent that holds only the pin of an [`EnrollToken`] can check it.
//!
//! Sequences grow within an epoch and may have gaps (frames that the agent's spool policy dropped). A frame is stored
//! when its sequence is above the highest stored one of its `(agent, epoch)`, which makes every resend harmless.

mod ability;
mod agent;
mod control;
mod decoder;
mod hub;
mod message;
mod token;

#[cfg(test)]
mod tests;

pub use ability::{Ability, can, split_version, version_with};
pub use agent::{AgentEvent, AgentSession, Next};
pub use control::{CONTROL_HEADER_LEN, ControlMessage, MAX_CONTROL, encode};
pub use decoder::{Decoder, Incoming, WireError};
pub use hub::{FrameFate, Greeting, HubSession};
pub use message::{
    Ack, ConfigUpdate, DrillNews, DrillOrder, DrillStep, EnrollRequest, Enrolled, Heartbeat, Hello, MetricDefinition,
    MetricsPush, MetricsTaken, Nack, NackCode, RefusalCode, Refused, RenewRequest, Resume, Shutdown, SourceReport,
    ToAgent, ToHub, Welcome,
};
pub use token::{EnrollToken, TokenError};

/// Version of the messages in this module, carried in [`Hello`].
pub const PROTOCOL: u32 = 1;

/// ALPN of the QUIC connection; a change that old peers cannot read gets a new one.
pub const ALPN: &[u8] = b"streamflow/1";

/// Name in the hub's certificate that agents verify, whatever address they dialled.
pub const SERVER_NAME: &str = "streamflow-hub";

/// Key in an event's `metadata` that says which fire drill the event is of.
pub const DRILL_MARK: &str = "streamflow_drill";

/// QUIC application close codes.
pub mod close {
    /// Nothing wrong: the peer is done.
    pub const DONE: u32 = 0;
    /// The peer broke the protocol: unknown record, absurd length, message out of place.
    pub const PROTOCOL: u32 = 1;
    /// A frame's checksum was wrong.
    pub const CHECKSUM: u32 = 2;
    /// The certificate is not of an agent on the allow-list.
    pub const FORBIDDEN: u32 = 3;
    /// No first message in time.
    pub const TIMEOUT: u32 = 4;
    /// The hub is stopping; connect again later.
    pub const SHUTDOWN: u32 = 5;
    /// Another connection of the same agent took over.
    pub const REPLACED: u32 = 6;
    /// The hub could not store frames; connect again later.
    pub const STORE: u32 = 7;
}

/// A broken rule of the conversation; the connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A message that has no place at this point.
    #[error("{0} is out of place here")]
    OutOfPlace(&'static str),
    /// The peer speaks another version.
    #[error("protocol {theirs} is not spoken here, only {ours}")]
    Protocol {
        /// What the peer sent.
        theirs: u32,
        /// [`PROTOCOL`].
        ours: u32,
    },
}
