//! Puts the stages together: sources → process → batch → spool → uplink. Owns the order in which they start and stop.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batcher, Sink};
use crate::config::{Config, SourceOptions};
use crate::counters::{Counters, SourceCounters};
use crate::drill::Driller;
use crate::edge::Edge;
use crate::identity::IdentityError;
use crate::process::{Processors, ProcessorsError};
use crate::source::file::{Claims, FileSource, Waker};
use crate::source::host::HostSource;
use crate::spool::position::Positions;
use crate::spool::{Spool, SpoolError};
use crate::status::{self, Observer};
use crate::uplink::Uplink;
use crate::{clock, metrics};

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder cannot be used.
    #[error("cannot use data_dir {0}: {1}")]
    DataDir(PathBuf, #[source] io::Error),
    /// Someone else uses it.
    #[error("another agent runs with data_dir {0}; stop it, or give this one a folder of its own")]
    Locked(PathBuf),
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A processor cannot work.
    #[error("{0}")]
    Processors(#[from] ProcessorsError),
    /// A pattern does not parse.
    #[error("a source's pattern does not parse: {0}")]
    Pattern(#[from] glob::PatternError),
    /// The metrics address is taken.
    #[error("cannot listen on metrics.listen = \"{0}\": {1}; choose another address")]
    Metrics(String, #[source] io::Error),
    /// A bug: nothing was counted as delivered that was not.
    #[error("the {0} failed unexpectedly; the next start goes on where this one ended")]
    Panicked(&'static str),
    /// A thread cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// How long sources may take for their last batches.
const SOURCES_STOP: Duration = Duration::from_secs(2);
/// How long closing a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Sources with their threads' stop switches.
pub struct Sources {
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<()>>,
}

type Start = (Waker, Box<dyn FnOnce() + Send>);

/// Sounds when its thread panics.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Makes all sources of a configuration, each with a batch that ends in `sink`; nothing runs yet.
fn build_sources(
    config: &Config,
    known: &Positions,
    sink: &Arc<dyn Sink>,
    counters: &Arc<Counters>,
    processors: &Processors,
) -> Result<(Vec<Start>, Vec<Arc<SourceCounters>>), RunError> {
    let claims = Claims::default();
    let (mut starts, mut counts): (Vec<Start>, _) = (Vec::new(), Vec::new());
    for options in &config.sources {
        let name = options.name();
        let count = SourceCounters::new(&name, options.kind());
        let batcher = Batcher::new(config.batch.clone(), processors.clone(), sink.clone(), count.clone());
        starts.push(match options {
            SourceOptions::File(file) => {
                let counters = (count.clone(), counters.clone());
                let source = FileSource::build(file, &config.name, known, claims.clone(), batcher, counters)?;
                (source.waker(), Box::new(|| source.run()))
            }
            SourceOptions::Host(host) => {
                let batcher = batcher.with_losses(Arc::clone(counters));
                let source = HostSource::build(host, &config.name, batcher, count.clone());
                (source.waker(), Box::new(|| source.run()))
            }
        });
        counts.push(count);
    }
    Ok((starts, counts))
}

impl Sources {
    /// Starts a thread for each source; `failed` is cancelled when one of them panics.
    fn start(starts: Vec<Start>, failed: &CancellationToken) -> io::Result<Self> {
        let mut sources = Self {
            wakers: Vec::new(),
            threads: Vec::new(),
        };
        for (waker, run) in starts {
            sources.wakers.push(waker);
            let alarm = Alarm(failed.clone());
            let thread = std::thread::Builder::new().name("source".into()).spawn(move || {
                let _alarm = alarm;
                run();
            })?;
            sources.threads.push(thread);
        }
        Ok(sources)
    }

    /// Runs the sources of a configuration into `sink`, without a spool or a hub. `give_up` ends their waiting for transforms; cancel it before they are stopped.
    pub fn run(config: &Config, sink: Arc<dyn Sink>, give_up: &CancellationToken) -> Result<Self, RunError> {
        let processors = Processors::apart(config, give_up)?;
        let (starts, _) = build_sources(config, &Positions::new(), &sink, &Arc::default(), &processors)?;
        Self::start(starts, &CancellationToken::new()).map_err(RunError::Thread)
    }

    /// Stops them and waits for their last batches. Blocks.
    pub fn stop(self) {
        self.wakers.iter().for_each(Waker::stop);
        for thread in self.threads {
            // A panic has been reported, and has ended the agent.
            drop(thread.join());
        }
    }
}

/// The agent before it runs.
pub struct Agent {
    config: Config,
    spool: Spool,
    starts: Vec<Start>,
    uplink: Uplink,
    observer: Observer,
    socket: UnixListener,
    metrics: Option<TcpListener>,
    /// Ends the waiting of sources and drills for their transforms.
    give_up: CancellationToken,
    /// Held as long as the agent runs.
    _lock: File,
}

impl Agent {
    /// Opens the spool, the identity and the sockets; no source is read yet.
    pub async fn build(config: Config) -> Result<Self, RunError> {
        let lock = lock(&config.data_dir)?;
        let counters = Arc::new(Counters::default());
        let (spool, report) = Spool::build(&config.spool, &config.data_dir.join("spool"), counters.clone())?;
        tracing::info!(
            frames = report.frames,
            events = report.events,
            torn_bytes = report.torn_bytes,
            "the spool is open"
        );
        if report.damaged > 0 {
            tracing::error!(damaged = report.damaged, set_aside = ?report.set_aside, "parts of the spool cannot be read");
        }
        let handle = spool.handle();
        let sink: Arc<dyn Sink> = Arc::new(handle.clone());
        let edge = config
            .edge
            .enabled
            .then(|| Arc::new(Edge::new(config.edge.clone(), config.name.clone())));
        let give_up = CancellationToken::new();
        let processors = processors(&config, &counters, &give_up).await?;
        let transforms = processors.transforms().cloned().collect();
        let with_edge = match &edge {
            Some(edge) => processors.clone().with_edge(Arc::clone(edge)),
            None => processors.clone(),
        };
        let (starts, mut sources) = build_sources(&config, spool.positions(), &sink, &counters, &with_edge)?;
        let drills = SourceCounters::new("drill", "drill");
        sources.push(drills.clone());
        let driller = Driller::new(config.batch.clone(), processors, handle.clone(), drills);
        let uplink = Uplink::build(
            &config.hub,
            config.data_dir.clone(),
            config.name.clone(),
            handle.clone(),
            counters.clone(),
            sources.clone(),
        )?
        .with_driller(driller)
        .with_edge(edge.clone());
        let observer = Observer {
            name: config.name.clone(),
            edge,
            transforms,
            started_ms: clock::now_ms(),
            link: uplink.state(),
            spool: handle,
            counters,
            sources,
        };
        let socket =
            status::bind(&config.data_dir).map_err(|error| RunError::DataDir(config.data_dir.clone(), error))?;
        let metrics = match config.metrics.listen.parse::<SocketAddr>() {
            Ok(listen) => {
                let bound = metrics::bind(listen).await;
                Some(bound.map_err(|error| RunError::Metrics(config.metrics.listen.clone(), error))?)
            }
            Err(_) => None,
        };
        Ok(Self {
            config,
            spool,
            starts,
            uplink,
            observer,
            socket,
            metrics,
            give_up,
            _lock: lock,
        })
    }

    /// Where the figures come from.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Address of the metrics endpoint, when there is one.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Runs until `shutdown`, then delivers what it can: sources stop, their last batches are synced, the uplink sends what is in the spool for
    /// as long as `hub.drain_timeout` allows. The rest is sent after the next start.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let handle = self.observer.spool.clone();
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let spool_ended = CancellationToken::new();
        let ended = spool_ended.clone().drop_guard();
        let spool = self.spool;
        let writer = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || {
                let _ended = ended;
                spool.run()
            })
            .map_err(RunError::Thread)?;
        let alarm = CancellationToken::new();
        let sources = Sources::start(self.starts, &alarm).map_err(RunError::Thread)?;
        let mut uplink = tokio::spawn(self.uplink.run(drain.clone(), stop.clone()));
        let status = tokio::spawn(status::serve(self.socket, self.observer.clone(), stop.clone()));
        let metrics = self
            .metrics
            .map(|listener| tokio::spawn(metrics::serve(listener, self.observer.clone(), stop.clone())));

        tokio::select! {
            () = shutdown.cancelled() => {}
            () = alarm.cancelled() => {}
            () = spool_ended.cancelled() => {}
        }
        tracing::info!("stopping: no more reading");
        let mut stopping = tokio::task::spawn_blocking(move || sources.stop());
        // A source that waits for a full spool, or for a transform, gives up what it holds: its files still have it, and what has no file is counted.
        if tokio::time::timeout(SOURCES_STOP, &mut stopping).await.is_err() {
            handle.close();
            self.give_up.cancel();
            drop(stopping.await);
        }
        // A fire drill may wait for a transform too, on a thread that the runtime would wait for.
        self.give_up.cancel();
        handle.close();
        let written = tokio::task::spawn_blocking(move || writer.join()).await;
        drain.cancel();
        let patience = self.config.hub.drain_timeout.0;
        if tokio::time::timeout(patience, &mut uplink).await.is_err() {
            let waiting = handle.backlog().events;
            tracing::info!(
                waiting,
                "the hub does not have everything yet; the rest is sent after the next start"
            );
            stop.cancel();
            drop(tokio::time::timeout(GOODBYE, uplink).await);
        }
        stop.cancel();
        drop(status.await);
        if let Some(metrics) = metrics {
            drop(tokio::time::timeout(GOODBYE, metrics).await);
        }
        match written {
            Ok(Ok(result)) => result?,
            _ => return Err(RunError::Panicked("spool")),
        }
        if alarm.is_cancelled() {
            Err(RunError::Panicked("source"))
        } else {
            Ok(())
        }
    }
}

/// Loads the processors, away from the async threads: compiling takes its time.
async fn processors(
    config: &Config,
    counters: &Arc<Counters>,
    give_up: &CancellationToken,
) -> Result<Processors, RunError> {
    let (config, counters, give_up) = (config.clone(), Arc::clone(counters), give_up.clone());
    let built = tokio::task::spawn_blocking(move || Processors::build(&config, &counters, &give_up)).await;
    Ok(built.map_err(|_| RunError::Panicked("processors"))??)
}

fn lock(data_dir: &Path) -> Result<File, RunError> {
    let failed = |error| RunError::DataDir(data_dir.to_owned(), error);
    crate::folder::make(data_dir).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::Locked(data_dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}
