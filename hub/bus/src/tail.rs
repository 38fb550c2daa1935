//! The newest end of the log, in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use streamflow_proto::{
    batch::{Batch, DecodeError},
    chunk::{self, EncodedChunk},
    frame::Frame,
};
use tokio::sync::broadcast;

use crate::Drills;

/// Batches kept for readers that are behind: about 12 MiB of frames (50 KiB each).
const CAPACITY: usize = 256;
/// Bytes of batches kept for them, which parts of large requests (0.4 MiB each, several times that once columns of them are inflated) reach first.
const MAX_BYTES: usize = 32 << 20;

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

/// A batch on its way to the readers. It is taken out again when too much waits for those that are behind.
#[derive(Debug)]
struct Slot(Mutex<Option<Arc<Committed>>>);

impl Slot {
    fn get(&self) -> Option<Arc<Committed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What some reader has not read yet, oldest first, with its bytes.
#[derive(Debug, Default)]
struct Unread {
    slots: VecDeque<(Weak<Slot>, usize)>,
    bytes: usize,
}

impl Unread {
    /// Counts another. What all have read is no longer there; beyond the bound the oldest is given up, though never the newest.
    fn add(&mut self, slot: &Arc<Slot>, bytes: usize) {
        self.slots.push_back((Arc::downgrade(slot), bytes));
        self.bytes += bytes;
        while let Some((oldest, bytes)) = self.slots.front() {
            let (oldest, bytes) = (oldest.upgrade(), *bytes);
            match oldest {
                Some(_) if self.bytes <= MAX_BYTES || self.slots.len() == 1 => return,
                Some(slot) => slot.clear(),
                None => {}
            }
            self.slots.pop_front();
            self.bytes -= bytes;
        }
    }
}

/// The sending end, owned by storage.
#[derive(Debug, Clone)]
pub struct LogTail {
    sender: broadcast::Sender<Arc<Slot>>,
    unread: Arc<Mutex<Unread>>,
    drills: Drills,
}

/// A reader's end.
#[derive(Debug)]
pub struct TailReader {
    receiver: broadcast::Receiver<Arc<Slot>>,
    /// Came behind batches that were given up, which the reader is told first.
    next: Option<Arc<Committed>>,
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
            unread: Arc::default(),
            drills: Drills::default(),
        }
    }
}

impl LogTail {
    /// Hands a durable batch to whoever listens.
    pub fn publish(&self, committed: Arc<Committed>) {
        if self.sender.receiver_count() > 0 {
            let bytes = committed.content.len();
            let slot = Arc::new(Slot(Mutex::new(Some(committed))));
            let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
            unread.add(&slot, bytes);
            drop(self.sender.send(slot));
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
            next: None,
        }
    }
}

impl TailReader {
    /// Waits for the next batch. Cancel safe.
    ///
    /// # Errors
    /// When the reader lagged or storage has stopped.
    pub async fn recv(&mut self) -> Result<Arc<Committed>, TailRecvError> {
        if let Some(next) = self.next.take() {
            return Ok(next);
        }
        let slot = self.receiver.recv().await.map_err(|e| match e {
            broadcast::error::RecvError::Lagged(n) => TailRecvError::Lagged(n),
            broadcast::error::RecvError::Closed => TailRecvError::Closed,
        })?;
        slot.get().ok_or_else(|| self.pass_over())
    }

    /// The next batch if one waits.
    ///
    /// # Errors
    /// When the reader lagged or storage has stopped.
    pub fn try_recv(&mut self) -> Result<Option<Arc<Committed>>, TailRecvError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        match self.receiver.try_recv() {
            Ok(slot) => slot.get().ok_or_else(|| self.pass_over()).map(Some),
            Err(broadcast::error::TryRecvError::Empty) => Ok(None),
            Err(broadcast::error::TryRecvError::Lagged(n)) => Err(TailRecvError::Lagged(n)),
            Err(broadcast::error::TryRecvError::Closed) => Err(TailRecvError::Closed),
        }
    }

    /// One batch was given up, and probably more behind it.
    fn pass_over(&mut self) -> TailRecvError {
        let mut lost = 1;
        loop {
            match self.receiver.try_recv() {
                Ok(slot) => {
                    self.next = slot.get();
                    if self.next.is_some() {
                        break;
                    }
                    lost += 1;
                }
                Err(broadcast::error::TryRecvError::Lagged(more)) => lost += more,
                Err(_) => break,
            }
        }
        TailRecvError::Lagged(lost)
    }
}

#[cfg(test)]
mod tests {
    use streamflow_proto::build::BatchBuilder;

    use super::*;

    const MIB: usize = 1 << 20;

    fn committed(position: u64, chunk: &EncodedChunk, bytes: usize) -> Arc<Committed> {
        let chunk = EncodedChunk {
            body: vec![0; bytes],
            ..chunk.clone()
        };
        let content = Content::Chunk(Arc::new(chunk));
        Arc::new(Committed::new(position, "a".into(), 0, content))
    }

    #[tokio::test]
    async fn a_reader_that_is_behind_keeps_no_more_than_so_many_bytes() {
        let mut builder = BatchBuilder::new();
        let event = br#"{"type": "t", "source": "s", "timestamp": 1700000000000, "data": {}}"#;
        builder.push_json(event, 1_700_000_000_000).unwrap();
        let chunk = builder.finish_chunk(1).unwrap();
        let tail = LogTail::default();
        let (mut slow, mut fast) = (tail.subscribe(), tail.subscribe());
        let mut sent = Vec::new();
        for position in 1..=40 {
            let batch = committed(position, &chunk, MIB);
            sent.push(Arc::downgrade(&batch));
            tail.publish(batch);
            assert_eq!(fast.recv().await.unwrap().position, position);
        }
        let kept = sent.iter().filter(|batch| batch.strong_count() > 0).count();
        assert_eq!(kept * MIB, MAX_BYTES);
        assert_eq!(slow.recv().await.unwrap_err(), TailRecvError::Lagged(8));
        for position in 9..=40 {
            assert_eq!(slow.try_recv().unwrap().unwrap().position, position);
        }
        assert!(slow.try_recv().unwrap().is_none());
        assert!(sent.iter().all(|batch| batch.strong_count() == 0), "all have read all");

        // One that is larger than the bound still comes, and what was read is not counted.
        tail.publish(committed(41, &chunk, 2 * MAX_BYTES));
        assert_eq!(slow.recv().await.unwrap().position, 41);
        tail.publish(committed(42, &chunk, MIB));
        assert_eq!(slow.recv().await.unwrap().position, 42);
        assert_eq!(fast.recv().await.unwrap_err(), TailRecvError::Lagged(1));
        assert_eq!(fast.recv().await.unwrap().position, 42);
    }
}
