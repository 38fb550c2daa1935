//! Ids in two generations: the window is between one and two times its span long, forgetting costs nothing, and memory is bounded.

use foldhash::fast::RandomState;
use streamflow_model::Span;
use uuid::Uuid;

use super::{
    Ticket,
    generation::{Generation, hash},
};

/// Ids whose slots are read before the first of them is looked up: as many reads as a processor has under way.
const AHEAD: usize = 32;

/// The ids of the window with their tickets, claimed and stored ones alike.
#[derive(Debug)]
pub(crate) struct Window {
    span_ms: i64,
    per_generation: usize,
    young: Generation,
    old: Generation,
    began_at: i64,
    hasher: RandomState,
    /// Ids forgotten before their time.
    pub(super) forgotten: u64,
}

impl Window {
    pub(crate) fn new(span: Span, capacity: usize, now: i64) -> Self {
        let most = u32::try_from(capacity / 2).unwrap_or(u32::MAX >> 1).max(1);
        Self {
            span_ms: span.ms().max(1),
            per_generation: most as usize,
            young: Generation::new(most),
            old: Generation::new(most),
            began_at: now,
            hasher: RandomState::default(),
            forgotten: 0,
        }
    }

    /// Enters the ids that are not known; tells the places of those that are, with their tickets.
    pub(super) fn enter(&mut self, ids: &[Uuid], ticket: Ticket, now: i64, mut known: impl FnMut(usize, Ticket)) {
        let mut hashes = [0; AHEAD];
        for (part, ids) in ids.chunks(AHEAD).enumerate() {
            let mut touched = 0;
            for (hashed, id) in hashes.iter_mut().zip(ids) {
                *hashed = hash(&self.hasher, *id);
                touched |= self.young.touch(*hashed);
                if self.old.may_have(*id) {
                    touched |= self.old.touch(*hashed);
                }
            }
            // Nobody asks what was read, and it must be read all the same.
            std::hint::black_box(touched);
            for (place, (hashed, id)) in hashes.iter().zip(ids).enumerate() {
                match self.find(*hashed, *id) {
                    Some(ticket) => known(part * AHEAD + place, ticket),
                    None => {
                        self.turn(now);
                        self.young.add(*hashed, *id, ticket, &self.hasher);
                    }
                }
            }
        }
    }

    /// Begins a new generation when the young one is full or old.
    fn turn(&mut self, now: i64) {
        let is_old = now - self.began_at >= self.span_ms;
        if !is_old && self.young.len() < self.per_generation {
            return;
        }
        if !is_old {
            self.forgotten += self.old.len() as u64;
        }
        // The next generation is about as large, so it takes over the memory of the one that is forgotten: growing step by step would enter every id several
        // times, and fresh memory costs a page fault for every few hundred ids.
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear(self.old.len());
        self.began_at = now;
    }

    fn find(&self, hashed: u64, id: Uuid) -> Option<Ticket> {
        let is_old = self.old.may_have(id);
        let old = is_old.then(|| self.old.ticket(hashed, id)).flatten();
        old.or_else(|| self.young.ticket(hashed, id))
    }

    /// Takes an id out if it has this ticket.
    pub(super) fn give_up(&mut self, id: Uuid, ticket: Ticket) {
        self.young.remove(id, ticket, &self.hasher);
        self.old.remove(id, ticket, &self.hasher);
    }

    /// The ticket of an id.
    pub(super) fn ticket(&self, id: Uuid) -> Option<Ticket> {
        self.find(hash(&self.hasher, id), id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_at_least_as_long_as_promised_and_bounded() {
        let mut window = Window::new(Span::from_ms(100), 1000, 0);
        let ids: Vec<Uuid> = (0..50).map(Uuid::from_u128).collect();
        let new = |_: usize, _: Ticket| panic!("it is not known");
        for (at, id) in ids.iter().enumerate() {
            window.enter(&[*id], 7, at as i64 * 10, new);
            let within = &ids[at.saturating_sub(10)..=at];
            assert!(within.iter().all(|id| window.ticket(*id) == Some(7)));
        }
        assert_eq!((window.ticket(ids[0]), window.forgotten), (None, 0));
        let mut small = Window::new(Span::from_ms(100), 10, 0);
        small.enter(&ids, 7, 1, new);
        assert_eq!((small.forgotten, small.young.len() + small.old.len()), (40, 10));
    }

    #[test]
    fn known_ids_are_told_by_their_place_also_across_generations() {
        let mut window = Window::new(Span::from_secs(1), 200, 0);
        let ids: Vec<Uuid> = (0..150).map(Uuid::from_u128).collect();
        window.enter(&ids[..90], 1, 0, |_, _| panic!("it is not known"));
        let mut known = Vec::new();
        window.enter(&ids, 2, 0, |place, ticket| known.push((place, ticket)));
        assert_eq!(known, (0..90).map(|place| (place, 1)).collect::<Vec<_>>());
        assert_eq!((window.ticket(ids[0]), window.ticket(ids[149])), (Some(1), Some(2)));
        window.give_up(ids[0], 2);
        assert_eq!(window.ticket(ids[0]), Some(1), "the other's");
        window.give_up(ids[0], 1);
        assert_eq!(window.ticket(ids[0]), None);
    }
}
