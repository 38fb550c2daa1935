//! Reads durable frames back in order, for the uplink.

use std::io;
use std::sync::Arc;

use streamflow_proto::frame::Frame;

use super::disk::{Disk, DiskFile};
use super::recover::set_aside;
use super::shared::{Segment, Shared};
use super::walk::{Frames, Step, Walk};
use super::window::Window;

/// A place in the log.
pub struct Reader {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    window: Window,
    open: Option<Open>,
    /// The frame after the last one that was read.
    next_seq: u64,
    /// Events of the log up to the present place, when all of them could be read.
    events: Option<u64>,
    losses: Losses,
}

/// What could not be read, and had not been noticed before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Damaged segments.
    pub segments: u64,
    /// Events in them that are gone.
    pub events: u64,
}

struct Open {
    segment: Segment,
    file: Box<dyn DiskFile>,
    walk: Walk,
    frames: Frames,
}

impl Reader {
    /// At no place yet.
    pub fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>) -> Self {
        Self {
            disk,
            shared,
            window: Window::default(),
            open: None,
            next_seq: 0,
            events: None,
            losses: Losses::default(),
        }
    }

    /// What was found lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Durable frames from `from_seq` on, or from the first later one that still exists, up to about `max_bytes`.
    pub fn read(&mut self, from_seq: u64, max_bytes: usize) -> io::Result<Vec<Frame>> {
        let from_seq = from_seq.max(self.shared.state().floor);
        if from_seq != self.next_seq {
            self.open = None;
            self.events = None;
        }
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            if self.open.is_none() && !self.open_segment(from_seq)? {
                break;
            }
            match self.step(from_seq)? {
                Some(frame) => {
                    bytes += frame.bytes().len();
                    self.next_seq = frame.header().seq + 1;
                    frames.push(frame);
                }
                None if self.advance() => {}
                None => break,
            }
        }
        // A segment that was recycled meanwhile may have been overwritten while it was read.
        let first = self
            .shared
            .state()
            .segments
            .front()
            .map_or(0, |segment| segment.first_seq);
        if self.open.as_ref().is_some_and(|open| !self.is_live(&open.segment)) {
            self.open = None;
            frames.retain(|frame| frame.header().seq >= first);
        }
        Ok(frames)
    }

    fn is_live(&self, segment: &Segment) -> bool {
        self.shared
            .state()
            .segments
            .iter()
            .any(|live| live.first_number == segment.first_number)
    }

    /// Opens the segment in which `from_seq` stands, or would stand.
    fn open_segment(&mut self, from_seq: u64) -> io::Result<bool> {
        let found = {
            let state = self.shared.state();
            let after = state.segments.partition_point(|segment| segment.first_seq <= from_seq);
            state.segments.get(after.saturating_sub(1)).copied()
        };
        let Some(segment) = found else { return Ok(false) };
        match self.enter(segment) {
            Ok(()) => {}
            // Recycled a moment ago; there will be another.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        self.next_seq = from_seq;
        Ok(true)
    }

    fn enter(&mut self, segment: Segment) -> io::Result<()> {
        self.window.clear();
        self.open = Some(Open {
            file: self.disk.open(&segment.name())?,
            walk: Walk {
                offset: 0,
                number: segment.first_number,
                limit: segment.end,
            },
            frames: Frames::default(),
            segment,
        });
        Ok(())
    }

    /// The next frame of the open segment; none at its present end.
    fn step(&mut self, from_seq: u64) -> io::Result<Option<Frame>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        loop {
            if let Some(header) = open.frames.peek(&*open.file, &mut self.window)?
                && header.seq < from_seq
                && open.frames.offset + header.frame_len() as u64 <= open.frames.end
            {
                open.frames.skip(&header);
                self.events = self.events.map(|events| events + u64::from(header.count));
                continue;
            }
            match open.frames.next(&*open.file, &mut self.window)? {
                Step::Frame(frame) => {
                    self.events = self.events.map(|events| events + u64::from(frame.header().count));
                    if frame.header().seq >= from_seq {
                        return Ok(Some(frame));
                    }
                }
                Step::Damage(range) => {
                    self.losses.segments += report(&*self.disk, &open.segment, &*open.file, range.start)?;
                }
                Step::End => {
                    let Some(found) = open.walk.next_group(&*open.file, &mut self.window)? else {
                        return Ok(None);
                    };
                    if let Some(range) = &found.damaged {
                        self.losses.segments += report(&*self.disk, &open.segment, &*open.file, range.start)?;
                    }
                    let missing = self
                        .events
                        .map_or(0, |events| found.group.events_before.saturating_sub(events));
                    if missing > 0 && self.shared.state().note_loss(found.group.next_seq) {
                        self.losses.events += missing;
                    }
                    self.events = Some(found.group.events_before);
                    open.frames = Frames::of(&found);
                }
            }
        }
    }

    /// Learns how far the log has grown; false when there is nothing new.
    fn advance(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        let state = self.shared.state();
        let place = state
            .segments
            .iter()
            .position(|live| live.first_number == open.segment.first_number);
        let (now, next) = match place {
            Some(place) => (
                state.segments.get(place).copied(),
                state.segments.get(place + 1).copied(),
            ),
            None => (None, state.segments.front().copied()),
        };
        drop(state);
        if let Some(now) = now.filter(|now| now.end > open.walk.limit) {
            open.walk.limit = now.end;
            // What was read past the old end was not the log yet.
            self.window.clear();
            return true;
        }
        match next {
            Some(next) => self.enter(next).is_ok(),
            None => false,
        }
    }
}

/// Sets a damaged segment aside; answers 1 when that is news.
fn report(disk: &dyn Disk, segment: &Segment, file: &dyn DiskFile, offset: u64) -> io::Result<u64> {
    let name = segment.name();
    let Some(copy) = set_aside(disk, &name, file)? else {
        return Ok(0);
    };
    let file = disk.describe(&name);
    tracing::error!(file, offset, copy, "a part of the spool cannot be read and is skipped");
    Ok(1)
}
