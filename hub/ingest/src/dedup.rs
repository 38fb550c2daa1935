//! The deduplication window of the HTTP door: an id that a client gave is one event, however often it is sent within
//! the window.
//!
//! An id is *claimed* while its event is on its way to the store, and *stored* once it is durable. Who sends an id that
//! is claimed waits until the claim ends and then looks again, so nobody is told that an event is stored before it is.
//!
//! An id is entered with the ticket of its request, and that is the only time it is touched: it is stored when that
//! request claims no longer, since a request that fails takes its ids out again.

mod generation;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounter;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use window::Window;

/// Names the request that claims an id. Numbers come again after four thousand million requests, far beyond the window.
type Ticket = u32;
/// In place of a ticket: the event was stored before the start.
const STORED: Ticket = 0;

/// Ids looked up before others may have the lock.
const AT_A_TIME: usize = 1024;

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
        self.lock().window.enter(&[id], STORED, stored_at, |_, _| ());
    }
}

impl State {
    fn count_forgotten(&mut self, evicted: &IntCounter) {
        evicted.inc_by(std::mem::take(&mut self.window.forgotten));
    }

    fn is_stored(&self, id: Uuid) -> bool {
        self.window
            .ticket(id)
            .is_some_and(|ticket| !self.claiming.contains_key(&ticket))
    }
}

impl Claims {
    /// Claims ids in order; answers those that are known, by their place among the ids. Most are new, so only the others cost memory.
    pub(crate) fn claim(&mut self, ids: &[Uuid], now: i64) -> Vec<(usize, Known)> {
        let mut known = Vec::new();
        self.ids.reserve(ids.len());
        for (part, ids) in ids.chunks(AT_A_TIME).enumerate() {
            let mut guard = self.dedup.lock();
            let State { window, claiming, .. } = &mut *guard;
            // As far as this, the ids of the part are among those claimed.
            let mut claimed = 0;
            window.enter(ids, self.ticket, now, |place, ticket| {
                self.ids.extend_from_slice(&ids[claimed..place]);
                claimed = place + 1;
                let found = match claiming.get(&ticket) {
                    Some(other) if ticket != self.ticket => Known::Pending(Waiting {
                        dedup: Arc::clone(&self.dedup),
                        id: ids[place],
                        ended: other.subscribe(),
                    }),
                    _ => Known::Duplicate,
                };
                known.push((part * AT_A_TIME + place, found));
            });
            self.ids.extend_from_slice(&ids[claimed..]);
            guard.count_forgotten(&self.dedup.evicted);
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
        refused.into_iter().for_each(|id| state.window.give_up(id, self.ticket));
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
        self.ids.iter().for_each(|id| state.window.give_up(*id, self.ticket));
        state.claiming.remove(&self.ticket);
    }
}

impl Waiting {
    /// Waits for the other request; whether its event is stored now.
    pub(crate) async fn stored(mut self) -> bool {
        // the value never changes: this ends when the claims are dropped
        while self.ended.changed().await.is_ok() {}
        self.dedup.lock().is_stored(self.id)
    }
}

#[cfg(test)]
mod tests {
    use streamflow_model::Span;

    use super::*;

    fn dedup(capacity: usize) -> Arc<Dedup> {
        Dedup::new(
            Window::new(Span::from_secs(600), capacity, 0),
            IntCounter::new("evicted", "evicted").unwrap(),
        )
    }

    #[test]
    fn an_id_is_new_once() {
        let dedup = dedup(100);
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let mut claims = dedup.claims();
        assert!(matches!(claims.claim(&[a, a, b], 1)[..], [(1, Known::Duplicate)]));
        assert!(matches!(dedup.claims().claim(&[a], 1)[..], [(0, Known::Pending(_))]));
        claims.keep(&[a]);
        assert!(dedup.claims().claim(&[b], 1).is_empty());
        claims.stored();
        assert!(matches!(dedup.claims().claim(&[a, b], 1)[..], [(0, Known::Duplicate)]));
        assert!(dedup.lock().claiming.is_empty());
    }

    #[tokio::test]
    async fn who_waits_learns_what_became_of_it() {
        let dedup = dedup(100);
        let id = Uuid::from_u128(1);
        for stored in [false, true] {
            let mut claims = dedup.claims();
            claims.claim(&[id], 1);
            let Some((_, Known::Pending(waiting))) = dedup.claims().claim(&[id], 1).pop() else {
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
