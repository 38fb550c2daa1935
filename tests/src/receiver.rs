//! A real HTTP server that records what channels send.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use tokio::sync::Notify;

/// One received request.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// When it came.
    pub at: std::time::Instant,
}

#[derive(Debug, Default)]
struct Inner {
    received: Vec<Received>,
    /// Statuses to answer next; 200 when used up.
    answers: Vec<u16>,
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
        let app = Router::new().route("/hook", post(receive)).with_state(inner.clone());
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

    /// Everything received so far.
    ///
    /// # Panics
    /// When a handler panicked.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().expect("lock").received.clone()
    }
}

async fn receive(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let held = {
        let mut inner = inner.lock().expect("lock");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        inner.received.push(Received {
            headers,
            body,
            at: std::time::Instant::now(),
        });
        inner.holding.clone().map(Notify::notified_owned)
    };
    if let Some(held) = held {
        held.await;
    }
    let answer = inner.lock().expect("lock").answers.pop();
    answer
        .and_then(|s| StatusCode::from_u16(s).ok())
        .unwrap_or(StatusCode::OK)
}
