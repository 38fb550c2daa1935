//! The embedded store: one SQLite file with one writer.

mod append;
mod checkpoint;
mod command;
mod documents;
mod fault;
mod merge;
mod open;
mod part;
mod read;
mod replay;
mod rollup;
mod script;
mod service;
mod task;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use prometheus::Registry;
use sqlx::SqliteConnection;
use streamflow_bus::{Content, LogTail};
use streamflow_proto::{chunk::EncodedChunk, event::Event, filter::Filter, frame::Frame};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use uuid::Uuid;

pub use service::Service;

use self::{
    append::Log,
    checkpoint::Moves,
    command::{Arrival, Done, Queue, Task},
    merge::Merger,
    part::{PartCache, PartReader},
    read::Reader,
    writer::Writer,
};
use crate::{
    StoreError,
    metrics::Metrics,
    options::Options,
    store::{
        Doc, DocOp, EventPage, EventQuery, LogBatch, Origin, Receipt, Replay, Replayed, RollupQuery, RollupSeries,
        RollupWrite, Scanned, Store, StoreHealth, StoreStats, Visit,
    },
};

/// The store of a single hub.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    queue: Queue,
    reader: Reader,
    tail: LogTail,
    health: watch::Receiver<StoreHealth>,
    metrics: Metrics,
}

/// Opens the store for the one process that serves.
///
/// # Errors
/// When another hub serves this folder, or the database cannot be opened.
pub async fn build(
    options: &Options,
    data_dir: &Path,
    registry: &Registry,
) -> Result<(Arc<dyn Store>, Service), StoreError> {
    let (store, service) = SqliteStore::serve(options, data_dir, Metrics::register(registry)?).await?;
    Ok((store, service))
}

/// The lock of a data folder and its database: whoever holds it is the one hub that serves them. The kernel frees it when the process ends, however it ends, or when the
/// last clone is gone.
#[derive(Debug, Clone)]
pub struct FolderLock {
    _files: Arc<[std::fs::File; 2]>,
}

/// Takes the lock of a data folder, for [`build_locked`].
///
/// # Errors
/// [`StoreError::Locked`] when another hub serves this folder or its database.
pub fn lock(options: &Options, data_dir: &Path) -> Result<FolderLock, StoreError> {
    let _files = Arc::new(open::lock(options, data_dir)?);
    Ok(FolderLock { _files })
}

/// As [`build`], for whoever holds the lock already.
///
/// # Errors
/// When the database cannot be opened.
pub async fn build_locked(
    options: &Options,
    data_dir: &Path,
    lock: FolderLock,
    registry: &Registry,
) -> Result<(Arc<dyn Store>, Service), StoreError> {
    let (store, service) = SqliteStore::serve_locked(options, data_dir, lock, Metrics::register(registry)?).await?;
    Ok((store, service))
}

/// Opens the store for a command-line tool, beside a hub that may be serving: documents and queries work, appending does not.
///
/// # Errors
/// When the database cannot be opened.
pub async fn open_tool(options: &Options, data_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let path = open::database_path(options, data_dir)?;
    let connection = open::writer(&path, options).await?;
    let metrics = Metrics::register(&Registry::new())?;
    let (store, _, _) = SqliteStore::start(path, options, connection, None, metrics).await?;
    Ok(store)
}

impl SqliteStore {
    async fn serve(options: &Options, data_dir: &Path, metrics: Metrics) -> Result<(Arc<Self>, Service), StoreError> {
        let lock = lock(options, data_dir)?;
        Self::serve_locked(options, data_dir, lock, metrics).await
    }

    async fn serve_locked(
        options: &Options,
        data_dir: &Path,
        lock: FolderLock,
        metrics: Metrics,
    ) -> Result<(Arc<Self>, Service), StoreError> {
        let path = open::database_path(options, data_dir)?;
        let connection = open::writer(&path, options).await?;
        let (moves, checkpointer) = checkpoint::pair(open::checkpointer(&path).await?);
        let served = Some((lock, moves));
        let (store, writer, committed) = Self::start(path, options, connection, served, metrics).await?;
        let merger = Merger {
            parts: store.reader.parts.clone(),
            queue: store.queue.clone(),
            options: options.clone(),
            committed,
            metrics: store.metrics.clone(),
            apart: Arc::default(),
        };
        let service = Service {
            store: store.clone(),
            writer,
            merger,
            checkpointer,
            retention: options.retention,
        };
        Ok((store, service))
    }

