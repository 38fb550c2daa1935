//! Signals, and the order in which the hub stops.

use std::{future::Future, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// All stages together may take this long to stop.
const DEADLINE: Duration = Duration::from_secs(10);

/// Resolves at the first SIGTERM or SIGINT; from then on a second one ends the process at once.
///
/// # Errors
/// When signals cannot be listened to.
pub async fn requested() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal, stopping at once");
        std::process::exit(130);
    });
    Ok(name)
}

/// One running stage.
struct Stage {
    name: &'static str,
    token: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// The running stages in the order in which they must stop.
#[derive(Default)]
pub struct Stages(Vec<Stage>);

impl Stages {
    /// Starts a stage. Stages stop in the order of these calls.
    pub fn start<F>(&mut self, name: &'static str, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let token = CancellationToken::new();
        let task = tokio::spawn(run(token.clone()));
        self.0.push(Stage { name, token, task });
    }

    /// Resolves when a stage ends although nobody asked it to.
    pub async fn failed(&mut self) -> anyhow::Error {
        let running = self.0.iter_mut().map(|stage| {
            Box::pin(async {
                let why = match (&mut stage.task).await {
                    Ok(Ok(())) => anyhow::anyhow!("ended early"),
                    Ok(Err(error)) => error,
                    Err(panic) => anyhow::anyhow!("panicked: {panic}"),
                };
                why.context(format!("{} stopped", stage.name))
            })
        });
        futures_util::future::select_all(running).await.0
    }

    /// Stops one after the other under one deadline and names stragglers.
    pub async fn stop(self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        for Stage { name, token, mut task } in self.0 {
            token.cancel();
            if task.is_finished() {
                continue;
            }
            match tokio::time::timeout_at(deadline, &mut task).await {
                Ok(Ok(Ok(()))) => tracing::debug!(stage = name, "stopped"),
                Ok(Ok(Err(error))) => {
                    tracing::error!(stage = name, error = format!("{error:#}"), "stopped with an error")
                }
                Ok(Err(panic)) => tracing::error!(stage = name, error = %panic, "panicked while stopping"),
                Err(_) => {
                    tracing::error!(stage = name, "did not stop in time");
                    task.abort();
                }
            }
        }
    }
}
