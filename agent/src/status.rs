//! How the agent does, served on a Unix socket in `data_dir` and read by `streamflow-agent status`.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::counters::{Counters, SourceCounters};
use crate::edge::{Edge, PushedMetric};
use crate::spool::{Backlog, SpoolHandle};
use crate::transform::{Transform, TransformStatus};
use crate::uplink::LinkState;

const SOCKET: &str = "agent.sock";
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 1 << 20;

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Program version.
    pub version: String,
    /// The agent's name.
    pub name: String,
    /// Process.
    pub pid: u32,
    /// When it started.
    pub started_ms: i64,
    /// The session with the hub.
    pub hub: LinkState,
    /// What waits in the spool.
    pub spool: SpoolStatus,
    /// Age of the oldest event that the hub does not have yet.
    pub lag_ms: i64,
    /// Events that the hub has acknowledged.
    pub events_acked: u64,
    /// Events given up, by reason.
    pub dropped: Vec<Dropped>,
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// Metrics that the hub has pushed here.
    pub metrics: Vec<PushedMetric>,
    /// Transforms among the processors.
    pub transforms: Vec<TransformStatus>,
}

/// The spool in [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Bytes and events that wait.
    #[serde(flatten)]
    pub backlog: Backlog,
    /// Most bytes on disk.
    pub max_bytes: u64,
    /// Stretches that could not be read.
    pub damaged: u64,
}

/// One reason in [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Why.
    pub reason: String,
    /// How many.
    pub events: u64,
}

/// One source in [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of the counters say it")]
pub struct SourceStatus {
    pub name: String,
    pub kind: String,
    pub events: u64,
    pub bytes: u64,
    pub filtered: u64,
    pub not_kept: u64,
    pub files: u64,
    pub errors: u64,
    pub malformed: u64,
    pub invalid_utf8: u64,
    pub truncated: u64,
    pub last_error: Option<String>,
}

/// Where the figures come from.
#[derive(Clone)]
pub struct Observer {
    /// The agent's name.
    pub name: String,
    /// Metrics that the hub pushes, when it may.
    pub edge: Option<Arc<Edge>>,
    /// Transforms among the processors.
    pub transforms: Vec<Arc<Transform>>,
    /// When it started.
    pub started_ms: i64,
    /// The uplink.
    pub link: watch::Receiver<LinkState>,
    /// The spool.
    pub spool: SpoolHandle,
    /// Counts.
    pub counters: Arc<Counters>,
    /// Counts of the sources.
    pub sources: Vec<Arc<SourceCounters>>,
}

impl Observer {
    /// How it is now.
    pub fn status(&self) -> Status {
        let backlog = self.spool.backlog();
        let source = |source: &Arc<SourceCounters>| SourceStatus {
            name: source.name.clone(),
            kind: source.kind.to_owned(),
            events: source.events.get(),
            bytes: source.bytes.get(),
            filtered: source.filtered.get(),
            not_kept: source.not_kept.get(),
            files: source.files.load(Ordering::Relaxed),
            errors: source.errors.get(),
            malformed: source.malformed.get(),
            invalid_utf8: source.invalid_utf8.get(),
            truncated: source.truncated.get(),
            last_error: source.last_error(),
        };
        // The source of fire drills is nothing that anybody configured.
        let shown = |one: &&Arc<SourceCounters>| one.kind != "drill" || one.events.get() > 0;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            pid: std::process::id(),
            started_ms: self.started_ms,
            hub: self.link.borrow().clone(),
            lag_ms: backlog.oldest_ms.map_or(0, |oldest| (clock::now_ms() - oldest).max(0)),
            spool: SpoolStatus {
                backlog,
                max_bytes: self.spool.max_bytes(),
                damaged: self.counters.damaged.get(),
            },
            events_acked: self.counters.events_acked.get(),
            dropped: self
                .counters
                .drops()
                .map(|(reason, events)| Dropped {
                    reason: reason.name().into(),
                    events,
                })
                .collect(),
            sources: self.sources.iter().filter(shown).map(source).collect(),
            metrics: self.edge.as_ref().map(|edge| edge.status()).unwrap_or_default(),
            transforms: self.transforms.iter().map(|transform| transform.status()).collect(),
        }
    }
}

/// A short way to the socket: the path of a Unix socket may only have 107 bytes, that of `data_dir` any number.
fn short_path(data_dir: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    let dir = std::fs::File::open(data_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(SOCKET);
    Ok((dir, path))
}

/// Opens the socket. The caller holds the lock on `data_dir`, so an existing socket is a dead one.
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let (_dir, path) = short_path(data_dir)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(&path),
    }
}

/// Answers everyone who connects.
pub async fn serve(listener: UnixListener, observer: Observer, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, &observer).await {
                    tracing::debug!(%error, "cannot answer a question for the status");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the status socket does not work");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, observer: &Observer) -> io::Result<()> {
    let text = serde_json::to_vec(&observer.status())?;
    match tokio::time::timeout(PATIENCE, stream.write_all(&text)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Asks the agent that runs with this `data_dir`; none when there is none.
pub async fn ask(data_dir: &Path) -> io::Result<Option<Status>> {
    let not_running =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    let connected = match short_path(data_dir) {
        Ok((_dir, path)) => UnixStream::connect(&path).await,
        Err(error) => Err(error),
    };
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) if not_running(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    tokio::time::timeout(PATIENCE, stream.take(MAX_ANSWER).read_to_end(&mut text)).await??;
    Ok(Some(serde_json::from_slice(&text)?))
}
