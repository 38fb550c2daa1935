//! Outgoing mail: one relay, configured by the operator, and the messages that plugins hand it.
//!
//! Invariants: the relay's address is checked by the egress rules and is the one connected to; a plugin sets no header that decides
//! who sends or receives, and none that holds a line end; no password leaves over a connection without TLS.

mod compose;
mod options;
mod relay;

pub(crate) use compose::Draft;
pub use options::{MailOptions, Security};
pub use relay::MailBuildError;
pub(crate) use relay::Mailer;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This hub does not send it: no relay, or one that may not be connected to.
    Denied(String),
    /// The message is not one.
    Invalid(String),
    /// Worth another attempt: the relay is out of reach, or says so (4xx).
    Transient(String),
    /// The relay refuses it for good (5xx).
    Permanent(String),
}

#[cfg(test)]
mod tests;
