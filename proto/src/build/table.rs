//! Which entry of a dictionary has a hash: open addressing, eight bytes a place, half of the places free.

/// Places at first.
const FEW: usize = 16;

/// Entries by their hash. Whoever asks compares the entries themselves.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The upper half of the hash, and one more than the entry; zero where there is none. A power of two, or none at all.
    places: Vec<u64>,
    used: usize,
}

/// Where an entry would stand at best.
#[inline]
fn home(place: u64) -> usize {
    (place >> 32) as usize
}

impl Table {
    /// The entry with this hash that is the one.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let last = self.places.len().checked_sub(1)?;
        let mut at = home(hash) & last;
        loop {
            let place = *self.places.get(at)?;
            let entry = (place as u32).checked_sub(1)?;
            if home(place) == home(hash) && is_it(entry) {
                return Some(entry);
            }
            at = (at + 1) & last;
        }
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, hash: u64, entry: u32) {
        if self.places.len() <= 2 * self.used {
            self.grow();
        }
        self.used += 1;
        self.put(hash >> 32 << 32 | u64::from(entry + 1));
    }

    fn put(&mut self, new: u64) {
        let last = self.places.len() - 1;
        let mut at = home(new) & last;
        while self.places[at] != 0 {
            at = (at + 1) & last;
        }
        self.places[at] = new;
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.places);
        self.places = vec![0; (2 * old.len()).max(FEW)];
        old.into_iter()
            .filter(|place| *place != 0)
            .for_each(|place| self.put(place));
    }

    /// Takes the entry away that was added last: nothing has had to give way to it.
    pub(super) fn remove_last(&mut self, hash: u64, entry: u32) {
        let Some(last) = self.places.len().checked_sub(1) else {
            return;
        };
        let mut at = home(hash) & last;
        while self.places[at] != 0 {
            if self.places[at] as u32 == entry + 1 {
                self.places[at] = 0;
                self.used -= 1;
                return;
            }
            at = (at + 1) & last;
        }
    }

    /// Forgets the entries and keeps the memory.
    pub(super) fn clear(&mut self) {
        if self.used > 0 {
            self.places.fill(0);
            self.used = 0;
        }
    }

    /// Bytes of memory kept.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * 8
    }
}
