//! The newest end of the log, in memory.

use std::sync::{Arc, OnceLock};

use streamflow_proto::{
    batch::{Batch, DecodeError},
    chunk::{self, EncodedChunk},
    frame::Frame,
};
use tokio::sync::broadcast;

use crate::Drills;

/// Batches kept for readers that are behind: about 12 MiB of frames (50 KiB each), or 100 MiB of the largest parts of requests (0.4 MiB each).
const CAPACITY: usize = 256;

/// A batch as it is stored: the events of one place in the log.
#[derive(Debug, Clone)]
pub enum Content {
    /// As an agent sent it, or as small requests share it.
    Frame(Frame),
    /// What a large request brought, stored as a chunk at once.
    Chunk(Arc<EncodedChunk>),
}

impl From<Frame> for Content {
    fn from(frame: Frame) -> Self {
        Self::Frame(frame)
    }
}

impl Content {
    /// Events in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Self::Frame(frame) => frame.header().count,
            Self::Chunk(chunk) => chunk.count,
        }
    }

    /// Times of the earliest and the latest event.
    #[must_use]
    pub fn bounds(&self) -> (i64, i64) {
        match self {
            Self::Frame(frame) => (frame.header().min_ts, frame.header().max_ts),
            Self::Chunk(chunk) => (chunk.min_ts, chunk.max_ts),
        }
    }

    /// Bytes of it.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.bytes().len(),
            Self::Chunk(chunk) => chunk.body.len(),
        }
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its events as columns.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn decode(&self) -> Result<Batch, DecodeError> {
        match self {
            Self::Frame(frame) => frame.decode(),
            Self::Chunk(chunk) => chunk::open_shared(Arc::clone(chunk)),
        }
    }
}

/// A batch that is durable in the log.
#[derive(Debug)]
pub struct Committed {
    /// Place in the log; grows by one with every stored batch.
    pub position: u64,
    /// Who sent it.
    pub agent: Arc<str>,
    /// Wall clock when it became durable, ms.
    pub stored_at: i64,
    /// Its bytes.
    pub content: Content,
    batch: OnceLock<Result<Arc<Batch>, DecodeError>>,
}

impl Committed {
    /// Wraps what has just become durable.
    #[must_use]
    pub fn new(position: u64, agent: Arc<str>, stored_at: i64, content: impl Into<Content>) -> Self {
        Self {
            position,
            agent,
            stored_at,
            content: content.into(),
            batch: OnceLock::new(),
        }
    }

    /// The decoded batch; the first reader decodes, all others share.
    ///
    /// # Errors
    /// When the payload does not decode, although its checksum was right.
    pub fn batch(&self) -> Result<Arc<Batch>, DecodeError> {
        self.batch.get_or_init(|| self.content.decode().map(Arc::new)).clone()
    }
}

/// The sending end, owned by storage.
#[derive(Debug, Clone)]
pub struct LogTail {
    sender: broadcast::Sender<Arc<Committed>>,
    drills: Drills,
}

/// A reader's end.
#[derive(Debug)]
pub struct TailReader {
    receiver: broadcast::Receiver<Arc<Committed>>,
}

/// Why there is no next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailRecvError {
    /// The reader was too slow; that many batches must be read from the store.
    Lagged(u64),
    /// Storage has stopped.
    Closed,
}

impl Default for LogTail {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(CAPACITY).0,
            drills: Drills::default(),
        }
    }
}

impl LogTail {
    /// Hands a durable batch to whoever listens.
    pub fn publish(&self, committed: Arc<Committed>) {
        if self.sender.receiver_count() > 0 {
            drop(self.sender.send(committed));
        }
    }

    /// Which marked events of the log are those of real drills.
    #[must_use]
    pub const fn drills(&self) -> &Drills {
        &self.drills
    }

    /// A reader that sees every batch published from now on.
    #[must_use]
    pub fn subscribe(&self) -> TailReader {
        TailReader {
            receiver: self.sender.subscribe(),
        }
    }
}

impl TailReader {
    /// Waits for the next batch. Cancel safe.
    ///
    /// # Errors
    /// When the reader lagged or storage has stopped.
    pub async fn recv(&mut self) -> Result<Arc<Committed>, TailRecvError> {
        self.receiver.recv().await.map_err(|e| match e {
            broadcast::error::RecvError::Lagged(n) => TailRecvError::Lagged(n),
            broadcast::error::RecvError::Closed => TailRecvError::Closed,
        })
    }

    /// The next batch if one waits.
    ///
    /// # Errors
    /// When the reader lagged or storage has stopped.
    pub fn try_recv(&mut self) -> Result<Option<Arc<Committed>>, TailRecvError> {
        match self.receiver.try_recv() {
            Ok(committed) => Ok(Some(committed)),
            Err(broadcast::error::TryRecvError::Empty) => Ok(None),
            Err(broadcast::error::TryRecvError::Lagged(n)) => Err(TailRecvError::Lagged(n)),
            Err(broadcast::error::TryRecvError::Closed) => Err(TailRecvError::Closed),
        }
    }
}
