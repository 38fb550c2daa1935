//! Numbers as series, for rules that follow each by itself: `data.value`, by source and `data.name`.

use std::collections::BTreeMap;

use crate::Events;

/// Longest name that is kept, in characters.
const MAX_NAME: usize = 100;

/// A number of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// Which series: the source, and the name where there is one. The same text for every number of it.
    pub key: String,
    /// Where it comes from, shortened.
    pub source: &'a str,
    /// The number; it is finite.
    pub value: f64,
    /// When it was, ms since 1970.
    pub at_ms: i64,
    /// The row of the events.
    pub row: usize,
}

/// The numbers of these events, in their order. The manifest names `data.value` as a float and `data.name` as a text.
///
/// # Errors
/// When it does not.
pub fn readings(events: &Events) -> Result<impl Iterator<Item = Reading<'_>>, String> {
    let (values, names) = (events.floats("data.value")?, events.texts("data.name")?);
    let finite = values.iter().filter(|(_, value)| value.is_finite());
    Ok(finite.map(move |(row, value)| {
        let source = short(events.source(row));
        let key = match names.get(row) {
            Some(name) => format!("{source} {}", short(name)),
            None => source.to_owned(),
        };
        Reading {
            key,
            source,
            value,
            at_ms: events.time_ms(row),
            row,
        }
    }))
}

/// Whether this key is known, or there is room for it among `most`. When all places are taken, those for which `keep` is false make room.
pub fn has_room<V>(all: &mut BTreeMap<String, V>, key: &str, most: usize, keep: impl Fn(&V) -> bool) -> bool {
    if all.len() < most || all.contains_key(key) {
        return true;
    }
    all.retain(|_, value| keep(value));
    all.len() < most
}

fn short(name: &str) -> &str {
    let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_makes_room_only_when_there_is_none() {
        let mut all: BTreeMap<String, bool> = [("a".to_owned(), true), ("b".to_owned(), false)].into();
        assert!(has_room(&mut all, "c", 3, |goes_on| *goes_on) && all.len() == 2);
        assert!(has_room(&mut all, "b", 2, |goes_on| *goes_on) && all.len() == 2);
        assert!(has_room(&mut all, "c", 2, |goes_on| *goes_on) && all.len() == 1);
        assert!(!has_room(&mut all, "c", 1, |goes_on| *goes_on));
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(short(&"ü".repeat(MAX_NAME + 1)).chars().count(), MAX_NAME);
        assert_eq!(short("a"), "a");
    }
}
