//! What the writer, the reader and the uplink know together about the log; a few words behind a lock that is never held over I/O.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

const MAX_MARKS: usize = 1_024;

/// A file of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first group; its name.
    pub first_number: u64,
    /// Every frame in it has at least this sequence number.
    pub first_seq: u64,
    /// Bytes it takes on disk.
    pub size: u64,
    /// First byte after the durable groups.
    pub end: u64,
}

impl Segment {
    /// Name of the file.
    pub fn name(&self) -> String {
        format!("{:020}.seg", self.first_number)
    }
}

/// Totals at the end of one commit.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    last_seq: u64,
    events: u64,
    bytes: u64,
    at_ms: i64,
}

/// What waits in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backlog {
    /// Events not yet acknowledged.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was written.
    pub oldest_ms: Option<i64>,
}

/// The state itself.
#[derive(Debug, Default)]
pub struct State {
    /// Oldest first; the last one is being written.
    pub segments: VecDeque<Segment>,
    /// Highest acknowledged sequence number.
    pub acked: u64,
    /// Identity of the sequence numbers.
    pub epoch: u64,
    /// Frames before this belong to an earlier epoch and are not sent.
    pub floor: u64,
    /// Events lost before this sequence number are counted.
    lost_before: u64,
    marks: VecDeque<Mark>,
    total: Mark,
    released: Mark,
}

impl State {
    /// An empty log whose frames up to `acked` the hub has.
    pub fn after(acked: u64) -> Self {
        Self {
            acked,
            ..Self::default()
        }
    }

    /// A commit became durable.
    pub fn committed(&mut self, last_seq: u64, events: u64, bytes: u64, at_ms: i64) {
        self.total = Mark {
            last_seq,
            events: self.total.events + events,
            bytes: self.total.bytes + bytes,
            at_ms,
        };
        self.marks.push_back(self.total);
        if self.marks.len() > MAX_MARKS {
            // Half the marks say the same more coarsely; the newest must stay.
            let mut keep = self.marks.len().is_multiple_of(2);
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Events just before this sequence number cannot be read; answers whether that is news.
    pub fn note_loss(&mut self, before_seq: u64) -> bool {
        let news = before_seq > self.lost_before;
        self.lost_before = self.lost_before.max(before_seq);
        news
    }

    /// The hub has everything up to here, or the spool dropped it.
    pub fn release(&mut self, seq: u64) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.last_seq <= seq) {
            self.released = *mark;
            self.marks.pop_front();
        }
    }

    /// What waits now.
    pub fn backlog(&self) -> Backlog {
        Backlog {
            events: self.total.events - self.released.events,
            bytes: self.total.bytes - self.released.bytes,
            oldest_ms: self.marks.front().map(|mark| mark.at_ms),
        }
    }

    /// Bytes of all segments on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }
}

/// The state and the announcement of new frames.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    /// Sequence number that the next durable frame will get.
    pub next_seq: watch::Sender<u64>,
}

impl Shared {
    /// Around a state that recovery found.
    pub fn new(state: State, next_seq: u64) -> Self {
        Self {
            state: Mutex::new(state),
            next_seq: watch::Sender::new(next_seq),
        }
    }

    /// The state. Keep it for a few lines only.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_is_exact_at_rest_and_bounded_in_memory() {
        let mut state = State::default();
        for seq in 1..=10_000 {
            state.committed(seq, 10, 100, seq as i64);
        }
        assert!(state.marks.len() <= MAX_MARKS + 1);
        assert_eq!(
            state.backlog(),
            Backlog {
                events: 100_000,
                bytes: 1_000_000,
                oldest_ms: state.marks.front().map(|m| m.at_ms)
            }
        );
        state.release(9_999);
        assert!(state.backlog().events > 0);
        state.release(10_000);
        assert_eq!(state.backlog(), Backlog::default());
    }
}
