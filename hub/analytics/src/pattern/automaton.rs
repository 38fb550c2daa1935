//! The automaton of one key: a nondeterministic one whose runs are kept by step, so that its state is bounded by the pattern and not by the events.
//!
//! Of all runs that stand at the same step only the one that began last can matter: whatever completes an earlier one within the time completes that one as well.
//! A step that asks for `n` events keeps its last `n` events; each of them stands for the run that entered the step with it.
//! Semantics: "skip till next match" and "skip past last event" (Agrawal, Diao, Gyllstrom, Immerman: Efficient Pattern Matching over Event Streams, SIGMOD 2008).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::program::{Mask, Position, Program};

/// Events of a step that an alert names.
pub(crate) const SHOWN: usize = 20;
/// Completed runs of a key that wait for what must not come; the newest beyond are dropped and counted.
pub(crate) const MAX_WAITING: usize = 64;

/// An event as far as a pattern needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) at: i64,
    pub(crate) id: u128,
}

/// The events that took one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trace {
    /// The first of them, at most [`SHOWN`].
    pub(crate) events: Vec<Seen>,
    /// How many there are.
    pub(crate) count: u32,
}

/// Steps that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Path {
    /// Time of the first event.
    pub(crate) start: i64,
    /// In the order of the pattern.
    pub(crate) traces: Vec<Trace>,
}

/// A pattern that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) path: Path,
    /// When it was certain: the time of its last event, or of the end of the wait.
    pub(crate) at: i64,
}

/// A step that is being taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stage {
    /// The last events of the step, with the number of the path they came from.
    events: VecDeque<(Seen, Option<u64>)>,
    /// Paths by number, without those that no event came from.
    paths: VecDeque<(u64, Path)>,
    next_path: u64,
    /// The newest event before `events` that came from a path: it may still be the first of a run whose other events are among `events`.
    entry: Option<(Seen, Path)>,
    /// The path through this step that began last.
    full: Option<Path>,
}

/// A completed path that must not be followed by something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) deadline: i64,
    pub(crate) last: i64,
    pub(crate) path: Path,
}

/// What an event brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stepped {
    pub(crate) found: Option<Match>,
    /// It is what must not come at the end.
    pub(crate) forbidden: bool,
    /// Completed runs that found no room to wait.
    pub(crate) dropped: u64,
}

/// State of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Automaton {
    stages: Vec<Stage>,
    /// In the order of their deadlines.
    waiting: VecDeque<Waiting>,
}

impl Stage {
    fn push(&mut self, seen: Seen, from: Option<&Path>, room: usize) {
        let number = match (from, self.paths.back()) {
            (Some(path), Some((number, last))) if last == path => Some(*number),
            (Some(path), _) => {
                self.next_path += 1;
                self.paths.push_back((self.next_path, path.clone()));
                Some(self.next_path)
            }
            (None, _) => None,
        };
        self.events.push_back((seen, number));
        if self.events.len() > room
            && let Some((seen, Some(number))) = self.events.pop_front()
        {
            let path = self.paths.iter().find(|(known, _)| *known == number);
            self.entry = path.map(|(_, path)| (seen, path.clone()));
        }
        self.trim();
    }

    /// Drops events at the front that no run has, and paths that no event came from.
    fn trim(&mut self) {
        while self.entry.is_none() && self.events.front().is_some_and(|(_, path)| path.is_none()) {
            self.events.pop_front();
        }
        let first = self.events.iter().find_map(|(_, path)| *path);
        while self
            .paths
            .front()
            .is_some_and(|(number, _)| first.is_none_or(|first| *number < first))
        {
            self.paths.pop_front();
        }
    }

    /// Forgets what began before `oldest`.
    fn expire(&mut self, oldest: i64) {
        self.entry.take_if(|(_, path)| path.start < oldest);
        self.full.take_if(|path| path.start < oldest);
        let gone = self.paths.iter().take_while(|(_, path)| path.start < oldest).last();
        if let Some(gone) = gone.map(|(number, _)| *number) {
            for (_, path) in &mut self.events {
                path.take_if(|number| *number <= gone);
            }
        }
        self.trim();
    }

