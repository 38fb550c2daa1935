//! A fake host for tests that run natively: it records what a plugin sends and logs, and answers as told.

mod events;
mod rule;
mod transform;

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

pub use events::{Event, event};
pub use rule::RuleTest;
pub use transform::TransformTest;

use crate::{
    Channel, Failure, Level, Notice, State,
    group::{Listing, Member},
    http,
    log::Verbosity,
    mail,
};

/// Stands in for the hub on this thread until it is dropped.
///
/// ```
/// use streamflow_sdk::{http::{Request, Response}, testing::FakeHost};
/// let host = FakeHost::new();
/// host.answer(Response { status: 202, ..Response::default() });
/// Request::post("https://example.org/hook").send().unwrap();
/// assert_eq!(host.requests()[0].url, "https://example.org/hook");
/// ```
#[derive(Debug)]
pub struct FakeHost(Rc<RefCell<Script>>);

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Result<http::Response, http::Error>>,
    requests: Vec<http::Request>,
    mail_answers: VecDeque<Result<String, mail::Error>>,
    mails: Vec<mail::Message>,
    lines: Vec<(Verbosity, String)>,
    group: Listing,
}

thread_local! {
    static HOST: RefCell<Option<Rc<RefCell<Script>>>> = const { RefCell::new(None) };
}

impl FakeHost {
    /// Puts a fake host in place; requests without a scripted answer get 200.
    #[must_use]
    pub fn new() -> Self {
        let script = Rc::new(RefCell::new(Script::default()));
        HOST.set(Some(Rc::clone(&script)));
        Self(script)
    }

    /// Answers the next request that has no answer yet.
    pub fn answer(&self, response: http::Response) {
        self.0.borrow_mut().answers.push_back(Ok(response));
    }

    /// Fails the next request that has no answer yet.
    pub fn fail(&self, error: http::Error) {
        self.0.borrow_mut().answers.push_back(Err(error));
    }

    /// Says which alerts the notices that follow tell of, and of how many more; none = each of its own.
    pub fn group(&self, members: Vec<Member>, omitted: u32) {
        self.0.borrow_mut().group = Listing { members, omitted };
    }

    /// Answers the next message of mail that has no answer yet; messages without a scripted answer are taken.
    pub fn answer_mail(&self, answer: Result<String, mail::Error>) {
        self.0.borrow_mut().mail_answers.push_back(answer);
    }

    /// What was mailed, in order.
    #[must_use]
    pub fn mails(&self) -> Vec<mail::Message> {
        self.0.borrow().mails.clone()
    }

    /// What was sent, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<http::Request> {
        self.0.borrow().requests.clone()
    }

    /// What was logged, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<(Verbosity, String)> {
        self.0.borrow().lines.clone()
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        HOST.take();
    }
}

/// Makes a channel from configuration as the hub would.
///
/// # Errors
/// What the hub would show to the person who wrote the configuration.
pub fn channel<C: Channel>(config: &serde_json::Value) -> Result<C, String> {
    C::init(serde_json::from_value(config.clone()).map_err(|error| format!("configuration: {error}"))?)
}

/// An answer of a receiver.
#[must_use]
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> http::Response {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    http::Response {
        status,
        headers: headers.iter().map(pair).collect(),
        body: body.as_bytes().to_vec(),
    }
}

/// Delivers one notice through a fresh channel.
///
/// # Errors
/// The channel's own; a configuration that it refuses is a permanent failure.
pub fn deliver<C: Channel>(config: &serde_json::Value, notice: &Notice) -> Result<String, Failure> {
    channel::<C>(config).map_err(Failure::Permanent)?.deliver(notice, 1)
}

