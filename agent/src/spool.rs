//! The disk buffer: what a source read is safe here before anything counts it as read.
//!
//! A log of segment files with group commit: whatever waits in the [`Inbox`] becomes one write and one sync. Source positions are part of the
//! same commit, so events and the place up to which their files were read become durable together or not at all.

mod cursor;
pub mod disk;
mod epoch;
mod group;
pub mod inbox;
mod log;
pub mod position;
mod reader;
mod recover;
mod shared;
mod walk;
mod window;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamflow_proto::frame::Frame;
use tokio::sync::watch;

use crate::config::units::ByteSize;
use crate::counters::{Counters, DropReason};
use disk::{Disk, OsDisk};
use epoch::Epoch;
use inbox::{Block, Closed, Inbox};
use log::{Append, Limits, Log, NoSpace};
use position::Positions;
pub use reader::{Losses, Reader};
pub use recover::Report;
pub use shared::Backlog;
use shared::Shared;

/// `[spool]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolOptions {
    /// Most bytes on disk.
    pub max_bytes: ByteSize,
    /// Bytes of one segment file; at most a quarter of `max_bytes`.
    pub segment_bytes: ByteSize,
    /// What happens at `max_bytes`.
    pub when_full: WhenFull,
}

/// What a full spool does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Sources wait; files are read later.
    #[default]
    Block,
    /// The oldest events make room and are counted as dropped.
    DropOldest,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize(1 << 30),
            segment_bytes: ByteSize(64 << 20),
            when_full: WhenFull::Block,
        }
    }
}

