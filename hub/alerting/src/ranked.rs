//! Very many small things in the order of their ids, in blocks of some kilobytes.
//!
//! The nodes of a `BTreeMap` hold eleven, and half of that when ids only grow. While alerts fire, each node is made between what is needed for a moment only, so
//! that seventeen thousand of them kept as many pages in memory that were else empty.

use std::iter;

use crate::id::AlertId;

/// Things of one block.
const MOST: usize = 512;

/// What has an id.
pub(crate) trait HasId {
    /// Its id, which does not change.
    fn id(&self) -> AlertId;
}

/// Things in the order of their ids, each id once.
#[derive(Debug)]
pub(crate) struct Ranked<T> {
    /// None of them is empty.
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Ranked<T> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.blocks.iter().flatten()
    }
}

impl<T: HasId> Ranked<T> {
    /// The block in which something with this id is, or belongs.
    fn block(&self, id: AlertId) -> usize {
        let after = self
            .blocks
            .partition_point(|block| block.first().is_some_and(|first| first.id() <= id));
        after.saturating_sub(1)
    }

    /// Where it is, or belongs.
    fn find(&self, id: AlertId) -> (usize, Result<usize, usize>) {
        let block = self.block(id);
        let things = self.blocks.get(block).map(Vec::as_slice).unwrap_or_default();
        (block, things.binary_search_by_key(&id, HasId::id))
    }

    /// What has this id.
    pub(crate) fn get(&self, id: AlertId) -> Option<&T> {
        let (block, at) = self.find(id);
        self.blocks.get(block)?.get(at.ok()?)
    }

    /// Those with ids below this one, or all, the greatest first.
    pub(crate) fn below(&self, id: Option<AlertId>) -> impl Iterator<Item = &T> {
        let (block, at) = id.map_or((self.blocks.len(), 0), |id| {
            let (block, at) = self.find(id);
            (block, at.unwrap_or_else(|at| at))
        });
        let part = self.blocks.get(block).and_then(|things| things.get(..at));
        let before = self.blocks.get(..block).unwrap_or_default();
        let parts = before
            .iter()
            .map(Vec::as_slice)
            .chain(iter::once(part.unwrap_or_default()));
        parts.rev().flat_map(|part| part.iter().rev())
    }

    /// Adds something, or puts it in the place of what has the same id; answers that.
    pub(crate) fn insert(&mut self, thing: T) -> Option<T> {
        let (mut block, mut at) = match self.find(thing.id()) {
            (block, Ok(at)) => return Some(std::mem::replace(&mut self.blocks[block][at], thing)),
            (block, Err(at)) => (block, at),
        };
        self.len += 1;
        match self.blocks.get_mut(block) {
            None => self.blocks.push(Vec::new()),
            Some(things) if things.len() < MOST => {}
            // Ids mostly grow, and at the start they fall: a full block stays full.
            Some(_) if at == MOST => {
                (block, at) = (block + 1, 0);
                self.blocks.insert(block, Vec::with_capacity(MOST));
            }
            Some(_) if at == 0 => self.blocks.insert(block, Vec::with_capacity(MOST)),
            Some(things) => {
                let mut half = Vec::with_capacity(MOST);
                half.extend(things.drain(MOST / 2..));
                self.blocks.insert(block + 1, half);
                if at > MOST / 2 {
                    (block, at) = (block + 1, at - MOST / 2);
                }
            }
        }
        self.blocks[block].insert(at, thing);
        None
    }

    /// Takes out what has this id.
    pub(crate) fn remove(&mut self, id: AlertId) -> Option<T> {
        let (block, at) = self.find(id);
        let things = self.blocks.get_mut(block)?;
        let thing = things.remove(at.ok()?);
        self.len -= 1;
        let left = things.len();
        if left == 0 {
            self.blocks.remove(block);
        } else if left <= MOST / 4 {
            self.join(block.saturating_sub(1));
            self.join(block);
        }
        Some(thing)
    }

    /// Joins a block with the next one when both are small.
    fn join(&mut self, block: usize) {
        let Some([one, next]) = self.blocks.get_mut(block..block + 2) else {
            return;
        };
        if one.len() + next.len() <= MOST / 2 {
            one.append(next);
            self.blocks.remove(block + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Thing(AlertId, usize);

    impl HasId for Thing {
        fn id(&self) -> AlertId {
            self.0
        }
    }

    fn id(n: usize) -> AlertId {
        AlertId::of(&Uuid::from_u128(n as u128).to_string())
    }

    fn check(ranked: &Ranked<Thing>, model: &BTreeMap<AlertId, usize>) {
        let all: Vec<Thing> = model.iter().map(|(id, n)| Thing(*id, *n)).collect();
        assert!(ranked.iter().eq(&all) && ranked.below(None).eq(all.iter().rev()));
        assert_eq!((ranked.len(), ranked.is_empty()), (all.len(), all.is_empty()));
        assert!(
            ranked
                .blocks
                .iter()
                .all(|block| !block.is_empty() && block.len() <= MOST)
        );
    }

    #[test]
    fn ids_that_grow_or_fall_fill_whole_blocks() {
        for falls in [false, true] {
            let mut ranked = Ranked::default();
            for n in 0..10 * MOST {
                let n = if falls { 10 * MOST - n } else { n };
                assert!(ranked.insert(Thing(id(n), n)).is_none());
            }
            assert_eq!(ranked.blocks.len(), 10);
            assert!(ranked.blocks.iter().all(|block| block.capacity() <= MOST));
        }
    }

    #[test]
    fn what_is_left_of_many_lies_in_few_blocks() {
        let mut ranked = Ranked::default();
        let put = (0..20 * MOST).filter_map(|n| ranked.insert(Thing(id(n), n)));
        assert_eq!(put.count(), 0, "each is new");
        for n in (0..20 * MOST).filter(|n| n % 50 != 0) {
            assert_eq!(ranked.remove(id(n)), Some(Thing(id(n), n)));
        }
        assert_eq!(ranked.len(), 20 * MOST / 50 + 1);
        assert!(ranked.blocks.len() <= 3, "{} blocks", ranked.blocks.len());
        let left = (0..20 * MOST).filter_map(|n| ranked.remove(id(n)));
        assert_eq!(left.count(), 20 * MOST / 50 + 1);
        assert!(ranked.is_empty() && ranked.blocks.is_empty() && ranked.get(id(0)).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        #[test]
        fn it_is_as_a_map_is(acts in prop::collection::vec((0_usize..3000, 0_usize..40, any::<bool>()), 0..200)) {
            let (mut ranked, mut model) = (Ranked::default(), BTreeMap::new());
            for (nth, (begin, count, add)) in acts.into_iter().enumerate() {
                for n in (begin..).step_by(7).take(count * 10) {
                    let n = n % 3000;
                    if add {
                        let before = ranked.insert(Thing(id(n), nth));
                        prop_assert_eq!(before.map(|thing| thing.1), model.insert(id(n), nth));
                    } else {
                        prop_assert_eq!(ranked.remove(id(n)).map(|thing| thing.1), model.remove(&id(n)));
                    }
                }
                let n = begin;
                prop_assert_eq!(ranked.get(id(n)).map(|thing| thing.1), model.get(&id(n)).copied());
                let below: Vec<usize> = ranked.below(Some(id(n))).map(|thing| thing.1).collect();
                prop_assert!(model.range(..id(n)).rev().map(|(_, n)| *n).eq(below));
            }
            check(&ranked, &model);
        }
    }
}
