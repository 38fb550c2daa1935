//! The segment log: appends groups, gives space back once the hub has what was in it, and says when there is no space.

use std::io;
use std::sync::Arc;

use streamflow_proto::frame::Frame;

use super::cursor::Cursor;
use super::disk::{Disk, DiskFile, write_all_at};
use super::group::Group;
use super::inbox::Block;
use super::position::{self, Positions};
use super::shared::{Segment, Shared};
use super::{SpoolError, WhenFull};

/// Sizes that the log works with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Bytes of all of them.
    pub max_bytes: u64,
    /// What happens at `max_bytes`.
    pub when_full: WhenFull,
}

/// What became of an append.
#[derive(Debug, PartialEq, Eq)]
pub enum Append {
    /// The blocks are durable.
    Done,
    /// No space now: the size cap, or the disk. Nothing of it is visible; try again later.
    NoSpace(NoSpace),
}

/// Why there is no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// `spool.max_bytes` is reached.
    Cap,
    /// The disk is full.
    Disk,
}

/// The log's writing end.
pub struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) cursor: Cursor,
    pub(super) positions: Positions,
    /// The segment being written; none before the first group.
    pub(super) file: Option<Box<dyn DiskFile>>,
    /// Number of the next group.
    pub(super) number: u64,
    /// Sequence number of the next frame.
    pub(super) next_seq: u64,
    /// Events in all groups so far.
    pub(super) events: u64,
    /// A recycled file that waits for its next use.
    pub(super) spare: bool,
    pub(super) scratch: Vec<u8>,
}

pub(super) const SPARE: &str = "spare";

impl Log {
    /// What others see of the log.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the oldest events make room for new ones.
    pub fn drops_oldest(&self) -> bool {
        self.limits.when_full == WhenFull::DropOldest
    }