/// Why the spool cannot go on. The process must exit and recover from the log.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Recovery cannot read.
    #[error("cannot open the spool in {0}: {1}")]
    Open(String, #[source] io::Error),
    /// A file cannot be made, renamed or removed.
    #[error("cannot change {0}: {1}")]
    Create(String, #[source] io::Error),
    /// A write failed for another reason than space.
    #[error("cannot write to the spool: {0}")]
    Write(#[source] io::Error),
    /// A sync failed, so it is unknown what is on the disk.
    #[error("cannot sync the spool, so nothing more is acknowledged: {0}")]
    Sync(#[source] io::Error),
    /// Appending before a segment was opened.
    #[error("the spool has no segment to write to")]
    NoSegment,
}

const QUEUE_BYTES: usize = 4 << 20;
const QUEUE_BLOCKS: usize = 256;
const COMMIT_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);

/// The spool before it runs.
pub struct Spool {
    log: Log,
    handle: SpoolHandle,
    counters: Arc<Counters>,
}

/// What the other stages hold of the spool.
#[derive(Clone)]
pub struct SpoolHandle {
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    max_bytes: u64,
}

impl Spool {
    /// Recovers the spool in `dir`, or makes a new one.
    pub fn build(options: &SpoolOptions, dir: &Path, counters: Arc<Counters>) -> Result<(Self, Report), SpoolError> {
        let disk = OsDisk::open(dir).map_err(|error| SpoolError::Open(dir.display().to_string(), error))?;
        Self::build_on(options, Arc::new(disk), counters)
    }

    /// The same on any disk.
    pub fn build_on(
        options: &SpoolOptions,
        disk: Arc<dyn Disk>,
        counters: Arc<Counters>,
    ) -> Result<(Self, Report), SpoolError> {
        let limits = Limits {
            segment_bytes: options.segment_bytes.0.min(options.max_bytes.0 / 4),
            max_bytes: options.max_bytes.0,
            when_full: options.when_full,
        };
        let (log, report) = recover::open(disk.clone(), limits, rand::random(), crate::clock::now_ms())?;
        counters.damaged.add(report.damaged);
        let handle = SpoolHandle {
            inbox: Arc::new(Inbox::new(QUEUE_BYTES, QUEUE_BLOCKS)),
            shared: log.shared().clone(),
            disk,
            max_bytes: limits.max_bytes,
        };
        Ok((Self { log, handle, counters }, report))
    }

    /// How far each file had been read.
    pub fn positions(&self) -> &Positions {
        self.log.positions()
    }

    /// For the other stages.
    pub fn handle(&self) -> SpoolHandle {
        self.handle.clone()
    }

    /// Writes what comes in until the inbox is closed and empty. Blocks its thread.
    pub fn run(mut self) -> Result<(), SpoolError> {
        let result = self.write();
        self.handle.inbox.close();
        result
    }

    fn write(&mut self) -> Result<(), SpoolError> {
        let mut blocks = Vec::new();
        let mut waiting = false;
        loop {
            if blocks.is_empty() && !self.handle.inbox.drain(&mut blocks, COMMIT_BYTES, PATIENCE) {
                return self.log.recycle();
            }
            if blocks.is_empty() {
                self.log.recycle()?;
                continue;
            }
            match self.log.append(&blocks, crate::clock::now_ms())? {
                Append::Done => {
                    if waiting {
                        tracing::info!("the spool has space again");
                        waiting = false;
                    }
                    blocks.clear();
                }
                Append::NoSpace(reason) => {
                    if !self.make_room(reason, &mut waiting)? {
                        // The process is stopping: the files still hold these events, their positions do not move.
                        let lost = blocks.iter().filter(|block| block.positions.is_empty());
                        let events = lost
                            .filter_map(|block| block.frame.as_ref())
                            .map(|frame| u64::from(frame.header().count));
                        self.counters.dropped(DropReason::SpoolFull, events.sum());
                        return self.log.recycle();
                    }
                }
            }
        }
    }

    /// Drops the oldest events or waits a moment; false when the process is stopping and nothing can be done.
    fn make_room(&mut self, reason: NoSpace, waiting: &mut bool) -> Result<bool, SpoolError> {
        if self.log.drops_oldest()
            && let Some(evicted) = self.log.evict()?
        {
            self.counters.dropped(DropReason::SpoolFull, evicted);
            return Ok(true);
        }
        if !*waiting {
            *waiting = true;
            match reason {
                NoSpace::Cap => tracing::warn!(
                    max_bytes = self.handle.max_bytes,
                    "the spool is full, sources wait for the hub"
                ),
                NoSpace::Disk => tracing::error!("the disk is full, sources wait until there is space"),
            }
        }
        if self.handle.inbox.is_closed() {
            return Ok(false);
        }
        self.handle.inbox.pause(RETRY);
        self.log.recycle()?;
        Ok(true)
    }
}

impl SpoolHandle {
    /// Hands events to the spool; waits while its queue is full.
    pub fn append(&self, block: Block) -> Result<(), Closed> {
        self.inbox.push(block)
    }

    /// Nothing more will be appended.
    pub fn close(&self) {
        self.inbox.close();
    }

    /// Whether nothing can be appended any more.
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// The hub has everything up to here.
    pub fn ack(&self, seq: u64) {
        self.shared.state().acknowledge(seq);
    }

    /// Takes frames that were read for sending. From here on a full spool leaves open whether the hub gets them, until it acknowledges them or
    /// [`SpoolHandle::rewind`] says that it did not. Frames that were dropped since they were read are left out.
    pub fn claim(&self, frames: Vec<Frame>) -> VecDeque<Frame> {
        let mut state = self.shared.state();
        frames
            .into_iter()
            .filter(|frame| state.claim(frame.header().seq))
            .collect()
    }

    /// Sending begins again at this frame. Answers how many events were dropped while they were on their way and did not arrive.
    pub fn rewind(&self, from_seq: u64) -> u64 {
        self.shared.state().rewind(from_seq)
    }

    /// The hub refused this frame for good.
    pub fn disown(&self, seq: u64) {
        self.shared.state().disown(seq);
    }

    /// The sequence number that the next durable frame will get, whenever it changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.next_seq.subscribe()
    }

    /// A reader of the durable frames.
    pub fn reader(&self) -> Reader {
        Reader::new(self.disk.clone(), self.shared.clone())
    }

    /// Highest acknowledged sequence number.
    pub fn acked(&self) -> u64 {
        self.shared.state().acked
    }

    /// Identity of the sequence numbers.
    pub fn epoch(&self) -> u64 {
        self.shared.state().epoch
    }

    /// Starts a new epoch for the frames that the hub has not acknowledged.
    pub fn begin_epoch(&self) -> Result<(), SpoolError> {
        let fresh = Epoch {
            id: rand::random(),
            floor: self.acked() + 1,
        };
        epoch::write(&*self.disk, fresh).map_err(|error| SpoolError::Create(self.disk.describe("epoch"), error))?;
        let mut state = self.shared.state();
        (state.epoch, state.floor) = (fresh.id, fresh.floor);
        Ok(())
    }

    /// What waits for the hub.
    pub fn backlog(&self) -> Backlog {
        self.shared.state().backlog()
    }

    /// The size cap.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
