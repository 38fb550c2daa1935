//! The bounded queue between the sources' threads and the spool's writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use streamflow_proto::frame::Frame;

use super::position::Position;

/// What becomes durable together: events and how far their files have been read.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The events; none when all were filtered out.
    pub frame: Option<Frame>,
    /// Positions that are true once the frame is durable.
    pub positions: Vec<Position>,
}

impl Block {
    fn bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.bytes().len())
    }

    fn supersede(&mut self, newer: Vec<Position>) {
        self.positions
            .retain(|old| newer.iter().all(|new| new.file != old.file));
        self.positions.extend(newer);
    }
}

/// The spool has stopped and takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool has stopped")]
pub struct Closed;

#[derive(Debug, Default)]
struct Queue {
    blocks: VecDeque<Block>,
    bytes: usize,
    frames: usize,
    closed: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    max_bytes: usize,
    max_blocks: usize,
}

impl Inbox {
    /// Holds at most this much; one block always fits.
    pub fn new(max_bytes: usize, max_blocks: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            max_bytes,
            max_blocks,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room.
    pub fn push(&self, block: Block) -> Result<(), Closed> {
        let full = |queue: &mut Queue| {
            !queue.closed && (queue.bytes >= self.max_bytes || queue.blocks.len() >= self.max_blocks)
        };
        let mut queue = self
            .emptied
            .wait_while(self.lock(), full)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return Err(Closed);
        }
        match queue.blocks.back_mut() {
            // Where everything is filtered out, only the newest positions matter.
            Some(last) if last.frame.is_none() && block.frame.is_none() => last.supersede(block.positions),
            _ => {
                queue.bytes += block.bytes();
                queue.frames += usize::from(block.frame.is_some());
                queue.blocks.push_back(block);
            }
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes everything, up to about `limit` bytes, as soon as there is a frame; positions alone wait for `patience`, as nothing is lost
    /// without them. Answers false when the queue is closed and empty.
    pub fn drain(&self, into: &mut Vec<Block>, limit: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut queue = self.lock();
        while queue.frames == 0 && !queue.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self
                .filled
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut taken = 0;
        while taken < limit
            && let Some(block) = queue.blocks.pop_front()
        {
            taken += block.bytes();
            queue.frames -= usize::from(block.frame.is_some());
            into.push(block);
        }
        queue.bytes -= taken;
        let open = !queue.closed || !into.is_empty();
        drop(queue);
        self.emptied.notify_all();
        open
    }

    /// Sleeps, but not past [`Inbox::close`].
    pub fn pause(&self, time: Duration) {
        let queue = self.lock();
        let result = self.filled.wait_timeout_while(queue, time, |queue| !queue.closed);
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }

    /// Nothing more comes in; what is there can still be drained.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}
