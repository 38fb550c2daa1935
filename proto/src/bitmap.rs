//! A fixed-length set of rows: what filters produce and what columns say about presence.

/// One bit per row, packed into words.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` rows, all of them `value`.
    pub fn new(len: usize, value: bool) -> Self {
        let mut map = Self {
            words: vec![if value { u64::MAX } else { 0 }; len.div_ceil(64)],
            len,
        };
        map.clear_tail();
        map
    }

    /// Builds the set from a predicate over row numbers, a word at a time.
    pub fn from_fn(len: usize, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut words = Vec::with_capacity(len.div_ceil(64));
        let mut row = 0;
        while row < len {
            let end = (row + 64).min(len);
            let mut word = 0;
            for bit in row..end {
                word |= u64::from(test(bit)) << (bit - row);
            }
            words.push(word);
            row = end;
        }
        Self { words, len }
    }

    /// Builds the set from a predicate over some of the row numbers; no other is asked for, or in it.
    pub fn within(len: usize, rows: std::ops::Range<usize>, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut words = vec![0_u64; len.div_ceil(64)];
        let end = rows.end.min(len);
        let mut row = rows.start;
        while row < end {
            let next = ((row / 64 + 1) * 64).min(end);
            let mut word = 0;
            for bit in row..next {
                word |= u64::from(test(bit)) << (bit % 64);
            }
            words[row / 64] |= word;
            row = next;
        }
        Self { words, len }
    }

    /// Reads `len` little-endian packed bits; `None` when there are too few bytes.
    pub(crate) fn from_bytes(bytes: &[u8], len: usize) -> Option<Self> {
        if bytes.len() < len.div_ceil(8) {
            return None;
        }
        let mut words = vec![0u64; len.div_ceil(64)];
        for (index, byte) in bytes.iter().take(len.div_ceil(8)).enumerate() {
            words[index / 8] |= u64::from(*byte) << (index % 8 * 8);
        }
        let mut map = Self { words, len };
        map.clear_tail();
        Some(map)
    }

    /// Is this row in the set? Rows beyond the end are not.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        row < self.len && self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Puts a row in or takes it out; rows beyond the end are ignored.
    pub fn set(&mut self, row: usize, value: bool) {
        if row >= self.len {
            return;
        }
        let bit = 1 << (row % 64);
        if value {
            self.words[row / 64] |= bit;
        } else {
            self.words[row / 64] &= !bit;
        }
    }

    /// How many rows there are, in the set or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is no row in the set?
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Are all rows in the set?
    pub fn is_full(&self) -> bool {
        self.count_ones() == self.len
    }

    /// How many rows are in the set.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The packed words, lowest row first; bits beyond the end are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows in the set, ascending.
    pub fn iter_ones(&self) -> Ones<'_> {
        Ones {
            words: &self.words,
            index: 0,
            word: self.words.first().copied().unwrap_or(0),
        }
    }

    /// Rows in both sets. The other set counts as empty beyond its end.
    pub fn and(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Rows in either set.
    pub fn or(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Rows in this set and not in the other.
    pub fn and_not(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    /// Rows not in the set.
    pub fn not(&self) -> Self {
        let mut map = Self {
            words: self.words.iter().map(|word| !word).collect(),
            len: self.len,
        };
        map.clear_tail();
        map
    }

    fn zip(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        let mut map = Self {
            words: self.words.iter().zip(others).map(|(a, b)| op(*a, b)).collect(),
            len: self.len,
        };
        map.clear_tail();
        map
    }

    fn clear_tail(&mut self) {
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }
}

/// Iterator over the rows of a [`Bitmap`].
#[derive(Debug)]
pub struct Ones<'a> {
    words: &'a [u64],
    index: usize,
    word: u64,
}

impl Iterator for Ones<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            self.index += 1;
            self.word = *self.words.get(self.index)?;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.index * 64 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_list_of_bools(bits in prop::collection::vec(any::<(bool, bool)>(), 0..200)) {
            let len = bits.len();
            let a = Bitmap::from_fn(len, |row| bits[row].0);
            let mut b = Bitmap::new(len, true);
            for (row, (_, value)) in bits.iter().enumerate() {
                b.set(row, *value);
            }
            let rows = |map: &Bitmap| map.iter_ones().collect::<Vec<_>>();
            let want = |test: &dyn Fn(&(bool, bool)) -> bool| {
                bits.iter().enumerate().filter(|(_, pair)| test(pair)).map(|(row, _)| row).collect::<Vec<_>>()
            };
            prop_assert_eq!(rows(&a), want(&|pair| pair.0));
            prop_assert_eq!(rows(&a.and(&b)), want(&|pair| pair.0 && pair.1));
            prop_assert_eq!(rows(&a.or(&b)), want(&|pair| pair.0 || pair.1));
            prop_assert_eq!(rows(&a.and_not(&b)), want(&|pair| pair.0 && !pair.1));
            prop_assert_eq!(rows(&a.not()), want(&|pair| !pair.0));
            prop_assert_eq!(a.count_ones(), want(&|pair| pair.0).len());
            prop_assert_eq!(a.is_empty(), a.count_ones() == 0);
            prop_assert_eq!(&a.not().not(), &a);
            for (start, end) in [(0, len), (len / 3, len / 2), (len / 2, len + 5), (len, len)] {
                let part = Bitmap::within(len, start..end, |row| bits[row].0);
                prop_assert_eq!(part, Bitmap::from_fn(len, |row| bits[row].0 && (start..end).contains(&row)));
            }
        }
    }

    #[test]
    fn rows_beyond_the_end_are_not_in_the_set() {
        let mut map = Bitmap::new(3, true);
        map.set(3, true);
        assert!(!map.get(3));
        assert_eq!(map.count_ones(), 3);
        assert!(map.not().is_empty());
    }
}
