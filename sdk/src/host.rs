//! The one place where a plugin leaves itself: to the hub that runs it, or in tests to the fake host.

use crate::{
    bindings::channel::streamflow::plugin::{http as wit, log::Verbosity},
    http,
};

#[cfg(target_family = "wasm")]
pub(crate) fn log(verbosity: Verbosity, message: &str) {
    crate::bindings::channel::streamflow::plugin::log::write(verbosity, message);
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn log(verbosity: Verbosity, message: &str) {
    crate::testing::log(verbosity, message);
}

#[cfg(target_family = "wasm")]
pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    let http::Request {
        method,
        url,
        headers,
        body,
        timeout,
    } = request;
    let timeout_ms = timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    match wit::send(&wit::Request {
        method,
        url,
        headers,
        body,
        timeout_ms,
    }) {
        Ok(wit::Response { status, headers, body }) => Ok(http::Response { status, headers, body }),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    crate::testing::send(request)
}

impl From<wit::Error> for http::Error {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::Denied(reason) => Self::Denied(reason),
            wit::Error::Invalid(reason) => Self::Invalid(reason),
            wit::Error::Connect(reason) => Self::Connect(reason),
            wit::Error::Timeout => Self::Timeout,
            wit::Error::TooLarge => Self::TooLarge,
            wit::Error::Other(reason) => Self::Other(reason),
        }
    }
}
