//! The deduplication window of the HTTP door: an id that a client gave is one event, however often it is sent within
//! the window.
//!
//! An id is *claimed* while its event is on its way to the store, and *stored* once it is durable. Who sends an id that
//! is claimed waits until the claim ends and then looks again, so nobody is told that an event is stored before it is.
//!
//! An id is entered with the ticket of its request, and that is the only time it is touched: it is stored when that
//! request claims no longer, since a request that fails takes its ids out again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounter;
use streamflow_model::Span;
use tokio::sync::watch;
use uuid::Uuid;

/// Names the request that claims an id. Numbers come again after four thousand million requests, far beyond the window.
type Ticket = u32;
/// In place of a ticket: the event was stored before the start.
const STORED: Ticket = 0;

/// Ids looked up before others may have the lock.
const AT_A_TIME: usize = 1024;

type Ids = HashMap<Uuid, Ticket, foldhash::fast::RandomState>;

/// Ids in two generations: the window is between one and two times `span` long, forgetting costs nothing, and memory is
/// bounded. One map holds claimed and stored ids, since every id passes here and each further lookup misses the
/// processor's caches once more.
#[derive(Debug)]
pub(crate) struct Window {
    span_ms: i64,
    per_generation: usize,
    young: Ids,
    old: Ids,
    began_at: i64,
    /// Ids forgotten before their time.
    forgotten: u64,
}

impl Window {
    pub(crate) fn new(span: Span, capacity: usize, now: i64) -> Self {
        Self {
            span_ms: span.ms().max(1),
            per_generation: (capacity / 2).max(1),
            young: Ids::default(),
            old: Ids::default(),
            began_at: now,
            forgotten: 0,
        }
    }

    /// Enters an id that is not known; answers the ticket of one that is.
    fn enter(&mut self, id: Uuid, ticket: Ticket, now: i64) -> Option<Ticket> {
        if let Some(known) = self.old.get(&id) {
            return Some(*known);
        }
        let full = self.young.len() >= self.per_generation;
        if full || now - self.began_at >= self.span_ms {
            if let Some(known) = self.young.get(&id) {
                return Some(*known);
            }
            if now - self.began_at < self.span_ms {
                self.forgotten += self.old.len() as u64;
            }
            // The next generation is about as large, so it takes over the memory of the one that is forgotten: growing step by step would move every id
            // several times, and fresh memory costs a page fault for every few hundred ids.
            let mut next = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            next.clear();
            next.shrink_to(2 * self.old.len());
            self.young = next;
            self.began_at = now;
        }
        match self.young.entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => Some(*known.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(ticket);
                None
            }
        }
    }

    fn give_up(&mut self, id: &Uuid, ticket: Ticket) {
        for generation in [&mut self.young, &mut self.old] {
            if generation.get(id) == Some(&ticket) {
                generation.remove(id);
            }
        }
    }

    fn ticket(&self, id: &Uuid) -> Option<Ticket> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }
}

#[derive(Debug)]
struct State {
    window: Window,
    /// The requests that claim ids now; the end of an entry tells those who wait.
    claiming: HashMap<Ticket, watch::Sender<()>>,
    last_ticket: Ticket,
}

/// The window, shared by all requests. A lock and not a task, since it is held for a few lookups and never across an
/// await.
#[derive(Debug)]
pub(crate) struct Dedup {
    state: Mutex<State>,
    evicted: IntCounter,
}

/// Ids whose events are on their way. Dropping it gives them up, which is right whenever the events were not stored.
#[derive(Debug)]
pub(crate) struct Claims {
    dedup: Arc<Dedup>,
    ticket: Ticket,
    ids: Vec<Uuid>,
}

/// An id that could not be claimed.
#[derive(Debug)]
pub(crate) enum Known {
    /// Stored before, or earlier in the same request.
    Duplicate,
    /// On its way in another request.
    Pending(Waiting),
}

/// Another request's claim.
#[derive(Debug)]
pub(crate) struct Waiting {
    dedup: Arc<Dedup>,
    id: Uuid,
    ended: watch::Receiver<()>,
}

