//! The keys of one rule: an automaton each, the events that wait for their turn, and what alerting was told. Bounded in keys and in places held.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    automaton::{Automaton, Seen},
    program::{Mask, Program},
};
use crate::engine::grouping::fingerprint;

/// Most places held by all keys of a rule: events that wait, and events of steps taken.
pub(crate) const MAX_HELD: usize = 200_000;
/// Most events of one key that wait for their turn.
pub(crate) const MAX_PENDING: usize = 10_000;

/// An event that waits until the watermark has passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) seen: Seen,
    pub(crate) mask: Mask,
    /// Order of arrival, which orders events of the same time.
    order: u64,
}

/// What alerting knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// An alert is open as far as is known here.
    pub(crate) met: bool,
    /// End of what it was last told of.
    pub(crate) until: i64,
    /// Said about that end so far.
    pub(crate) revision: u32,
    /// It was told before its turn.
    pub(crate) running: bool,
    /// When the alert ends, unless there is another match.
    pub(crate) ends: i64,
    /// It was told that the data is incomplete.
    pub(crate) stale: bool,
    /// Matches since the alert began.
    pub(crate) matches: u64,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            met: false,
            until: i64::MIN,
            revision: 0,
            running: false,
            ends: i64::MIN,
            stale: false,
            matches: 0,
        }
    }
}

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) labels: Vec<String>,
    pub(crate) automaton: Automaton,
    pub(crate) told: Told,
    /// In the order of their turns.
    pending: VecDeque<Pending>,
    /// The automaton as if all pending events had had their turn; made when it is asked for.
    #[serde(skip)]
    ahead: Option<Automaton>,
    /// Last event, by arrival.
    touched: u64,
    wake: Option<i64>,
    held: usize,
    /// A verdict waits until hosts that are missing have reported.
    pub(crate) doubtful: bool,
}

/// All keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Keys {
    slots: Vec<Option<Key>>,
    free: Vec<u32>,
    arrivals: u64,
    /// Keys whose state was dropped for want of room, ever.
    pub(crate) evicted: u64,
    /// Events and completed runs that found no room, ever.
    pub(crate) dropped: u64,
    #[serde(skip)]
    derived: Derived,
}

/// What follows from the keys, rebuilt after a restart.
#[derive(Debug, Clone, Default)]
struct Derived {
    index: HashMap<u128, u32, foldhash::fast::RandomState>,
    queue: BTreeMap<(i64, u64), u32>,
    timers: BTreeSet<(i64, u32)>,
    /// Least lately touched first.
    recency: BTreeSet<(u64, u32)>,
    doubtful: BTreeSet<u32>,
    held: usize,
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Event(u32, Pending),
    Timer(u32, i64),
}

