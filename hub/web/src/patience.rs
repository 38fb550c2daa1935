//! More time for answers that need it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

/// How long the answer to one request may take, as far as its route has a say in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed(Arc<AtomicU64>);

impl Allowed {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Allows answers of the routes under it this time, where it is more than [`Limits::timeout`](crate::Limits::timeout). For
/// [`from_fn_with_state`](axum::middleware::from_fn_with_state).
pub async fn answer_within(State(time): State<Duration>, request: Request, next: Next) -> Response {
    if let Some(allowed) = request.extensions().get::<Allowed>() {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        allowed.0.fetch_max(time, Ordering::Relaxed);
    }
    next.run(request).await
}
