//! The one place where a plugin leaves itself: to the hub that runs it, or in tests to the fake host.

use crate::{
    bindings::channel::streamflow::plugin::{http as wit, log::Verbosity},
    group, http, mail,
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

#[cfg(target_family = "wasm")]
pub(crate) fn mail(message: mail::Message) -> Result<String, mail::Error> {
    use crate::bindings::channel::streamflow::plugin::mail as wit;
    let mail::Message {
        from,
        to,
        subject,
        text,
        html,
        headers,
    } = message;
    let sent = wit::send(&wit::Message {
        from,
        to,
        subject,
        text,
        html,
        headers,
    });
    sent.map_err(|error| match error {
        wit::Error::Denied(reason) => mail::Error::Denied(reason),
        wit::Error::Invalid(reason) => mail::Error::Invalid(reason),
        wit::Error::Transient(reason) => mail::Error::Transient(reason),
        wit::Error::Permanent(reason) => mail::Error::Permanent(reason),
    })
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn mail(message: mail::Message) -> Result<String, mail::Error> {
    crate::testing::mail(message)
}

#[cfg(target_family = "wasm")]
pub(crate) fn members(most: u32) -> group::Listing {
    use crate::{State, bindings::channel::streamflow::plugin::group as wit};
    let listing = wit::members(most);
    let member = |member: wit::Member| group::Member {
        id: member.id,
        rule_id: member.rule_id,
        rule: member.rule,
        key: member.key,
        state: match member.state {
            wit::State::Firing => State::Firing,
            wit::State::Acknowledged => State::Acknowledged,
            wit::State::Resolved => State::Resolved,
            wit::State::Stale => State::Stale,
        },
        level: member.level,
        title: member.title,
        body: member.body,
        starts_at: member.starts_at,
        ends_at: member.ends_at,
        value: member.value,
        labels: member.labels,
        annotations: member.annotations,
        url: member.url,
    };
    group::Listing {
        members: listing.members.into_iter().map(member).collect(),
        omitted: listing.omitted,
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn members(most: u32) -> group::Listing {
    crate::testing::members(most)
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
