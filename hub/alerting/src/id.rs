//! An alert's id as a number.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

/// The id of an alert where there are very many of them: a UUIDv7, which as a text of its own takes four times as much. In two parts: as one number it would
/// take up to eight bytes more wherever it stands beside something else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AlertId {
    high: u64,
    low: u64,
}

impl AlertId {
    /// Of the text that everybody else knows it by.
    pub(crate) fn of(text: &str) -> Self {
        let Ok(id) = Uuid::parse_str(text) else {
            return Self::made_of(text);
        };
        let (high, low) = id.as_u64_pair();
        Self { high, low }
    }

    /// Ids that are no UUIDs come from nobody but tests; whoever asks for one of them compares the text as well.
    fn made_of(text: &str) -> Self {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, text).hash(&mut hasher);
            hasher.finish()
        };
        Self {
            high: half(0),
            low: half(1),
        }
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from_u64_pair(self.high, self.low), f)
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_texts_do_and_come_back() {
        let mut texts: Vec<String> = (0..100).map(|_| Uuid::now_v7().to_string()).collect();
        texts.sort();
        let ids: Vec<AlertId> = texts.iter().map(|text| AlertId::of(text)).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        assert_eq!(AlertId::of("a"), AlertId::of("a"));
        assert_ne!(AlertId::of("a"), AlertId::of("b"));
    }
}
