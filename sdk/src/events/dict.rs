//! Texts by number.

/// Texts, each of them once, by number.
#[derive(Debug, Clone, Copy)]
pub struct Dict<'a> {
    /// One after the other.
    texts: &'a str,
    ends: &'a [u32],
}

impl<'a> Dict<'a> {
    pub(crate) const fn new(texts: &'a str, ends: &'a [u32]) -> Self {
        Self { texts, ends }
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// None at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of a number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&'a str> {
        let end = *self.ends.get(number)? as usize;
        let begin = match number.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)? as usize,
        };
        self.texts.get(begin..end)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let own = *self;
        (0..own.len()).map(move |number| own.get(number).unwrap_or_default())
    }
}
