//! One channel's queue: whose turn it is.
//!
//! Heads of the lanes wait for their time, and then for their turn. Flows (the notifications of one rule, or of one group)
//! take turns, so that ten thousand alerts of one rule do not hold up the alert of another.

use std::collections::{BTreeSet, HashMap};

use crate::gate::Gate;

/// Which queue a notification stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    /// Channel.
    pub(crate) channel: String,
    /// Key of an alert, or of a group of alerts.
    pub(crate) about: String,
}

/// A channel's queue.
#[derive(Debug, Default)]
pub(crate) struct ChannelQueue {
    /// Heads of the lanes by the time when they may be sent; those of one time as they came.
    waiting: BTreeSet<(i64, u64, String)>,
    /// Those whose time has come, by their turn; those of one turn as they came.
    ready: BTreeSet<(u64, u64, String)>,
    /// How many have come.
    came: u64,
    /// When the first of them became ready.
    ready_since: i64,
    /// The newest turn of each flow that has any.
    turns: HashMap<String, u64>,
    /// The turn that was taken last.
    turn: u64,
    /// Notifications that are being sent.
    pub(crate) running: usize,
    /// Notifications, those that are being sent among them.
    pub(crate) len: usize,
}

impl ChannelQueue {
    /// Something may be sent from then on.
    pub(crate) fn wait(&mut self, due: i64, about: String) {
        self.came += 1;
        self.waiting.insert((due, self.came, about));
    }

    /// When its next notification may be sent; `None` while it has no room, or nothing that waits.
    pub(crate) fn opens(&self, gate: Option<&Gate>, at_once: usize) -> Option<i64> {
        let ready = (!self.ready.is_empty()).then_some(self.ready_since);
        let waiting = self.waiting.first().map(|(due, ..)| *due);
        let due = ready.into_iter().chain(waiting).min();
        let due = due.filter(|_| self.running < at_once)?;
        gate.map_or(Some(due), |gate| gate.opens(due, self.running))
    }

    /// Takes what is sent next; `flow` says to which flow something belongs.
    pub(crate) fn next(&mut self, now: i64, flow: impl Fn(&str) -> String) -> Option<String> {
        if self.ready.is_empty() {
            // Nobody waits for a turn: all begin anew.
            self.turns.clear();
            self.turn = 0;
        }
        while self.waiting.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((due, came, about)) = self.waiting.pop_first() else {
                break;
            };
            if self.ready.is_empty() {
                self.ready_since = due;
            }
            let newest = self.turns.entry(flow(&about)).or_default();
            *newest = self.turn.max(*newest) + 1;
            self.ready.insert((*newest, came, about));
        }
        let (turn, _, about) = self.ready.pop_first()?;
        self.turn = turn;
        self.running += 1;
        Some(about)
    }

    /// Whether there is nothing in it, nor anything that has left and is not booked yet.
    pub(crate) const fn is_idle(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(about: &str) -> String {
        about.chars().take(1).collect()
    }

    #[test]
    fn flows_take_turns_and_each_keeps_its_order() {
        let mut queue = ChannelQueue::default();
        for n in 0..4 {
            queue.wait(n, format!("a{n}"));
        }
        let mut sent: Vec<String> = (0..2).filter_map(|_| queue.next(10, flow)).collect();
        // Two others come later, and do not wait for all of the first.
        queue.wait(11, "b0".to_owned());
        queue.wait(11, "b1".to_owned());
        queue.wait(99, "c0".to_owned());
        sent.extend(std::iter::from_fn(|| queue.next(20, flow)));
        assert_eq!(sent, ["a0", "a1", "a2", "b0", "a3", "b1"]);
        assert_eq!((queue.running, queue.opens(None, 8)), (6, Some(99)));
        assert_eq!(queue.opens(None, 6), None, "no room");
        queue.running = 0;
        assert_eq!(queue.next(99, flow).as_deref(), Some("c0"));
    }
}
