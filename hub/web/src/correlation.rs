//! The request's correlation id: accepted or minted, and at hand for everything that runs for the request.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// Header that carries the id both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest id that is accepted from outside.
const MAX_LEN: usize = 128;

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// Id of the request that this task serves; a new one outside of any request.
#[must_use]
pub fn current() -> String {
    CURRENT
        .try_with(|id| id.to_string())
        .unwrap_or_else(|_| mint().to_string())
}

/// Runs a future as part of the request with this id; for work that a handler spawns.
pub async fn scope<F: Future>(id: Arc<str>, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}

/// The caller's id when it is 1 to 128 printable ASCII characters, else a new one.
pub(crate) fn accept_or_mint(headers: &HeaderMap) -> Arc<str> {
    headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=MAX_LEN).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(mint, Arc::from)
}

fn mint() -> Arc<str> {
    Arc::from(Uuid::now_v7().to_string())
}
