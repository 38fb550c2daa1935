//! A real HTTP server that records what channels send.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tokio::sync::Notify;

/// One received request.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its body as it came.
    pub text: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, when it is JSON.
    pub body: Value,
    /// When it came.
    pub at: std::time::Instant,
}

#[derive(Debug, Default)]
struct Inner {
    received: Vec<Received>,
    /// Statuses to answer next; 200 when used up.
    answers: Vec<u16>,
    /// What to answer under paths that begin so, when `answers` is used up: status, seconds of `Retry-After`, body.
    replies: BTreeMap<String, (u16, Option<u64>, Value)>,
    /// Answers wait until that is over.
    holding: Option<Arc<Notify>>,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Receiver {
    inner: Arc<Mutex<Inner>>,
    /// `127.0.0.1:port`.
    pub address: String,
}

impl Receiver {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address").to_string();
        let app = Router::new()
            .route("/hook", post(receive))
            .fallback(receive)
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { inner, address }
    }

    /// Where channels post to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next requests with these statuses.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.inner.lock().expect("lock").answers = statuses.iter().rev().copied().collect();
    }

    /// Answers requests under paths that begin so with a status, `Retry-After` and a body, until told otherwise.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn reply(&self, path: &str, status: u16, retry_after: Option<u64>, body: Value) {
        let reply = (status, retry_after, body);
        self.inner.lock().expect("lock").replies.insert(path.to_owned(), reply);
    }

    /// Everything received so far under paths that begin so.
    #[must_use]
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        let mut all = self.received();
        all.retain(|one| one.path.starts_with(path));
        all
    }

    /// Keeps whoever posts waiting for an answer, until [`Self::let_go`].
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn hold(&self) {
        self.inner.lock().expect("lock").holding = Some(Arc::default());
    }

    /// Answers those who wait, and everybody from now on.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn let_go(&self) {
        if let Some(held) = self.inner.lock().expect("lock").holding.take() {
            held.notify_waiters();
        }
    }

    /// How many requests were received so far.
    ///
    /// # Panics
    /// When a handler panicked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lock().expect("lock").received.len()
    }

    /// The first request received that is meant.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn find(&self, is: impl Fn(&Received) -> bool) -> Option<Received> {
        let inner = self.inner.lock().expect("lock");
        inner.received.iter().find(|received| is(received)).cloned()
    }

    /// Everything received so far.
    ///
    /// # Panics
    /// When a handler panicked.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().expect("lock").received.clone()
    }
}

async fn receive(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let held = {
        let mut inner = inner.lock().expect("lock");
        inner.received.push(Received {
            method: method.to_string(),
            path: path.clone(),
            text: String::from_utf8_lossy(&body).into_owned(),
            headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            at: std::time::Instant::now(),
        });
        inner.holding.clone().map(Notify::notified_owned)
    };
    if let Some(held) = held {
        held.await;
    }
    let mut inner = inner.lock().expect("lock");
    let status = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Some(next) = inner.answers.pop() {
        return status(next).into_response();
    }
    // The longest path that fits.
    let reply = inner
        .replies
        .iter()
        .rev()
        .find(|(own, _)| path.starts_with(own.as_str()));
    let Some((_, (code, retry_after, body))) = reply else {
        return StatusCode::OK.into_response();
    };
    let mut response = (status(*code), axum::Json(body.clone())).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", (*seconds).into());
    }
    response
}
