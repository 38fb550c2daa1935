//! The rule itself, apart from how it is given its columns: the benchmark runs the same lines natively.

use std::collections::BTreeMap;

/// Events above the threshold, by source.
pub type Counts = BTreeMap<String, u64>;

/// Columns by row.
pub struct Columns<'a, S, V> {
    /// Each source once.
    pub sources: &'a [String],
    /// Number of a row's source.
    pub source: S,
    /// A row's number.
    pub value: V,
}

/// Counts, and answers the sources that have reached `many`, with the row by which they did.
pub fn count<S: Fn(usize) -> usize, V: Fn(usize) -> Option<f64>>(
    rows: usize,
    columns: &Columns<'_, S, V>,
    threshold: f64,
    many: u64,
    counts: &mut Counts,
) -> Vec<(String, usize)> {
    // Each source is looked up once a call.
    let mut here: Vec<u64> = columns
        .sources
        .iter()
        .map(|source| counts.get(source).copied().unwrap_or(0))
        .collect();
    let mut reached = Vec::new();
    for row in 0..rows {
        let Some(value) = (columns.value)(row).filter(|value| *value > threshold) else {
            continue;
        };
        let number = (columns.source)(row);
        let Some(count) = here.get_mut(number) else { continue };
        *count += 1;
        if *count == many && value.is_finite() {
            reached.push((columns.sources[number].clone(), row));
        }
    }
    for (source, count) in columns.sources.iter().zip(here) {
        match counts.get_mut(source) {
            Some(known) => *known = count,
            None => {
                counts.insert(source.clone(), count);
            }
        }
    }
    reached
}
