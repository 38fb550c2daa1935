//! Ids entered one after the other, and a table that finds them.
//!
//! The table has eight bytes an id beside the ids, which stand in the order in which they came: what has to be looked at for an id that is not known is one line
//! of the processor's caches, and entering it writes to that line.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::Ticket;

/// Slots of a bucket.
const SLOTS: usize = 16;
/// Buckets of a table at first.
const FEW: usize = 4;

/// Slots that are looked at together, without a branch for each: the used ones first, then zeros. One more than a place in the lower bits of a slot, some bits
/// of the hash above.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([u32; SLOTS]);

impl Bucket {
    /// Whether some slot has these bits of a hash.
    fn may_have(&self, tag: u32, places: u32) -> bool {
        self.0
            .iter()
            .fold(false, |found, slot| found | ((slot ^ tag) & !places == 0))
    }

    fn used(&self) -> usize {
        self.0.iter().map(|slot| u32::from(*slot != 0)).sum::<u32>() as usize
    }

    fn is_full(&self) -> bool {
        self.0[SLOTS - 1] != 0
    }
}

/// Ids with the ticket that each was entered with.
#[derive(Debug)]
pub(super) struct Generation {
    ids: Vec<Uuid>,
    tickets: Vec<Ticket>,
    /// Places among the ids that are free again.
    free: Vec<u32>,
    /// A power of two, with at least twice as many slots as ids. What finds a bucket full goes to the next one.
    buckets: Vec<Bucket>,
    /// The bits of a slot that are the place.
    places: u32,
    /// No id is greater. Ids of version 7 begin with their time, so that what comes now is mostly greater than all that came in an earlier generation.
    greatest: u128,
}

impl Generation {
    /// For at most so many ids.
    pub(super) fn new(most: u32) -> Self {
        Self {
            ids: Vec::new(),
            tickets: Vec::new(),
            free: Vec::new(),
            buckets: vec![Bucket::default(); FEW],
            places: u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0),
            greatest: 0,
        }
    }

    /// Ids in it.
    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.free.len()
    }

    fn home(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.buckets.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    /// What is looked at first. Reading it for many ids before any of them is looked up brings all of it into the caches at the same time, rather than one after
    /// the other.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.buckets[self.home(hash)].0[0]
    }

    /// Whether an id may be in here.
    pub(super) fn may_have(&self, id: Uuid) -> bool {
        id.as_u128() <= self.greatest
    }

    /// The bucket and slot of an id.
    fn find(&self, hash: u64, id: Uuid) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        loop {
            let bucket = &self.buckets[at];
            if bucket.may_have(hash as u32, self.places) {
                let is_it = |slot: &u32| {
                    let place = (slot & self.places).checked_sub(1);
                    (slot ^ hash as u32) & !self.places == 0
                        && place.is_some_and(|place| self.ids[place as usize] == id)
                };
                if let Some(slot) = bucket.0.iter().position(is_it) {
                    return Some((at, slot));
                }
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.next(at);
        }
    }

    fn place(&self, slot: u32) -> usize {
        (slot & self.places) as usize - 1
    }

    /// The ticket of an id.
    pub(super) fn ticket(&self, hash: u64, id: Uuid) -> Option<Ticket> {
        let (at, slot) = self.find(hash, id)?;
        Some(self.tickets[self.place(self.buckets[at].0[slot])])
    }

    /// Adds an id that is not there.
    pub(super) fn add(&mut self, hash: u64, id: Uuid, ticket: Ticket, hasher: &RandomState) {
        if self.buckets.len() < buckets(self.len() + 1) {
            self.grow(hasher);
        }
        self.greatest = self.greatest.max(id.as_u128());
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
        while self.buckets[at].is_full() {
            at = self.next(at);
        }
        let bucket = &mut self.buckets[at];
        let used = bucket.used() % SLOTS;
        bucket.0[used] = hash as u32 & !self.places | (place + 1);
    }

    /// Four times as many: that every id is entered again costs less the seldomer it happens.
    #[cold]
    fn grow(&mut self, hasher: &RandomState) {
        let most = buckets(self.places as usize);
        let more = (4 * self.buckets.len()).min(most).max(FEW);
        let old = std::mem::replace(&mut self.buckets, vec![Bucket::default(); more]);
        old.iter().for_each(|bucket| self.put_again(bucket, hasher));
    }

    fn put_again(&mut self, bucket: &Bucket, hasher: &RandomState) {
        for slot in bucket.0.iter().take_while(|slot| **slot != 0) {
            let place = self.place(*slot);
            self.put(hash(hasher, self.ids[place]), place as u32);
        }
    }

    /// Takes an id out if it has this ticket.
    pub(super) fn remove(&mut self, id: Uuid, ticket: Ticket, hasher: &RandomState) {
        let Some((at, slot)) = self.find(hash(hasher, id), id) else {
            return;
        };
        let place = self.place(self.buckets[at].0[slot]);
        if self.tickets[place] != ticket {
            return;
        }
        self.free.push(place as u32);
        let bucket = &mut self.buckets[at];
        let was_full = bucket.is_full();
        let last = bucket.used() - 1;
        bucket.0[slot] = bucket.0[last];
        bucket.0[last] = 0;
        // What had found the bucket full is looked for behind it only as long as it is.
        let mut behind = at;
        let mut goes_on = was_full;
        while goes_on {
            behind = self.next(behind);
            let bucket = std::mem::take(&mut self.buckets[behind]);
            goes_on = bucket.is_full() && behind != at;
            self.put_again(&bucket, hasher);
        }
    }

    /// Forgets the ids and has memory for about so many, most of which it has already.
    pub(super) fn clear(&mut self, ids: usize) {
        self.greatest = 0;
        self.ids.clear();
        self.tickets.clear();
        self.free.clear();
        self.ids.shrink_to(2 * ids);
        self.tickets.shrink_to(2 * ids);
        self.free.shrink_to(ids);
        self.ids.reserve(ids);
        self.tickets.reserve(ids);
        if (buckets(ids)..=buckets(2 * ids)).contains(&self.buckets.len()) {
            self.buckets.fill(Bucket::default());
        } else {
            self.buckets = vec![Bucket::default(); buckets(ids)];
        }
    }
}

