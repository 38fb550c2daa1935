//! Parts of the log as they lie in the database (a frame of the inbox, or a chunk) and reading them while frames are being merged.
//!
//! A part is named by its places in the log. Merging only ever joins neighbours, so a part that has been merged since it was listed is found
//! inside the chunk that covers its places; a part that is nowhere has expired. No read transaction has to stay open meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::SqlitePool;
use streamflow_bus::{Committed, Content};
use streamflow_proto::{
    batch::{Batch, DecodeError},
    chunk,
    frame::Frame,
};

use crate::{StoreError, frames::Frames, lru::Lru};

/// What is known of a part without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Part {
    /// Place of its last frame.
    #[sqlx(try_from = "i64")]
    pub last: u64,
    /// Place of its first frame.
    #[sqlx(try_from = "i64")]
    pub first: u64,
    /// Events.
    #[sqlx(try_from = "i64")]
    pub events: u64,
    /// Earliest event.
    pub min_ts: i64,
    /// Latest event.
    pub max_ts: i64,
    /// A chunk, which has Bloom filters.
    pub merged: bool,
}

/// A part that has been read. Nothing is decoded before it is asked for.
#[derive(Debug)]
pub struct Stored {
    /// Its frames.
    pub frames: Frames,
    /// Bytes in the database.
    pub bytes: u64,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Committed(Arc<Committed>),
    Chunk(Arc<Batch>),
}

impl Stored {
    fn committed(committed: Arc<Committed>) -> Self {
        Self {
            frames: Frames::one(
                committed.position,
                committed.agent.clone(),
                committed.stored_at,
                committed.content.count(),
            ),
            bytes: committed.content.len() as u64,
            contents: Contents::Committed(committed),
        }
    }

    /// Its events as columns. Inflates a frame the first time, so not for a thread that serves others.
    pub fn batch(&self) -> Result<Arc<Batch>, DecodeError> {
        match &self.contents {
            Contents::Committed(committed) => committed.batch(),
            Contents::Chunk(batch) => Ok(batch.clone()),
        }
    }

    /// Covers these places.
    fn covers(&self, part: &Part) -> bool {
        let spans = self.frames.spans();
        spans.first().is_some_and(|span| span.position <= part.first)
            && spans.last().is_some_and(|span| span.position >= part.last)
    }
}

/// Parts read or written of late, by the place of their last frame.
#[derive(Debug)]
pub struct PartCache(Lru<Arc<Stored>>);

impl PartCache {
    /// A cache of about so many bytes.
    pub fn new(budget: usize) -> Self {
        Self(Lru::new(budget))
    }

    /// Keeps what has just become durable: live queries, merge and followers read it next.
    pub fn put(&self, committed: Arc<Committed>) {
        let cost = match &committed.content {
            Content::Frame(frame) => {
                let header = frame.header();
                256 + (header.raw_len + header.payload_len) as usize
            }
            Content::Chunk(chunk) => chunk_cost(chunk.body.len()),
        };
        self.0
            .put(committed.position, Arc::new(Stored::committed(committed)), cost);
    }

    fn put_chunk(&self, last: u64, stored: Arc<Stored>) {
        let cost = chunk_cost(stored.bytes as usize);
        self.0.put(last, stored, cost);
    }

    fn get(&self, part: &Part) -> Option<Arc<Stored>> {
        self.0.get(part.last).filter(|stored| stored.covers(part))
    }

    /// Drops what has been merged.
    pub fn forget(&self, first: u64, last: u64) {
        self.0.forget(|position| (first..=last).contains(&position));
    }
}

/// Streams stay inflated once they have been touched; they were about four times smaller.
const fn chunk_cost(bytes: usize) -> usize {
    256 + 4 * bytes
}

/// Reads parts through the cache.
#[derive(Debug, Clone)]
pub struct PartReader {
    /// Connections that read.
    pub pool: SqlitePool,
    /// What is kept in memory.
    pub cache: Arc<PartCache>,
}

/// Whether a chunk that had to be read stays in memory. A long scan would only push out what live queries need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Yes.
    Yes,
    /// No.
    No,
}

