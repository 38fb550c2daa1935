//! A hub that has begun is not at rest yet: it compiles the shipped plugins, which has nothing to do with the load that is measured.

use std::time::{Duration, Instant};

use streamflow_tests::process::Process;

/// How long a process is watched.
const SPELL: Duration = Duration::from_millis(500);

/// Computing time within a spell below which it counts as at rest.
const IDLE: Duration = Duration::from_millis(30);

/// Waits until the process does next to nothing.
///
/// # Panics
/// After two minutes.
pub async fn settled(process: &Process) {
    let begun = Instant::now();
    loop {
        let before = process.cpu();
        tokio::time::sleep(SPELL).await;
        if process.cpu() - before < IDLE {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the hub does not come to rest"
        );
    }
}