/// As many buckets do so many ids need.
fn buckets(ids: usize) -> usize {
    (2 * ids).div_ceil(SLOTS).next_power_of_two().max(FEW)
}

/// With seeds that nobody outside knows, so that nobody can aim at one bucket.
pub(super) fn hash(hasher: &RandomState, id: Uuid) -> u64 {
    hasher.hash_one(id.as_u128())
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, hash_map::Entry};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_found_its_bucket_full_is_found_behind_it() {
        let hasher = RandomState::default();
        let mut generation = Generation::new(1000);
        let last = |id: &Uuid| generation.home(hash(&hasher, *id)) == FEW - 1;
        let (behind, first): (Vec<Uuid>, Vec<Uuid>) = (0..4000).map(Uuid::from_u128).partition(last);
        let ids: Vec<Uuid> = [&behind[..24], &first[..6]].concat();
        for (ticket, id) in (1..).zip(&ids) {
            generation.add(hash(&hasher, *id), *id, ticket, &hasher);
        }
        assert_eq!(generation.buckets.len(), FEW);
        assert!(generation.buckets[FEW - 1].is_full());
        for (gone, id) in ids.iter().enumerate() {
            generation.remove(*id, gone as u32 + 1, &hasher);
            let tickets = ids.iter().map(|id| generation.ticket(hash(&hasher, *id), *id));
            let left = (1..).map(|ticket| (ticket > gone as u32 + 1).then_some(ticket));
            assert!(tickets.eq(left.take(ids.len())), "{gone}");
        }
        assert!(generation.buckets.iter().all(|bucket| bucket.used() == 0));
    }

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
                } else if let Entry::Vacant(place) = map.entry(id) {
                    generation.add(hash, id, ticket, &hasher);
                    place.insert(ticket);
                }
                prop_assert!(map.keys().all(|id| generation.may_have(*id)));
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
