//! Turns frames of the inbox into chunks, and runs of small chunks into larger ones, in log order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::{TryStreamExt, future::join_all};
use streamflow_model::Instant;
use streamflow_proto::{
    batch::{Batch, DecodeError},
    chunk::{self, EncodeError, EncodedChunk},
};
use tokio::sync::Notify;

use super::{
    command::{Install, NewChunk, Queue, Task, Unreadable},
    part::{Keep, Part, PartReader, Stored},
};
use crate::{
    StoreError,
    frames::Frames,
    metrics::Metrics,
    options::Options,
    plan::{Gathering, Small, Waiting, compaction},
};

/// Even without new frames: age makes a chunk due.
const TICK: Duration = Duration::from_secs(1);
/// After a failure, such as a full disk.
const PAUSE: Duration = Duration::from_secs(2);
/// So many of the newest chunks are looked at for small ones.
const LOOK_BACK: usize = 128;
/// Zstd levels of a young chunk and of one that will not be written again.
const FAST: i32 = 1;
const SMALL: i32 = 3;

/// The merge task. Either frames up to the bounds of one chunk, or chunks up to those, are in memory at a time.
#[derive(Debug, Clone)]
pub struct Merger {
    pub parts: PartReader,
    pub queue: Queue,
    pub options: Options,
    pub committed: Arc<Notify>,
    pub metrics: Metrics,
    /// Place of a chunk that cannot be joined with the next; 0 = none. What is behind it is not looked at again.
    pub apart: Arc<AtomicI64>,
}