/// Checks what every channel over HTTP owes its alerts: a receiver that is busy or out of reach is tried again, and not before it asks for; one that
/// refuses is not.
///
/// # Panics
/// When the channel does otherwise.
pub fn check_outcomes<C: Channel>(config: &serde_json::Value) {
    let outcome = |script: Result<http::Response, http::Error>| {
        let host = FakeHost::new();
        match script {
            Ok(response) => host.answer(response),
            Err(error) => host.fail(error),
        }
        deliver::<C>(config, &notice())
    };
    let slow = outcome(Ok(response(429, &[("Retry-After", "7")], "slow down")));
    let after = match &slow {
        Err(Failure::Transient { retry_after, .. }) => *retry_after,
        other => panic!("429: {other:?}"),
    };
    assert_eq!(after, Some(std::time::Duration::from_secs(7)), "429: {slow:?}");
    for status in [408, 500, 502, 503, 504] {
        let outcome = outcome(Ok(response(status, &[], "")));
        assert!(
            matches!(outcome, Err(Failure::Transient { .. })),
            "{status}: {outcome:?}"
        );
    }
    for status in [302, 400, 401, 403, 404, 410, 413] {
        let outcome = outcome(Ok(response(status, &[], "no")));
        assert!(matches!(outcome, Err(Failure::Permanent(_))), "{status}: {outcome:?}");
    }
    let silent = outcome(Err(http::Error::Timeout));
    assert!(matches!(silent, Err(Failure::Transient { .. })), "{silent:?}");
    let denied = outcome(Err(http::Error::Denied("private".to_owned())));
    assert!(matches!(denied, Err(Failure::Permanent(_))), "{denied:?}");
}

/// A firing alert of level `warning` with a label; change what a test is about.
#[must_use]
pub fn notice() -> Notice {
    let label = || vec![("source".to_owned(), "web-1".to_owned())];
    Notice {
        id: "0199aa00-0000-7000-8000-000000000001".to_owned(),
        rule_id: "0199aa00-0000-7000-8000-000000000002".to_owned(),
        rule: "api error rate".to_owned(),
        key: "0199aa00-0000-7000-8000-000000000002/source=web-1".to_owned(),
        channel: "ops".to_owned(),
        state: State::Firing,
        level: Level::Warning,
        title: "api error rate: 60 > 50".to_owned(),
        body: "count() over 5m reached 60".to_owned(),
        at: 1_700_000_060_000_000_000,
        starts_at: 1_700_000_000_000_000_000,
        ends_at: None,
        value: Some(60.0),
        labels: label(),
        group_labels: label(),
        annotations: Vec::new(),
        idempotency_key: "0199aa00-0000-7000-8000-000000000001:firing:1".to_owned(),
        external_url: "https://hub.example.org".to_owned(),
        url: "https://hub.example.org/alerts/0199aa00-0000-7000-8000-000000000001".to_owned(),
        test: false,
    }
}

pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    let Some(script) = HOST.with_borrow(Clone::clone) else {
        return Err(http::Error::Other("no FakeHost is in place in this test".to_owned()));
    };
    let mut script = script.borrow_mut();
    script.requests.push(request);
    script.answers.pop_front().unwrap_or_else(|| {
        Ok(http::Response {
            status: 200,
            ..http::Response::default()
        })
    })
}

pub(crate) fn mail(message: mail::Message) -> Result<String, mail::Error> {
    let Some(script) = HOST.with_borrow(Clone::clone) else {
        return Err(mail::Error::Denied("no FakeHost is in place in this test".to_owned()));
    };
    let mut script = script.borrow_mut();
    script.mails.push(message);
    let answer = script.mail_answers.pop_front();
    answer.unwrap_or_else(|| Ok("<message@fake-host>".to_owned()))
}

pub(crate) fn members(most: u32) -> Listing {
    let mut listing = HOST
        .with_borrow(Clone::clone)
        .map(|script| script.borrow().group.clone())
        .unwrap_or_default();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let more = listing.members.len().saturating_sub(most);
    listing.members.truncate(most);
    listing.omitted += u32::try_from(more).unwrap_or(u32::MAX);
    listing
}

pub(crate) fn log(verbosity: Verbosity, message: &str) {
    if let Some(script) = HOST.with_borrow(Clone::clone) {
        script.borrow_mut().lines.push((verbosity, message.to_owned()));
    }
}
