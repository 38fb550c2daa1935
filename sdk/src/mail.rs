//! Mail, through the relay that the hub's operator has configured. Needs `mail = true` under `[capabilities]` of the manifest.
//!
//! ```
//! use streamflow_sdk::{mail::Message, testing::FakeHost};
//! let host = FakeHost::new();
//! Message::new("disk full", "web-1 is full").to("eva@example.org").send().unwrap();
//! assert_eq!(host.mails()[0].to, ["eva@example.org"]);
//! ```

use crate::{Failure, host};

/// One message. The hub sends one a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// None: the sender that the operator has configured.
    pub from: Option<String>,
    /// Recipients, such as `Eva <eva@example.org>`.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// The same in HTML.
    pub html: Option<String>,
    /// Further headers. Those that decide who sends and who receives are the hub's.
    pub headers: Vec<(String, String)>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The hub has no relay, or may not connect to it.
    #[error("denied: {0}")]
    Denied(String),
    /// The message is not one.
    #[error("invalid message: {0}")]
    Invalid(String),
    /// Worth another attempt.
    #[error("{0}")]
    Transient(String),
    /// The relay refuses it for good.
    #[error("{0}")]
    Permanent(String),
}

impl Message {
    /// A message without recipients.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// Adds a recipient.
    #[must_use]
    pub fn to(mut self, address: impl Into<String>) -> Self {
        self.to.push(address.into());
        self
    }

    /// Sets the same text in HTML.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends it and answers its `Message-ID`.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn send(self) -> Result<String, Error> {
        host::mail(self)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Transient(reason) => Self::Transient {
                reason,
                retry_after: None,
            },
            Error::Denied(_) | Error::Invalid(_) | Error::Permanent(_) => Self::Permanent(error.to_string()),
        }
    }
}
