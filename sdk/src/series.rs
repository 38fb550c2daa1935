//! Numbers as series, for rules that follow each by itself: `data.value`, by source and `data.name`.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::Events;

/// Longest name that is kept, in characters.
const MAX_NAME: usize = 100;

/// The numbers of a call, and the series that they belong to.
#[derive(Debug)]
pub struct Readings<'a> {
    keys: Vec<String>,
    /// With the number of the key.
    all: Vec<(usize, Reading<'a>)>,
}

/// A number of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
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
pub fn readings(events: &Events) -> Result<Readings<'_>, String> {
    let (values, names) = (events.floats("data.value")?, events.texts("data.name")?);
    // Each key is made once, and not for each row.
    let mut known: HashMap<_, usize, FixedState> = HashMap::default();
    let (mut keys, mut all) = (Vec::new(), Vec::new());
    for (row, value) in values.iter().filter(|(_, value)| value.is_finite()) {
        let source = short(events.source(row));
        let number = *known
            .entry((events.source_number(row), names.number(row)))
            .or_insert_with(|| {
                keys.push(
                    names
                        .get(row)
                        .map_or_else(|| source.to_owned(), |name| format!("{source} {}", short(name))),
                );
                keys.len() - 1
            });
        let at_ms = events.time_ms(row);
        all.push((
            number,
            Reading {
                source,
                value,
                at_ms,
                row,
            },
        ));
    }
    Ok(Readings { keys, all })
}

impl<'a> Readings<'a> {
    /// What the series are called: the source, and the name where there is one. A key is the same text in every call.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The numbers, each with its key and the number of the key among [`Self::keys`].
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str, Reading<'a>)> {
        let key = |number: usize| self.keys.get(number).map(String::as_str).unwrap_or_default();
        self.all
            .iter()
            .map(move |(number, reading)| (*number, key(*number), *reading))
    }
}

fn short(name: &str) -> &str {
    let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(short(&"ü".repeat(MAX_NAME + 1)).chars().count(), MAX_NAME);
        assert_eq!(short("a"), "a");
    }
}
