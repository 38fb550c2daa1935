//! The newest end of the log, in memory.

use std::sync::{Arc, OnceLock};

use streamflow_proto::{
    batch::{Batch, DecodeError},
    frame::Frame,
};
use tokio::sync::broadcast;

use crate::Drills;

/// Frames kept for readers that are behind; at about 50 KiB a frame this bounds the tail near 12 MiB.
const CAPACITY: usize = 256;

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
    pub frame: Frame,
    batch: OnceLock<Result<Arc<Batch>, DecodeError>>,
}

impl Committed {
    /// Wraps a frame that has just become durable.
    #[must_use]
    pub const fn new(position: u64, agent: Arc<str>, stored_at: i64, frame: Frame) -> Self {
        Self {
            position,
            agent,
            stored_at,
            frame,
            batch: OnceLock::new(),
        }
    }

    /// The decoded batch; the first reader decodes, all others share.
    ///
    /// # Errors
    /// When the payload does not decode, although its checksum was right.
    pub fn batch(&self) -> Result<Arc<Batch>, DecodeError> {
        self.batch.get_or_init(|| self.frame.decode().map(Arc::new)).clone()
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