impl Merger {
    /// Merges for ever.
    pub async fn run(&self) {
        loop {
            match self.merge_due(Instant::now().0).await {
                Ok(true) => continue,
                Ok(false) => {
                    // Dropping the wait on a tick loses nothing: a wake-up without a waiter is kept.
                    drop(tokio::time::timeout(TICK, self.committed.notified()).await);
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "frames could not be merged");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Merges the oldest frames if they are due; answers whether it did.
    pub async fn merge_due(&self, now: i64) -> Result<bool, StoreError> {
        let gathering = self.gather().await?;
        let lag = gathering
            .frames
            .first()
            .map_or(0, |frame| now.saturating_sub(frame.stored_at) / 1000);
        self.metrics.merge_lag.set(lag);
        if !gathering.is_due(now, &self.options) {
            return Ok(false);
        }
        let groups = gathering.groups();
        let mut installs = Vec::with_capacity(groups.len());
        for group in &groups {
            let mut parts: Vec<Part> = group.iter().map(part).collect();
            installs.push(loop {
                match self.join_parts(&parts, FAST).await {
                    Ok(install) => break install,
                    // What cannot be joined in one chunk may be in two; the log must not stop at it.
                    Err(StoreError::Merge(_)) if parts.len() > 1 => parts.truncate(parts.len() / 2),
                    Err(error) => return Err(error),
                }
            });
        }
        // Queued together, so that they share a transaction.
        for installed in join_all(installs.into_iter().map(|install| self.install(install))).await {
            installed?;
        }
        let is_small = |group: &&[Waiting]| {
            group.iter().map(|frame| frame.events).sum::<u64>() < u64::from(self.options.merge_events)
        };
        if groups.iter().any(is_small) {
            let mut behind = self.apart.load(Ordering::Relaxed);
            while self.compact(&mut behind).await? {}
        }
        Ok(true)
    }

    async fn gather(&self) -> Result<Gathering, StoreError> {
        let mut gathering = Gathering::default();
        let mut rows = sqlx::query_as::<_, (i64, i64, i64, i64)>("SELECT id, n, raw, stored_at FROM inbox ORDER BY id")
            .fetch(&self.parts.pool);
        while let Some((position, events, raw, stored_at)) = rows.try_next().await? {
            let frame = Waiting {
                position: position.cast_unsigned(),
                events: events.cast_unsigned(),
                raw: raw.cast_unsigned(),
                stored_at,
            };
            if gathering.add(frame, &self.options) {
                break;
            }
        }
        Ok(gathering)
    }

    /// Joins some of the newest chunks if there are small ones side by side; answers whether it is worth another look. What is older than those that the first
    /// look of a round has seen is not looked at in it: `behind` is where it ends.
    async fn compact(&self, behind: &mut i64) -> Result<bool, StoreError> {
        // One query: between two of them a large request may bring another chunk.
        let newest: Vec<Measured> = sqlx::query_as(
            "SELECT id last, first, n events, min_ts, max_ts, 1 merged, length(body) bytes FROM chunk WHERE id > ?
             ORDER BY id DESC LIMIT ?",
        )
        .bind(*behind)
        .bind(LOOK_BACK as i64)
        .fetch_all(&self.parts.pool)
        .await?;
        let sizes: Vec<Small> = newest.iter().map(Measured::small).collect();
        if let Some(oldest) = newest.last().filter(|_| newest.len() == LOOK_BACK) {
            *behind = oldest.part.last.cast_signed() - 1;
        }
        let joined = compaction(&sizes, &self.options);
        let mut parts: Vec<Part> = newest[joined].iter().map(|chunk| chunk.part).collect();
        parts.reverse();
        while parts.len() > 1 {
            let events: u64 = parts.iter().map(|part| part.events).sum();
            let level = if events * 2 < u64::from(self.options.merge_events) {
                FAST
            } else {
                SMALL
            };
            let replaced = match self.join_parts(&parts, level).await {
                Ok(install) => self.install(install).await,
                Err(error) => Err(error),
            };
            match replaced {
                Ok(()) => return Ok(true),
                Err(StoreError::Merge(reason)) => {
                    tracing::warn!(reason, "chunks cannot be joined, they stay as they are");
                }
                Err(other) => return Err(other),
            }
            // Fewer of them may fit together. Two that do not are never tried again, nor what is older.
            if parts.len() == 2 {
                *behind = parts[0].last.cast_signed();
                self.apart.store(*behind, Ordering::Relaxed);
                return Ok(true);
            }
            parts.drain(..parts.len() / 2);
        }
        Ok(false)
    }

    /// Makes one chunk of neighbouring parts, given in log order.
    async fn join_parts(&self, parts: &[Part], level: i32) -> Result<Install, StoreError> {
        let mut stored = Vec::with_capacity(parts.len());
        let mut set_aside = Vec::new();
        for part in parts {
            match self.parts.load(part, Keep::No).await {
                Ok(Some(loaded)) => stored.push((*part, loaded)),
                // Expired meanwhile.
                Ok(None) => {}
                Err(StoreError::Corrupt { source, .. }) if !part.merged => set_aside.push(unreadable(part, &source)),
                Err(error) => return Err(error),
            }
        }
        let joined = tokio::task::spawn_blocking(move || join(&stored, level))
            .await
            .map_err(|_| StoreError::Closed)??;
        set_aside.extend(joined.unreadable);
        for frame in &set_aside {
            self.metrics.set_aside.inc_by(frame.events);
            tracing::error!(
                position = frame.position,
                reason = frame.reason,
                "a frame that does not decode is set aside"
            );
        }
        Ok(Install {
            first: parts.first().map_or(0, |part| part.first),
            last: parts.last().map_or(0, |part| part.last),
            chunk: joined.chunk,
            set_aside,
        })
    }

    /// Puts a chunk in place of its parts.
    async fn install(&self, install: Install) -> Result<(), StoreError> {
        let (first, last) = (install.first, install.last);
        self.queue.run(Task::Install(Box::new(install))).await?;
        self.parts.cache.forget(first, last);
        Ok(())
    }
}

/// A chunk and how large it is.
#[derive(sqlx::FromRow)]
struct Measured {
    #[sqlx(flatten)]
    part: Part,
    #[sqlx(try_from = "i64")]
    bytes: u64,
}

impl Measured {
    fn small(&self) -> Small {
        Small {
            places: [self.part.first, self.part.last],
            events: self.part.events,
            bytes: self.bytes,
        }
    }
}

fn part(frame: &Waiting) -> Part {
    let Waiting { position, events, .. } = *frame;
    Part {
        last: position,
        first: position,
        events,
        min_ts: i64::MIN,
        max_ts: i64::MAX,
        merged: false,
    }
}

fn unreadable(part: &Part, reason: &DecodeError) -> Unreadable {
    Unreadable {
        position: part.last,
        events: part.events,
        reason: reason.to_string(),
    }
}

struct Joined {
    chunk: Option<NewChunk>,
    unreadable: Vec<Unreadable>,
}

/// Encodes what decodes. Columns are decoded when they are touched, so a bad one shows only in encoding: then each part is tried alone.
fn join(stored: &[(Part, Arc<Stored>)], level: i32) -> Result<Joined, StoreError> {
    let merge = |error: EncodeError| StoreError::Merge(error.to_string());
    match encode(stored.iter().map(|(_, stored)| stored), level) {
        Ok((encoded, frames)) => {
            return Ok(Joined {
                chunk: new_chunk(encoded, &frames)?,
                unreadable: Vec::new(),
            });
        }
        Err(EncodeError::Decode(_)) => {}
        Err(other) => return Err(merge(other)),
    }
    let (mut good, mut unreadable) = (Vec::new(), Vec::new());
    for (part, stored) in stored {
        match encode([stored].into_iter(), level) {
            Ok(_) => good.push(stored),
            Err(EncodeError::Decode(source)) if part.merged => {
                return Err(StoreError::Corrupt {
                    position: part.last,
                    source,
                });
            }
            Err(EncodeError::Decode(reason)) => unreadable.push(self::unreadable(part, &reason)),
            Err(other) => return Err(merge(other)),
        }
    }
    let (encoded, frames) = encode(good.into_iter(), level).map_err(merge)?;
    Ok(Joined {
        chunk: new_chunk(encoded, &frames)?,
        unreadable,
    })
}

fn encode<'a>(
    stored: impl Iterator<Item = &'a Arc<Stored>>,
    level: i32,
) -> Result<(Option<EncodedChunk>, Frames), EncodeError> {
    let (mut frames, mut batches) = (Frames::default(), Vec::new());
    for stored in stored {
        frames.append(&stored.frames);
        batches.push(stored.batch()?);
    }
    if batches.is_empty() {
        return Ok((None, frames));
    }
    let views: Vec<&Batch> = batches.iter().map(|batch| &**batch).collect();
    Ok((Some(chunk::encode(&views, level)?), frames))
}

fn new_chunk(encoded: Option<EncodedChunk>, frames: &Frames) -> Result<Option<NewChunk>, StoreError> {
    let Some(encoded) = encoded else { return Ok(None) };
    let table = frames.encode().map_err(|error| StoreError::Merge(error.to_string()))?;
    Ok(Some(NewChunk {
        encoded,
        frames: table,
        stored_at: frames.newest_stored_at(),
    }))
}
