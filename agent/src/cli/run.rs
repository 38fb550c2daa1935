//! `run`

use std::io::IsTerminal;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::output::{self, Failure};
use super::{Common, one};
use crate::config::{LogFormat, LogOptions};
use crate::pipeline::Agent;

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Print one line of JSON on stdout when everything runs.
    #[arg(long)]
    ready_json: bool,
}

#[derive(Serialize)]
struct Ready {
    event: &'static str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

/// Runs the agent.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let config = args.common.load()?;
    log(&config.log)?;
    // Sources and the spool have threads of their own; what is left is one connection.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let agent = Agent::build(config).await?;
        let metrics = agent.metrics_addr().map(|address| address.to_string());
        if args.ready_json {
            output::json(&Ready {
                event: "ready",
                pid: std::process::id(),
                metrics,
            })?;
        }
        let shutdown = CancellationToken::new();
        let signals = shutdown.clone();
        tokio::spawn(async move {
            for first in [true, false] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if !first {
                    tracing::warn!("second signal, exiting at once");
                    std::process::exit(1);
                }
                signals.cancel();
            }
        });
        agent.run(shutdown).await?;
        Ok(())
    })
}

/// Sends log lines to stderr.
pub(super) fn log(options: &LogOptions) -> Result<(), Failure> {
    let targets: Targets = options
        .level
        .parse()
        .map_err(|error| one("log.level", format!("{error}")))?;
    let layer = match options.format {
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    Ok(tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()?)
}
