//! Waiting for a condition with a deadline; the only kind of waiting that tests do.

use std::time::{Duration, Instant};

/// Generous, because test machines are slow and busy; a passing test never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until `check` answers something.
///
/// # Panics
/// When the deadline passes, with `what`.
pub async fn eventually_some<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "did not happen within {DEADLINE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Polls until `check` holds.
///
/// # Panics
/// When the deadline passes, with `what`.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    eventually_some(what, async || check().await.then_some(())).await;
}