    /// Starts the writer at once, since the other stages read and write documents while they are built. It ends when the last handle is gone.
    async fn start(
        path: PathBuf,
        options: &Options,
        mut connection: SqliteConnection,
        served: Option<(FolderLock, Moves)>,
        metrics: Metrics,
    ) -> Result<(Arc<Self>, JoinHandle<Result<(), StoreError>>, Arc<Notify>), StoreError> {
        let (position,): (i64,) = sqlx::query_as("SELECT position FROM totals")
            .fetch_one(&mut connection)
            .await?;
        let (queue, commands) = Queue::new((options.queue_mib as usize) << 20);
        let cache = Arc::new(PartCache::new((options.cache_mib as usize) << 20));
        let (health, watching) = watch::channel(StoreHealth::Ready);
        let committed = Arc::new(Notify::new());
        let tail = LogTail::default();
        let (lock, moves) = served.unzip();
        let writer = Writer {
            connection,
            queue: commands,
            log: Log::new(position.cast_unsigned()),
            lock,
            tail: tail.clone(),
            recent: cache.clone(),
            health,
            committed: committed.clone(),
            moves,
            metrics: metrics.clone(),
        };
        let reader = Reader::new(PartReader {
            pool: open::readers(&path),
            cache,
        });
        let store = Arc::new(Self {
            path,
            queue,
            reader,
            tail,
            health: watching,
            metrics,
        });
        Ok((store, tokio::spawn(writer.run()), committed))
    }

