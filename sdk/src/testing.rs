//! A fake host for tests that run natively: it records what a plugin sends and logs, and answers as told.

mod rule;

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

pub use rule::{Event, RuleTest, event};

use crate::{Channel, Level, Notice, State, http, log::Verbosity};

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
    lines: Vec<(Verbosity, String)>,
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

pub(crate) fn log(verbosity: Verbosity, message: &str) {
    if let Some(script) = HOST.with_borrow(Clone::clone) {
        script.borrow_mut().lines.push((verbosity, message.to_owned()));
    }
}