    /// The run that began last of those that have all their events, the last of them just now.
    fn complete(&self, count: usize) -> Option<Path> {
        if self.events.len() < count {
            return None;
        }
        let (first, number) = self.events.front()?;
        let (first, before) = match number {
            Some(number) => (first, &self.paths.iter().find(|(known, _)| known == number)?.1),
            None => self.entry.as_ref().map(|(seen, path)| (seen, path))?,
        };
        let rest = self.events.iter().skip(1).map(|(seen, _)| *seen);
        let mut path = before.clone();
        path.traces.push(Trace {
            events: std::iter::once(*first).chain(rest).take(SHOWN).collect(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        });
        Some(path)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Automaton {
    /// Takes the next event in the order of time. Deadlines before it must have been called ([`Self::overdue`]).
    pub(crate) fn step(&mut self, program: &Program, seen: Seen, mask: Mask) -> Stepped {
        let mut stepped = Stepped::default();
        self.stages.resize_with(program.positions.len(), Stage::default);
        self.expire(seen.at.saturating_sub(program.within));
        let last = program.positions.len() - 1;
        for (stage, position) in self.stages.iter_mut().zip(&program.positions).take(last) {
            if mask & position.forbids != 0 {
                stage.full = None;
            }
        }
        if mask & program.forbidden_at_the_end() != 0 {
            self.waiting.retain(|waiting| waiting.deadline < seen.at);
            stepped.forbidden = true;
        }
        // From the last step to the first, so that an event takes one step of a run only.
        for number in (0..program.positions.len()).rev() {
            let position = &program.positions[number];
            if mask & position.takes == 0 {
                continue;
            }
            let Some(path) = self.take(number, position, seen) else {
                continue;
            };
            if number < last {
                let stage = &mut self.stages[number];
                if stage.full.as_ref().is_none_or(|full| full.start < path.start) {
                    stage.full = Some(path);
                }
                continue;
            }
            self.stages.iter_mut().for_each(Stage::clear);
            if position.forbids == 0 {
                stepped.found = Some(Match { path, at: seen.at });
            } else if self.waiting.len() < MAX_WAITING {
                let deadline = path.start.saturating_add(program.within);
                self.waiting.push_back(Waiting {
                    deadline,
                    last: seen.at,
                    path,
                });
            } else {
                stepped.dropped += 1;
            }
            break;
        }
        stepped
    }

    fn take(&mut self, number: usize, position: &Position, seen: Seen) -> Option<Path> {
        let fresh = Path {
            start: seen.at,
            traces: Vec::new(),
        };
        let (before, rest) = self.stages.split_at_mut(number);
        let from = match before.last() {
            None => Some(&fresh),
            Some(stage) => stage.full.as_ref(),
        };
        let stage = rest.first_mut()?;
        stage.push(seen, from, position.count);
        stage.complete(position.count)
    }

    fn expire(&mut self, oldest: i64) {
        self.stages.iter_mut().for_each(|stage| stage.expire(oldest));
    }

    /// Forgets what can no longer become a match when time has come to `now`.
    pub(crate) fn forget(&mut self, program: &Program, now: i64) {
        self.expire(now.saturating_sub(program.within));
    }

    /// The first run whose wait ends before `now`.
    pub(crate) fn overdue(&mut self, now: i64) -> Option<Match> {
        self.waiting.front().filter(|waiting| waiting.deadline < now)?;
        let waiting = self.waiting.pop_front()?;
        Some(Match {
            path: waiting.path,
            at: waiting.deadline,
        })
    }

    /// An event that must not come arrived after its turn: ends the waits in whose time it lies. Answers whether there were any.
    pub(crate) fn undo(&mut self, at: i64) -> bool {
        let before = self.waiting.len();
        self.waiting
            .retain(|waiting| at <= waiting.last || at > waiting.deadline);
        self.waiting.len() < before
    }

    /// When something will happen without an event: the end of a wait.
    pub(crate) fn deadline(&self) -> Option<i64> {
        self.waiting.front().map(|waiting| waiting.deadline)
    }

    /// When what is there can no longer become a match; `None` when nothing is there.
    pub(crate) fn until(&self, program: &Program) -> Option<i64> {
        let starts = self.stages.iter().flat_map(|stage| {
            let newest = stage.paths.back().map(|(_, path)| path);
            let entry = stage.entry.iter().map(|(_, path)| path);
            newest
                .into_iter()
                .chain(entry)
                .chain(&stage.full)
                .map(|path| path.start)
        });
        starts.max().map(|start| start.saturating_add(program.within))
    }

    /// Places taken: events, and the paths before them by their steps.
    pub(crate) fn held(&self) -> usize {
        let stages = self.stages.iter().zip(1..);
        let held = stages.map(|(stage, steps)| stage.events.len() + stage.paths.len() * steps);
        held.sum::<usize>() + self.waiting.len() * (self.stages.len() + 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self
                .stages
                .iter()
                .all(|stage| stage.events.is_empty() && stage.entry.is_none() && stage.full.is_none())
    }
}
