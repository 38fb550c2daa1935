//! HTTP requests, to the hosts that the manifest names. The hub sends them, fills in `${secret:NAME}`, and follows no redirects.

mod outcome;

use std::time::Duration;

use serde::Serialize;

pub use crate::bindings::channel::streamflow::plugin::http::Method;
use crate::host;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Names and values. Host, content-length and their like are the hub's.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// The hub's own limit may be lower.
    pub timeout: Option<Duration>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not in the manifest, not granted, or a forbidden address.
    #[error("denied: {0}")]
    Denied(String),
    /// The request is not one.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The receiver is out of reach.
    #[error("no connection: {0}")]
    Connect(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Request or answer is too large.
    #[error("request or answer is too large")]
    TooLarge,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a body of text.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self.header("content-type", "text/plain; charset=utf-8")
    }

    /// Sets a body of JSON.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        self.body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(self.header("content-type", "application/json"))
    }

    /// Waits no longer than this for the answer.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it. An answer of any status is `Ok`; see [`Response::accepted`].
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(self) -> Result<Response, Error> {
        host::send(self)
    }

    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Response {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}
