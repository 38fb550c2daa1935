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
    /// Frames up to here may have been sent: taken by the uplink, or written before the last start.
    claimed_to: u64,
    /// Frames before this one were dropped to make room.
    evicted_below: u64,
    /// Sequence number and events of dropped frames that may have been sent: only the hub knows whether they are lost.
    undecided: VecDeque<(u64, u64)>,
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

    /// The uplink takes this frame for sending. Answers false when the spool has dropped, and counted, it meanwhile.
    pub fn claim(&mut self, seq: u64) -> bool {
        let live = seq >= self.evicted_below;
        if live {
            self.claimed_to = self.claimed_to.max(seq);
        }
        live
    }

    /// The oldest segment, whose `frames` (sequence number, events) all come before `next_seq`, is dropped to make room. Answers how many events
    /// are lost for certain; what may have been sent is decided by [`State::acknowledge`] or [`State::rewind`].
    pub fn evict(&mut self, next_seq: u64, frames: impl Iterator<Item = (u64, u64)>) -> u64 {
        self.segments.pop_front();
        self.evicted_below = self.evicted_below.max(next_seq);
        self.release(next_seq.saturating_sub(1));
        let mut lost = 0;
        for (seq, events) in frames.filter(|(seq, _)| *seq > self.acked) {
            if seq <= self.claimed_to {
                self.undecided.push_back((seq, events));
            } else {
                lost += events;
            }
        }
        lost
    }

    /// The hub holds nothing from this frame on, and sending begins again there. Answers how many events are lost because they were dropped
    /// while they were on their way.
    pub fn rewind(&mut self, from_seq: u64) -> u64 {
        self.claimed_to = self.claimed_to.min(from_seq.saturating_sub(1));
        let stored = self.undecided.partition_point(|(seq, _)| *seq < from_seq);
        self.undecided.drain(stored..).map(|(_, events)| events).sum()
    }

    /// The hub refused this frame for good; that is counted elsewhere.
    pub fn disown(&mut self, refused: u64) {
        self.undecided.retain(|(seq, _)| *seq != refused);
    }

    /// The hub has everything up to here.
    pub fn acknowledge(&mut self, acked: u64) {
        if acked > self.acked {
            self.acked = acked;
            self.release(acked);
            while self.undecided.pop_front_if(|(seq, _)| *seq <= acked).is_some() {}
        }
    }

    /// The hub has everything up to here, or the spool dropped it.
    fn release(&mut self, seq: u64) {
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
    pub fn new(mut state: State, next_seq: u64) -> Self {
        state.claimed_to = next_seq.saturating_sub(1);
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

    fn full_of(frames: std::ops::Range<u64>) -> State {
        let mut state = State::default();
        for seq in frames {
            state.committed(seq, 10, 100, 0);
        }
        state
    }

    #[test]
    fn what_is_dropped_on_its_way_is_lost_only_if_the_hub_does_not_have_it() {
        let mut state = full_of(1..7);
        assert!((1..5).all(|seq| state.claim(seq)), "1 to 4 are on their way");
        assert_eq!(state.evict(6, (1..6).map(|seq| (seq, 10))), 10, "5 was not sent");
        state.acknowledge(2);
        // The connection breaks; the hub says that it holds 3.
        state.acknowledge(3);
        assert_eq!(state.rewind(4), 10, "4 did not arrive");
        assert_eq!(state.rewind(4), 0, "it is counted once");
        assert!(!state.claim(5), "what is counted as dropped is not sent any more");
        assert!(state.claim(6));
    }

    #[test]
    fn what_the_last_run_may_have_sent_is_decided_by_the_hub() {
        let shared = Shared::new(full_of(1..5), 5);
        let mut state = shared.state();
        assert_eq!(state.evict(5, (1..5).map(|seq| (seq, 10))), 0);
        state.acknowledge(3);
        assert_eq!(state.rewind(4), 10);
    }

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