    /// Removes a part at a time until nothing is left to remove.
    async fn remove_rollups(&self, task: impl Fn() -> Task) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            match self.queue.run(task()).await? {
                Done::Removed { windows } if windows > 0 => total += windows,
                _ => return Ok(total),
            }
        }
    }

    async fn docs_where(&self, kind: &str, after: &str, inclusive: bool, limit: usize) -> Result<Vec<Doc>, StoreError> {
        let sql = if inclusive {
            "SELECT id, version, body FROM doc WHERE kind = ? AND id = ? LIMIT ?"
        } else {
            "SELECT id, version, body FROM doc WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
        };
        let rows: Vec<(String, i64, String)> = sqlx::query_as(sql)
            .bind(kind)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.reader.parts.pool)
            .await?;
        rows.into_iter()
            .map(|(id, version, body)| {
                let body = serde_json::from_str(&body)
                    .map_err(|error| StoreError::BadRequest(format!("document {kind} `{id}` is damaged: {error}")))?;
                Ok(Doc {
                    kind: kind.to_owned(),
                    id,
                    version,
                    body,
                })
            })
            .collect()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, origin: Origin, frame: Frame) -> Result<Receipt, StoreError> {
        let (seq, content) = (frame.header().seq, Content::Frame(frame));
        self.queue.append(Arrival { origin, seq, content }).await
    }

    async fn append_chunk(&self, origin: Origin, seq: u64, chunk: Arc<EncodedChunk>) -> Result<Receipt, StoreError> {
        let content = Content::Chunk(chunk);
        self.queue.append(Arrival { origin, seq, content }).await
    }

    async fn high_water(&self, origin: &Origin) -> Result<Option<u64>, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT seq FROM agent_pos WHERE agent = ? AND epoch = ?")
            .bind(&*origin.agent)
            .bind(origin.epoch.cast_signed())
            .fetch_optional(&self.reader.parts.pool)
            .await?;
        Ok(row.map(|(seq,)| seq.cast_unsigned()))
    }

    fn tail(&self) -> &LogTail {
        &self.tail
    }

    async fn read_log(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError> {
        self.reader.read_log(position, max_events).await
    }

    async fn query(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        self.reader.query(query).await
    }

    async fn scan(
        &self,
        from: Option<i64>,
        to: Option<i64>,
        filter: Option<Arc<Filter>>,
        visit: Visit,
    ) -> Result<Scanned, StoreError> {
        self.reader.scan(from, to, filter, visit).await
    }

    async fn replay(
        &self,
        from: i64,
        to: i64,
        filter: Option<Arc<Filter>>,
        visit: Replay,
    ) -> Result<Replayed, StoreError> {
        self.reader.replay(from, to, filter, self.tail.drills(), visit).await
    }

    async fn event(&self, id: Uuid) -> Result<Option<Event>, StoreError> {
        self.reader.event(id).await
    }

    async fn recent_ids(&self, agent: &str, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
        self.reader.recent_ids(agent, since).await
    }

    async fn place_before(&self, frames: u64) -> Result<u64, StoreError> {
        self.reader.place_before(frames).await
    }

    async fn expire(&self, before: i64) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            match self.queue.run(Task::Expire { before }).await? {
                Done::Expired { chunks, events } if chunks > 0 => total += events,
                _ => break,
            }
        }
        self.metrics.expired.inc_by(total);
        Ok(total)
    }

    fn health(&self) -> StoreHealth {
        self.health.borrow().clone()
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let (position, inbox_frames, inbox_events, chunks, chunk_events, oldest, newest): (
            i64,
            i64,
            i64,
            i64,
            i64,
            Option<i64>,
            Option<i64>,
        ) = sqlx::query_as(
            "SELECT position, inbox_frames, inbox_events, chunks, chunk_events, oldest, newest FROM totals",
        )
        .fetch_one(&self.reader.parts.pool)
        .await?;
        let stats = StoreStats {
            events: (inbox_events + chunk_events).cast_unsigned(),
            inbox_events: inbox_events.cast_unsigned(),
            inbox_frames: inbox_frames.cast_unsigned(),
            chunks: chunks.cast_unsigned(),
            bytes: open::bytes_on_disk(&self.path),
            oldest,
            newest,
            position: position.cast_unsigned(),
        };
        self.metrics.show(&stats);
        Ok(stats)
    }

    async fn doc(&self, kind: &str, id: &str) -> Result<Option<Doc>, StoreError> {
        Ok(self.docs_where(kind, id, true, 1).await?.pop())
    }

    async fn docs(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Vec<Doc>, StoreError> {
        self.docs_where(kind, after.unwrap_or_default(), false, limit).await
    }

    async fn doc_texts(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query_as("SELECT id, body FROM doc WHERE kind = ? AND id > ? ORDER BY id LIMIT ?")
            .bind(kind)
            .bind(after.unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.reader.parts.pool)
            .await?;
        Ok(rows)
    }

    async fn commit(&self, ops: Vec<DocOp>) -> Result<Vec<i64>, StoreError> {
        match self.queue.run(Task::Docs(ops)).await? {
            Done::Versions(versions) => Ok(versions),
            _ => Ok(Vec::new()),
        }
    }

    async fn put_checkpoint(&self, name: &str, position: u64, body: Vec<u8>) -> Result<(), StoreError> {
        self.queue
            .run(Task::Checkpoint {
                name: name.to_owned(),
                position,
                body,
            })
            .await
            .map(drop)
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT position, body FROM checkpoint WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.reader.parts.pool)
            .await?;
        Ok(row.map(|(position, body)| (position.cast_unsigned(), body)))
    }

    async fn put_rollups(&self, write: RollupWrite) -> Result<(), StoreError> {
        self.queue.run(Task::Rollups(write)).await.map(drop)
    }

    async fn rollups(&self, query: RollupQuery) -> Result<Vec<RollupSeries>, StoreError> {
        rollup::read(&self.reader.parts.pool, &query).await
    }

    async fn newest_rollup(&self, metric: &str, resolution: i64) -> Result<Option<i64>, StoreError> {
        rollup::newest(&self.reader.parts.pool, metric, resolution).await
    }

    async fn expire_rollups(&self, resolution: i64, before: i64) -> Result<u64, StoreError> {
        self.remove_rollups(|| Task::ExpireRollups { resolution, before }).await
    }

    async fn drop_rollups(&self, metric: &str) -> Result<u64, StoreError> {
        self.remove_rollups(|| Task::DropRollups {
            metric: metric.to_owned(),
        })
        .await
    }
}

#[cfg(test)]
mod tests;