impl Dedup {
    pub(crate) fn new(window: Window, evicted: IntCounter) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                window,
                claiming: HashMap::new(),
                last_ticket: STORED,
            }),
            evicted,
        })
    }

    /// A request's claims, none yet.
    pub(crate) fn claims(self: &Arc<Self>) -> Claims {
        let mut state = self.lock();
        let mut ticket = state.last_ticket;
        loop {
            ticket = ticket.wrapping_add(1);
            if ticket != STORED && !state.claiming.contains_key(&ticket) {
                break;
            }
        }
        state.last_ticket = ticket;
        state.claiming.insert(ticket, watch::channel(()).0);
        Claims {
            dedup: Arc::clone(self),
            ticket,
            ids: Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id stored before the hub started.
    pub(crate) fn restore(&self, id: Uuid, stored_at: i64) {
        self.lock().window.enter(id, STORED, stored_at);
    }
}

impl State {
    fn count_forgotten(&mut self, evicted: &IntCounter) {
        evicted.inc_by(std::mem::take(&mut self.window.forgotten));
    }

    fn is_stored(&self, id: &Uuid) -> bool {
        self.window
            .ticket(id)
            .is_some_and(|ticket| !self.claiming.contains_key(&ticket))
    }
}

impl Claims {
    /// Claims ids in order; answers those that are known, by their place among the ids. Most are new, so only the others cost memory.
    pub(crate) fn claim(&mut self, ids: impl IntoIterator<Item = Uuid>, now: i64) -> Vec<(usize, Known)> {
        let mut known = Vec::new();
        let mut ids = ids.into_iter().enumerate().peekable();
        while ids.peek().is_some() {
            let mut state = self.dedup.lock();
            for (place, id) in ids.by_ref().take(AT_A_TIME) {
                match state.window.enter(id, self.ticket, now) {
                    None => self.ids.push(id),
                    Some(ticket) if ticket == self.ticket => known.push((place, Known::Duplicate)),
                    Some(ticket) => known.push((
                        place,
                        match state.claiming.get(&ticket) {
                            Some(other) => Known::Pending(Waiting {
                                dedup: Arc::clone(&self.dedup),
                                id,
                                ended: other.subscribe(),
                            }),
                            None => Known::Duplicate,
                        },
                    )),
                }
            }
            state.count_forgotten(&self.dedup.evicted);
        }
        known
    }

    /// Gives up all but these ids: the other events were refused.
    pub(crate) fn keep(&mut self, ids: &[Uuid]) {
        let (kept, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ids)
            .into_iter()
            .partition(|id| ids.contains(id));
        self.ids = kept;
        let mut state = self.dedup.lock();
        refused.iter().for_each(|id| state.window.give_up(id, self.ticket));
    }

    /// The events are durable.
    pub(crate) fn stored(mut self) {
        self.ids.clear();
    }

    /// Of these numbers of ids in order, the events are durable or not; the others are given up.
    pub(crate) fn stored_parts(mut self, parts: impl IntoIterator<Item = (usize, bool)>) {
        let mut ids = std::mem::take(&mut self.ids).into_iter();
        for (count, stored) in parts {
            let part = ids.by_ref().take(count);
            if stored {
                part.for_each(drop);
            } else {
                self.ids.extend(part);
            }
        }
        self.ids.extend(ids);
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let mut state = self.dedup.lock();
        self.ids.iter().for_each(|id| state.window.give_up(id, self.ticket));
        state.claiming.remove(&self.ticket);
    }
}

impl Waiting {
    /// Waits for the other request; whether its event is stored now.
    pub(crate) async fn stored(mut self) -> bool {
        // the value never changes: this ends when the claims are dropped
        while self.ended.changed().await.is_ok() {}
        self.dedup.lock().is_stored(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dedup(capacity: usize) -> Arc<Dedup> {
        Dedup::new(
            Window::new(Span::from_secs(600), capacity, 0),
            IntCounter::new("evicted", "evicted").unwrap(),
        )
    }

    #[test]
    fn the_window_is_at_least_as_long_as_promised_and_bounded() {
        let mut window = Window::new(Span::from_ms(100), 1000, 0);
        let ids: Vec<Uuid> = (0..50).map(Uuid::from_u128).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(window.enter(*id, STORED, at as i64 * 10), None);
            let within = &ids[at.saturating_sub(10)..=at];
            assert!(within.iter().all(|id| window.ticket(id) == Some(STORED)));
        }
        assert_eq!((window.ticket(&ids[0]), window.forgotten), (None, 0));
        let mut small = Window::new(Span::from_ms(100), 10, 0);
        for id in &ids {
            small.enter(*id, STORED, 1);
        }
        assert_eq!((small.forgotten, small.young.len() + small.old.len()), (40, 10));
    }

    #[test]
    fn an_id_is_new_once() {
        let dedup = dedup(100);
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let mut claims = dedup.claims();
        assert!(matches!(claims.claim([a, a, b], 1)[..], [(1, Known::Duplicate)]));
        assert!(matches!(dedup.claims().claim([a], 1)[..], [(0, Known::Pending(_))]));
        claims.keep(&[a]);
        assert!(dedup.claims().claim([b], 1).is_empty());
        claims.stored();
        assert!(matches!(dedup.claims().claim([a, b], 1)[..], [(0, Known::Duplicate)]));
        assert!(dedup.lock().claiming.is_empty());
    }

    #[tokio::test]
    async fn who_waits_learns_what_became_of_it() {
        let dedup = dedup(100);
        let id = Uuid::from_u128(1);
        for stored in [false, true] {
            let mut claims = dedup.claims();
            claims.claim([id], 1);
            let Some((_, Known::Pending(waiting))) = dedup.claims().claim([id], 1).pop() else {
                panic!("not pending")
            };
            if stored {
                claims.stored()
            } else {
                drop(claims)
            }
            assert_eq!(waiting.stored().await, stored);
        }
    }
}