    /// Positions of all files.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Writes the blocks as one group and syncs it; nothing of it is visible to a reader before that.
    pub fn append(&mut self, blocks: &[Block], now_ms: i64) -> Result<Append, SpoolError> {
        let frames: Vec<Frame> = blocks
            .iter()
            .filter_map(|block| block.frame.as_ref())
            .zip(self.next_seq..)
            .map(|(frame, seq)| frame.with_seq(seq))
            .collect();
        let frames_len: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
        let group = Group {
            number: self.number,
            next_seq: self.next_seq,
            events_before: self.events,
            frames: frames.len() as u32,
            frames_len: frames_len as u32,
            ..Group::default()
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        group.encode(blocks.iter().flat_map(|block| &block.positions), &mut scratch);
        let mut offset = self.shared.state().segments.back().map_or(0, |segment| segment.end);
        let room = self.shared.state().segments.back().map_or(0, |segment| segment.size);
        if self.file.is_none() || offset == 0 || offset + (scratch.len() + frames_len) as u64 > room {
            let mut known = self.positions.clone();
            position::merge(
                &mut known,
                blocks.iter().flat_map(|block| block.positions.iter().cloned()),
            );
            scratch.clear();
            Group {
                snapshot: true,
                ..group
            }
            .encode(known.values(), &mut scratch);
            if (self.file.is_none() || offset != 0)
                && let Some(reason) = self.rotate((scratch.len() + frames_len) as u64)?
            {
                self.scratch = scratch;
                return Ok(Append::NoSpace(reason));
            }
            offset = 0;
        }
        for frame in &frames {
            scratch.extend_from_slice(frame.bytes());
        }
        let written = self.write(&scratch, offset);
        let len = scratch.len() as u64;
        self.scratch = scratch;
        if let Some(reason) = written? {
            return Ok(Append::NoSpace(reason));
        }
        let events: u64 = frames.iter().map(|frame| u64::from(frame.header().count)).sum();
        self.number += 1;
        self.next_seq += frames.len() as u64;
        self.events += events;
        position::merge(
            &mut self.positions,
            blocks.iter().flat_map(|block| block.positions.iter().cloned()),
        );
        let mut state = self.shared.state();
        if let Some(segment) = state.segments.back_mut() {
            segment.end = offset + len;
        }
        if !frames.is_empty() {
            state.committed(self.next_seq - 1, events, frames_len as u64, now_ms);
        }
        drop(state);
        if !frames.is_empty() {
            self.shared.next_seq.send_replace(self.next_seq);
        }
        Ok(Append::Done)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<Option<NoSpace>, SpoolError> {
        let file = self.file.as_deref().ok_or(SpoolError::NoSegment)?;
        match write_all_at(file, bytes, offset) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Ok(Some(NoSpace::Disk)),
            Err(error) => return Err(SpoolError::Write(error)),
        }
        // The kernel may have dropped the dirty pages of a failed sync, so trying again would lie about them.
        file.sync().map_err(SpoolError::Sync)?;
        Ok(None)
    }

    /// Opens a new segment that holds at least `need` bytes.
    fn rotate(&mut self, need: u64) -> Result<Option<NoSpace>, SpoolError> {
        self.recycle()?;
        let size = self.limits.segment_bytes.max(need);
        let name = Segment {
            first_number: self.number,
            ..Segment::default()
        }
        .name();
        if self.shared.state().disk_bytes() + size > self.limits.max_bytes {
            return Ok(Some(NoSpace::Cap));
        }
        let made = if self.spare && size == self.limits.segment_bytes {
            self.disk.rename(SPARE, &name).and_then(|()| self.disk.open(&name))
        } else {
            self.disk.create(&name, size)
        };
        let file = match made {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Ok(Some(NoSpace::Disk)),
            Err(error) => return Err(SpoolError::Create(self.disk.describe(&name), error)),
        };
        self.spare = self.spare && size != self.limits.segment_bytes;
        self.disk.sync_dir().map_err(SpoolError::Sync)?;
        self.file = Some(file);
        self.shared.state().segments.push_back(Segment {
            first_number: self.number,
            first_seq: self.next_seq,
            size,
            end: 0,
        });
        Ok(None)
    }

    /// Stores the cursor and gives back the segments whose frames are all acknowledged.
    pub fn recycle(&mut self) -> Result<(), SpoolError> {
        let acked = self.shared.state().acked;
        if acked > self.cursor.acked()
            && let Err(error) = self.cursor.store(acked)
        {
            // Only a hint, see `cursor`.
            tracing::warn!(%error, "cannot store the cursor of the spool");
        }
        loop {
            let mut state = self.shared.state();
            let done = state.segments.get(1).is_some_and(|next| next.first_seq <= acked + 1);
            let Some(segment) = state.segments.pop_front_if(|_| done) else {
                return Ok(());
            };
            drop(state);
            self.give_back(segment)?;
        }
    }

    /// Drops the oldest segment although the hub does not have all of it, and counts those of its events that are not on their way either.
    /// Answers none when only the current segment is left.
    pub fn evict(&mut self) -> Result<Option<u64>, SpoolError> {
        let (segment, next_seq) = {
            let state = self.shared.state();
            let (Some(oldest), Some(next)) = (state.segments.front(), state.segments.get(1)) else {
                return Ok(None);
            };
            (*oldest, next.first_seq)
        };
        let frames = super::recover::frames_of(&*self.disk, &segment)?;
        let lost = self.shared.state().evict(next_seq, frames.into_iter());
        self.give_back(segment)?;
        Ok(Some(lost))
    }

    fn give_back(&mut self, segment: Segment) -> Result<(), SpoolError> {
        let name = segment.name();
        let reuse = !self.spare && segment.size == self.limits.segment_bytes;
        let result = if reuse {
            self.disk.rename(&name, SPARE)
        } else {
            self.disk.remove(&name)
        };
        result.map_err(|error| SpoolError::Create(self.disk.describe(&name), error))?;
        self.spare |= reuse;
        Ok(())
    }
}

/// No space left, or the quota is used up.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero
    )
}