impl PartReader {
    /// A part, wherever it is now; `None` when it has expired.
    pub async fn load(&self, part: &Part, keep: Keep) -> Result<Option<Arc<Stored>>, StoreError> {
        if let Some(stored) = self.cache.get(part) {
            return Ok(Some(stored));
        }
        if !part.merged
            && let Some(stored) = self.load_frame(part).await?
        {
            return Ok(Some(stored));
        }
        self.load_chunk(part, keep).await
    }

    async fn load_frame(&self, part: &Part) -> Result<Option<Arc<Stored>>, StoreError> {
        let row: Option<(String, i64, Vec<u8>)> =
            sqlx::query_as("SELECT agent, stored_at, body FROM inbox WHERE id = ?")
                .bind(part.last.cast_signed())
                .fetch_optional(&self.pool)
                .await?;
        let Some((agent, stored_at, body)) = row else {
            return Ok(None);
        };
        let frame = Frame::parse(Bytes::from(body)).map_err(|error| {
            tracing::error!(position = part.last, %error, "a stored frame is damaged");
            StoreError::Corrupt {
                position: part.last,
                source: DecodeError::Malformed("stored frame"),
            }
        })?;
        let committed = Arc::new(Committed::new(part.last, agent.into(), stored_at, frame));
        Ok(Some(Arc::new(Stored::committed(committed))))
    }

    async fn load_chunk(&self, part: &Part, keep: Keep) -> Result<Option<Arc<Stored>>, StoreError> {
        let row: Option<(i64, Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT id, frames, body FROM chunk WHERE id >= ? ORDER BY id LIMIT 1")
                .bind(part.last.cast_signed())
                .fetch_optional(&self.pool)
                .await?;
        let Some((last, frames, body)) = row else {
            return Ok(None);
        };
        let last = last.cast_unsigned();
        let corrupt = |source| StoreError::Corrupt { position: last, source };
        let frames = Frames::decode(&frames).ok_or_else(|| corrupt(DecodeError::Malformed("frame table")))?;
        let bytes = body.len() as u64;
        let batch = Arc::new(chunk::open(Bytes::from(body)).map_err(corrupt)?);
        let stored = Arc::new(Stored {
            frames,
            bytes,
            contents: Contents::Chunk(batch),
        });
        if !stored.covers(part) {
            return Ok(None);
        }
        if keep == Keep::Yes {
            self.cache.put_chunk(last, stored.clone());
        }
        Ok(Some(stored))
    }

    /// Parts with events in `[from, to)`, in no order: asking for one would keep SQLite from using its index over time.
    pub async fn list(&self, from: Option<i64>, to: Option<i64>) -> Result<Vec<Part>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id last, first, n events, min_ts, max_ts, 1 merged FROM chunk WHERE max_ts >= ?1 AND min_ts < ?2
             UNION ALL SELECT id, id, n, min_ts, max_ts, 0 FROM inbox WHERE max_ts >= ?1 AND min_ts < ?2",
        )
        .bind(from.unwrap_or(i64::MIN))
        .bind(to.unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?)
    }

    /// The next parts after a place in the log.
    pub async fn list_after(&self, position: u64, limit: u32) -> Result<Vec<Part>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id last, first, n events, min_ts, max_ts, 1 merged FROM chunk WHERE id > ?1
             UNION ALL SELECT id, id, n, min_ts, max_ts, 0 FROM inbox WHERE id > ?1 ORDER BY 1 LIMIT ?2",
        )
        .bind(position.cast_signed())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    /// One of a chunk's Bloom filters; empty, which rules nothing out, when the chunk is gone.
    pub async fn bloom(&self, part: &Part, which: Which) -> Result<Vec<u8>, StoreError> {
        let sql = match which {
            Which::Values => "SELECT bloom FROM chunk WHERE id = ?",
            Which::Ids => "SELECT id_bloom FROM chunk WHERE id = ?",
        };
        let row: Option<(Vec<u8>,)> = sqlx::query_as(sql)
            .bind(part.last.cast_signed())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(bloom,)| bloom).unwrap_or_default())
    }
}

/// A chunk's Bloom filters.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// Over `path=value`.
    Values,
    /// Over event ids.
    Ids,
}
