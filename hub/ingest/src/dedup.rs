//! The deduplication window of the HTTP door: an id that a client gave is one event, however often it is sent within the window.
//!
//! An id is *claimed* while its event is on its way to the store, and *remembered* once it is durable. Who sends an id that is claimed waits until
//! the claim ends and then looks again, so nobody is told that an event is stored before it is.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounter;
use streamflow_model::Span;
use tokio::sync::watch;
use uuid::Uuid;

/// Ids remembered in two generations: the window is between one and two times `span` long, forgetting costs nothing, and memory is bounded.
#[derive(Debug)]
pub(crate) struct Window {
    span_ms: i64,
    per_generation: usize,
    young: HashSet<Uuid, foldhash::fast::RandomState>,
    old: HashSet<Uuid, foldhash::fast::RandomState>,
    began_at: i64,
}

impl Window {
    pub(crate) fn new(span: Span, capacity: usize, now: i64) -> Self {
        Self { span_ms: span.ms().max(1), per_generation: (capacity / 2).max(1), young: HashSet::default(), old: HashSet::default(), began_at: now }
    }

    /// Remembers an id; answers how many had to be forgotten before their time.
    pub(crate) fn remember(&mut self, id: Uuid, now: i64) -> usize {
        let full = self.young.len() >= self.per_generation;
        let mut forgotten = 0;
        if full || now - self.began_at >= self.span_ms {
            let early = full && now - self.began_at < self.span_ms;
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            forgotten = if early { gone.len() } else { 0 };
            self.began_at = now;
        }
        self.young.insert(id);
        forgotten
    }

    pub(crate) fn contains(&self, id: &Uuid) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }
}

#[derive(Debug)]
struct State {
    window: Window,
    claimed: HashMap<Uuid, watch::Receiver<()>, foldhash::fast::RandomState>,
}

/// The window, shared by all requests. A lock and not a task, since it is held for a few lookups and never across an await.
#[derive(Debug)]
pub(crate) struct Dedup {
    state: Mutex<State>,
    evicted: IntCounter,
}

/// Ids whose events are on their way. Dropping it gives them up, which is right whenever the events were not stored.
#[derive(Debug)]
pub(crate) struct Claims {
    dedup: Arc<Dedup>,
    ids: Vec<Uuid>,
    /// Its end tells those who wait.
    alive: watch::Sender<()>,
}

/// What became of an attempt to claim an id.
#[derive(Debug)]
pub(crate) enum Claim {
    /// First of its kind.
    New,
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
        Arc::new(Self { state: Mutex::new(State { window, claimed: HashMap::default() }), evicted })
    }

    /// A request's claims, none yet.
    pub(crate) fn claims(self: &Arc<Self>) -> Claims {
        Claims { dedup: Arc::clone(self), ids: Vec::new(), alive: watch::channel(()).0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, ids: &[Uuid]) {
        if !ids.is_empty() {
            let mut state = self.lock();
            for id in ids {
                state.claimed.remove(id);
            }
        }
    }

    /// An id stored before the hub started.
    pub(crate) fn restore(&self, id: Uuid, stored_at: i64) {
        self.evicted.inc_by(self.lock().window.remember(id, stored_at) as u64);
    }
}

impl Claims {
    /// Claims ids in order.
    pub(crate) fn claim(&mut self, ids: impl IntoIterator<Item = Uuid>) -> Vec<Claim> {
        let mut state = self.dedup.lock();
        let claim = |id: Uuid| {
            if state.window.contains(&id) {
                return Claim::Duplicate;
            }
            match state.claimed.entry(id) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(self.alive.subscribe());
                    self.ids.push(id);
                    Claim::New
                }
                std::collections::hash_map::Entry::Occupied(taken) if taken.get().same_channel(&self.alive.subscribe()) => Claim::Duplicate,
                std::collections::hash_map::Entry::Occupied(taken) => {
                    Claim::Pending(Waiting { dedup: Arc::clone(&self.dedup), id, ended: taken.get().clone() })
                }
            }
        };
        ids.into_iter().map(claim).collect()
    }

    /// Gives up all but these ids: the other events were refused.
    pub(crate) fn keep(&mut self, ids: &[Uuid]) {
        let (kept, refused) = std::mem::take(&mut self.ids).into_iter().partition(|id| ids.contains(id));
        self.ids = kept;
        self.dedup.give_up(&refused);
    }

    /// The events are durable.
    pub(crate) fn stored(mut self, now: i64) {
        let mut forgotten = 0;
        let mut state = self.dedup.lock();
        for id in self.ids.drain(..) {
            forgotten += state.window.remember(id, now);
            state.claimed.remove(&id);
        }
        drop(state);
        self.dedup.evicted.inc_by(forgotten as u64);
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.dedup.give_up(&self.ids);
    }
}

impl Waiting {
    /// Waits for the other request; whether its event is stored now.
    pub(crate) async fn stored(mut self) -> bool {
        // the value never changes: this ends when the claims are dropped
        while self.ended.changed().await.is_ok() {}
        self.dedup.lock().window.contains(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dedup(capacity: usize) -> Arc<Dedup> {
        Dedup::new(Window::new(Span::from_secs(600), capacity, 0), IntCounter::new("evicted", "evicted").unwrap())
    }

    #[test]
    fn the_window_is_at_least_as_long_as_promised_and_bounded() {
        let mut window = Window::new(Span::from_ms(100), 1000, 0);
        let ids: Vec<Uuid> = (0..50).map(Uuid::from_u128).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(window.remember(*id, at as i64 * 10), 0);
            let within = &ids[at.saturating_sub(10)..=at];
            assert!(within.iter().all(|id| window.contains(id)));
        }
        assert!(!window.contains(&ids[0]));
        let mut small = Window::new(Span::from_ms(100), 10, 0);
        let forgotten: usize = ids.iter().map(|id| small.remember(*id, 1)).sum();
        assert_eq!((forgotten, small.young.len() + small.old.len()), (40, 10));
    }

    #[test]
    fn an_id_is_new_once() {
        let dedup = dedup(100);
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let mut claims = dedup.claims();
        assert!(matches!(claims.claim([a, a, b])[..], [Claim::New, Claim::Duplicate, Claim::New]));
        assert!(matches!(dedup.claims().claim([a])[..], [Claim::Pending(_)]));
        claims.keep(&[a]);
        assert!(matches!(dedup.claims().claim([b])[..], [Claim::New]));
        claims.stored(1);
        assert!(matches!(dedup.claims().claim([a, b])[..], [Claim::Duplicate, Claim::New]));
    }

    #[tokio::test]
    async fn who_waits_learns_what_became_of_it() {
        let dedup = dedup(100);
        let id = Uuid::from_u128(1);
        for stored in [false, true] {
            let mut claims = dedup.claims();
            claims.claim([id]);
            let Some(Claim::Pending(waiting)) = dedup.claims().claim([id]).pop() else { panic!("not pending") };
            if stored { claims.stored(1) } else { drop(claims) }
            assert_eq!(waiting.stored().await, stored);
        }
    }
}
