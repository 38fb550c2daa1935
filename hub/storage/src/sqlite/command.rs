//! What the writer is asked to do, and the bounded queue of it.

use std::sync::Arc;

use streamflow_bus::Content;
use streamflow_proto::chunk::EncodedChunk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{
    StoreError,
    store::{Appended, DocOp, Origin, Receipt, RollupWrite},
};

/// Commands that may wait, whatever their size.
const CAPACITY: usize = 4096;
/// Unit in which waiting bytes are counted; a semaphore holds less than 2^29 permits on small machines.
const UNIT: usize = 1024;

/// A batch on its way into the log.
#[derive(Debug)]
pub struct Arrival {
    pub origin: Origin,
    pub seq: u64,
    pub content: Content,
}

/// A change other than a new batch.
#[derive(Debug)]
pub enum Task {
    /// Documents.
    Docs(Vec<DocOp>),
    /// A stage's state.
    Checkpoint { name: String, position: u64, body: Vec<u8> },
    /// A chunk in place of what stood at its positions.
    Install(Box<Install>),
    /// Removal of some old chunks.
    Expire { before: i64 },
    /// Rollups with the place in the log that they reach.
    Rollups(RollupWrite),
    /// Removal of some old windows of rollups.
    ExpireRollups { resolution: i64, before: i64 },
    /// Removal of some windows of a metric.
    DropRollups { metric: String },
}

/// One chunk for everything at `first..=last`.
#[derive(Debug)]
pub struct Install {
    pub first: u64,
    pub last: u64,
    /// Absent when nothing there could be read.
    pub chunk: Option<NewChunk>,
    /// Frames of the inbox that do not decode.
    pub set_aside: Vec<Unreadable>,
}

/// A chunk with its frame table.
#[derive(Debug)]
pub struct NewChunk {
    pub encoded: EncodedChunk,
    pub frames: Vec<u8>,
    /// When its youngest frame became durable.
    pub stored_at: i64,
}

/// A frame of the inbox that does not decode.
#[derive(Debug)]
pub struct Unreadable {
    pub position: u64,
    /// Events it was said to hold.
    pub events: u64,
    pub reason: String,
}

/// What became of a task.
#[derive(Debug)]
pub enum Done {
    /// New versions of documents.
    Versions(Vec<i64>),
    /// Written.
    Written,
    /// Chunks and events removed.
    Expired { chunks: u64, events: u64 },
    /// Windows of rollups removed.
    Removed { windows: u64 },
}

/// An entry of the queue.
#[derive(Debug)]
pub enum Command {
    Append {
        new: Arrival,
        reply: oneshot::Sender<Result<Appended, StoreError>>,
        _room: OwnedSemaphorePermit,
    },
    Task {
        task: Task,
        reply: oneshot::Sender<Result<Done, StoreError>>,
    },
    /// Work off what waits, then end.
    Stop,
}

/// The sending end. Bounded in bytes and in number; senders wait in the order of their calls.
#[derive(Debug, Clone)]
pub struct Queue {
    sender: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    units: u32,
}

impl Queue {
    /// A queue for so many bytes of batches.
    pub fn new(bytes: usize) -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX >> 4).max(1);
        (
            Self {
                sender,
                room: Arc::new(Semaphore::new(units as usize)),
                units,
            },
            receiver,
        )
    }

    /// Puts a batch behind all others; waits for room.
    pub async fn append(&self, new: Arrival) -> Result<Receipt, StoreError> {
        let need = u32::try_from(new.content.len() / UNIT + 1)
            .unwrap_or(u32::MAX)
            .min(self.units);
        let room = self
            .room
            .clone()
            .acquire_many_owned(need)
            .await
            .map_err(|_| StoreError::Closed)?;
        let (reply, receipt) = oneshot::channel();
        self.sender
            .send(Command::Append {
                new,
                reply,
                _room: room,
            })
            .await
            .map_err(|_| StoreError::Closed)?;
        Ok(receipt)
    }

    /// Queues a task and waits until it is durable.
    pub async fn run(&self, task: Task) -> Result<Done, StoreError> {
        let (reply, done) = oneshot::channel();
        self.sender
            .send(Command::Task { task, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes no more frames and lets the writer end when it has worked off the rest.
    pub async fn close(&self) {
        self.room.close();
        drop(self.sender.send(Command::Stop).await);
    }
}