impl Keys {
    /// Rebuilds what is not in a checkpoint.
    pub(crate) fn reindex(&mut self) {
        let mut derived = Derived::default();
        for (slot, id) in self.slots.iter().zip(0..) {
            let Some(key) = slot else { continue };
            derived.index.insert(key.fingerprint(), id);
            derived.recency.insert((key.touched, id));
            derived.timers.extend(key.wake.map(|at| (at, id)));
            derived.held += key.held;
            let turns = key.pending.iter().map(|event| ((event.seen.at, event.order), id));
            derived.queue.extend(turns);
            if key.doubtful {
                derived.doubtful.insert(id);
            }
        }
        self.derived = derived;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Places held.
    pub(crate) const fn held(&self) -> usize {
        self.derived.held
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Key> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Key> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// Keys with a verdict that waits for missing hosts.
    pub(crate) fn doubtful(&self) -> Vec<u32> {
        self.derived.doubtful.iter().copied().collect()
    }

    /// The key with these labels, if there is one.
    pub(crate) fn find(&self, fingerprint: u128) -> Option<u32> {
        self.derived.index.get(&fingerprint).copied()
    }

    /// The key with these labels, made when there is none. At the bound the key that was least lately touched makes room; `None` when none can.
    pub(crate) fn intern<'a>(
        &mut self,
        fingerprint: u128,
        labels: impl Iterator<Item = &'a str>,
        cap: usize,
    ) -> Option<u32> {
        if let Some(id) = self.find(fingerprint) {
            return Some(id);
        }
        while self.len() >= cap {
            let oldest = self.evictable(None)?;
            self.evict(oldest);
        }
        let key = Key {
            labels: labels.map(str::to_owned).collect(),
            automaton: Automaton::default(),
            told: Told::default(),
            pending: VecDeque::new(),
            ahead: None,
            touched: self.arrivals,
            wake: None,
            held: 0,
            doubtful: false,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(key);
                id
            }
            None => {
                self.slots.push(Some(key));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.derived.index.insert(fingerprint, id);
        self.derived.recency.insert((self.arrivals, id));
        Some(id)
    }

    /// The least lately touched key that alerting waits for no word about.
    fn evictable(&self, except: Option<u32>) -> Option<u32> {
        let mut oldest = self.derived.recency.iter().map(|(_, id)| *id);
        oldest.find(|id| Some(*id) != except && self.get(*id).is_some_and(|key| !key.told.met))
    }

    fn evict(&mut self, id: u32) {
        self.evicted += 1;
        self.remove(id);
    }

    fn remove(&mut self, id: u32) {
        let Some(key) = self.slots.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        let derived = &mut self.derived;
        derived.index.remove(&key.fingerprint());
        derived.recency.remove(&(key.touched, id));
        if let Some(at) = key.wake {
            derived.timers.remove(&(at, id));
        }
        for event in &key.pending {
            derived.queue.remove(&(event.seen.at, event.order));
        }
        derived.doubtful.remove(&id);
        derived.held -= key.held;
        self.free.push(id);
    }

    /// Lets an event wait for its turn. Answers whether there was room.
    pub(crate) fn push(&mut self, id: u32, seen: Seen, mask: Mask) -> bool {
        let order = self.arrivals + 1;
        // Keys whose alert is open make no room.
        let full = self.derived.held >= MAX_HELD + MAX_PENDING;
        let Some(key) = self.get_mut(id) else { return false };
        if key.pending.len() >= MAX_PENDING || full {
            self.dropped += 1;
            return false;
        }
        let event = Pending { seen, mask, order };
        let place = key.pending.partition_point(|other| other.seen.at <= seen.at);
        if place < key.pending.len() {
            // What was worked out ahead did not know of it.
            key.ahead = None;
        }
        key.pending.insert(place, event);
        let before = std::mem::replace(&mut key.touched, order);
        self.arrivals = order;
        self.derived.recency.remove(&(before, id));
        self.derived.recency.insert((order, id));
        self.derived.queue.insert((seen.at, order), id);
        true
    }

    /// Nothing is worked out ahead for a key whose alert is open.
    pub(crate) fn look_no_more(&mut self, id: u32) {
        if let Some(key) = self.get_mut(id) {
            key.ahead = None;
        }
    }

    /// Works out whether the pending events complete a match, if nothing else comes. Answers the first that the newest event brought.
    pub(crate) fn look_ahead(&mut self, id: u32, program: &Program) -> Option<super::automaton::Match> {
        let key = self.get_mut(id)?;
        if let (Some(ahead), Some(last)) = (&mut key.ahead, key.pending.back()) {
            return ahead.step(program, last.seen, last.mask).found;
        }
        let mut ahead = key.automaton.clone();
        let steps = key
            .pending
            .iter()
            .map(|event| ahead.step(program, event.seen, event.mask).found);
        let found = steps.fold(None, |first, found| first.or(found));
        key.ahead = Some(ahead);
        found
    }

    /// Whose turn it is of what lies before `until`. An event comes before a timer of the same time.
    pub(crate) fn next(&mut self, until: i64) -> Option<Turn> {
        let event = self.derived.queue.first_key_value().map(|((at, _), id)| (*at, *id));
        let event = event.filter(|(at, _)| *at < until);
        let timer = self.derived.timers.first().copied().filter(|(at, _)| *at < until);
        match (event, timer) {
            (Some((at, _)), Some((wake, id))) if wake < at => Some(self.woken(wake, id)),
            (Some((_, id)), _) => {
                self.derived.queue.pop_first();
                let event = self.get_mut(id)?.pending.pop_front()?;
                Some(Turn::Event(id, event))
            }
            (None, Some((wake, id))) => Some(self.woken(wake, id)),
            (None, None) => None,
        }
    }

    fn woken(&mut self, at: i64, id: u32) -> Turn {
        self.derived.timers.remove(&(at, id));
        if let Some(key) = self.get_mut(id) {
            key.wake = None;
        }
        Turn::Timer(id, at)
    }

    /// Books what a key holds after a change, sets its timer, drops it when nothing is left, and makes room when too much is held.
    pub(crate) fn settle(&mut self, id: u32, program: &Program) {
        let Some(key) = self.slots.get_mut(id as usize).and_then(Option::as_mut) else {
            return;
        };
        let derived = &mut self.derived;
        let held = key.pending.len() + key.automaton.held();
        derived.held = derived.held + held - key.held;
        key.held = held;
        let wakes = [
            key.automaton.deadline().filter(|_| !key.doubtful),
            (key.told.met && !key.doubtful).then_some(key.told.ends),
            key.automaton.until(program),
        ];
        let wake = wakes.into_iter().flatten().min();
        // One that wakes too early only looks again; moving it with every event would cost more.
        if let Some(at) = wake.filter(|at| key.wake.is_none_or(|known| *at < known)) {
            if let Some(known) = key.wake.replace(at) {
                derived.timers.remove(&(known, id));
            }
            derived.timers.insert((at, id));
        }
        if key.doubtful {
            derived.doubtful.insert(id);
        } else {
            derived.doubtful.remove(&id);
        }
        if !key.told.met && key.pending.is_empty() && key.automaton.is_empty() {
            self.remove(id);
        }
        while self.derived.held > MAX_HELD {
            let Some(oldest) = self.evictable(Some(id)) else { break };
            self.evict(oldest);
        }
    }
}

impl Key {
    fn fingerprint(&self) -> u128 {
        fingerprint(self.labels.iter().map(String::as_str))
    }
}
