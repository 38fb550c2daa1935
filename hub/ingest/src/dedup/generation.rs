//! Ids entered one after the other, and a table that finds them.
//!
//! The table has four bytes an id beside the ids, which stand in the order in which they came: what has to be looked at for an id that is not known is small
//! enough to stay in the processor's caches, and entering it writes to one random place.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::Ticket;

/// Slots of a table at first.
const FEW: usize = 64;

/// Ids with the ticket that each was entered with.
#[derive(Debug)]
pub(super) struct Generation {
    ids: Vec<Uuid>,
    tickets: Vec<Ticket>,
    /// Places among the ids that are free again.
    free: Vec<u32>,
    /// Open addressing: one more than a place in the lower bits, some bits of the hash above; zero where there is none. A power of two, at least twice as many as ids.
    slots: Vec<u32>,
    /// The bits of a slot that are the place.
    places: u32,
}

impl Generation {
    /// For at most so many ids.
    pub(super) fn new(most: u32) -> Self {
        Self {
            ids: Vec::new(),
            tickets: Vec::new(),
            free: Vec::new(),
            slots: vec![0; FEW],
            places: u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0),
        }
    }

    /// Ids in it.
    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.free.len()
    }

    fn home(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.slots.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Where the table is looked at first. Reading it for many ids before any of them is looked up brings what they need into the caches side by side, rather than one after the other.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.slots[self.home(hash)]
    }

    /// The slot of an id and its place.
    fn find(&self, hash: u64, id: Uuid) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let place = (slot & self.places) as usize - 1;
            if (slot ^ hash as u32) & !self.places == 0 && self.ids[place] == id {
                return Some((at, place));
            }
            at = self.next(at);
        }
    }

    /// The ticket of an id.
    pub(super) fn ticket(&self, hash: u64, id: Uuid) -> Option<Ticket> {
        self.find(hash, id).map(|(_, place)| self.tickets[place])
    }

    /// Adds an id that is not there.
    pub(super) fn add(&mut self, hash: u64, id: Uuid, ticket: Ticket, hasher: &RandomState) {
        if self.slots.len() < 2 * (self.len() + 1) {
            self.grow(hasher);
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.ids[place as usize] = id;
                self.tickets[place as usize] = ticket;
                place
            }
            None => {
                self.ids.push(id);
                self.tickets.push(ticket);
                self.ids.len() as u32 - 1
            }
        };
        self.put(hash, place);
    }

    fn put(&mut self, hash: u64, place: u32) {
        let mut at = self.home(hash);
        while self.slots[at] != 0 {
            at = self.next(at);
        }
        self.slots[at] = hash as u32 & !self.places | (place + 1);
    }

    #[cold]
    fn grow(&mut self, hasher: &RandomState) {
        let more = vec![0; 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, more) {
            if slot != 0 {
                let place = (slot & self.places) - 1;
                self.put(hash(hasher, self.ids[place as usize]), place);
            }
        }
    }

    /// Takes an id out if it has this ticket.
    pub(super) fn remove(&mut self, id: Uuid, ticket: Ticket, hasher: &RandomState) {
        let Some((mut gap, place)) = self.find(hash(hasher, id), id) else {
            return;
        };
        if self.tickets[place] != ticket {
            return;
        }
        self.free.push(place as u32);
        // What stands behind moves up, unless it would come before its own first slot.
        let mut at = self.next(gap);
        while self.slots[at] != 0 {
            let other = (self.slots[at] & self.places) as usize - 1;
            let home = self.home(hash(hasher, self.ids[other]));
            let last = self.slots.len() - 1;
            if at.wrapping_sub(home) & last >= at.wrapping_sub(gap) & last {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.slots[gap] = 0;
    }

    /// Forgets the ids and keeps the memory that about so many need.
    pub(super) fn clear(&mut self, ids: usize) {
        self.ids.clear();
        self.tickets.clear();
        self.free.clear();
        self.ids.shrink_to(2 * ids);
        self.tickets.shrink_to(2 * ids);
        self.free.shrink_to(ids);
        let slots = (4 * ids).next_power_of_two().max(FEW);
        if self.slots.len() > slots {
            self.slots = vec![0; slots];
        } else {
            self.slots.fill(0);
        }
    }
}

/// Keyed by process start, so that nobody outside can aim at one slot.
pub(super) fn hash(hasher: &RandomState, id: Uuid) -> u64 {
    hasher.hash_one(id.as_u128())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a map does it, whatever is entered and taken out.
        #[test]
        fn an_id_has_the_ticket_it_was_entered_with(steps in prop::collection::vec((0u128..300, 1u32..4, any::<bool>()), 0..2000)) {
            let hasher = RandomState::default();
            let mut generation = Generation::new(300);
            let mut map: HashMap<Uuid, Ticket> = HashMap::new();
            for (id, ticket, add) in steps {
                let id = Uuid::from_u128(id);
                let hash = hash(&hasher, id);
                prop_assert_eq!(generation.ticket(hash, id), map.get(&id).copied());
                if !add {
                    generation.remove(id, ticket, &hasher);
                    map.retain(|known, of| *known != id || *of != ticket);
                } else if !map.contains_key(&id) {
                    generation.add(hash, id, ticket, &hasher);
                    map.insert(id, ticket);
                }
                prop_assert_eq!(generation.len(), map.len());
                prop_assert!(generation.ids.len() <= 300);
            }
            for (id, ticket) in &map {
                prop_assert_eq!(generation.ticket(hash(&hasher, *id), *id), Some(*ticket));
            }
            generation.clear(10);
            prop_assert_eq!(generation.len(), 0);
            prop_assert!(map.keys().all(|id| generation.ticket(hash(&hasher, *id), *id).is_none()));
        }
    }
}
