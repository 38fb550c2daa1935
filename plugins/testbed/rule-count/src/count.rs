//! What the rule computes, apart from how it is given its columns: the benchmark runs the same lines natively.

use streamflow_sdk::keyed::{Keyed, Numbered};

/// Most sources that are remembered: the state has to fit into what the hub keeps of it.
const MAX_SOURCES: usize = 2000;

/// Events above the threshold, by source.
pub type Counts = Keyed<u64>;

/// What is read of the events.
pub struct Columns<N, S, V> {
    /// Each source once.
    pub sources: N,
    /// Number of a row's source.
    pub source: S,
    /// Rows that have a number, with it.
    pub values: V,
}

/// Counts, and answers the sources that have reached `many`, with the row by which they did.
pub fn count<N: Numbered, S: Fn(usize) -> usize, V: Iterator<Item = (usize, f64)>>(
    columns: Columns<N, S, V>,
    threshold: f64,
    many: u64,
    counts: &mut Counts,
) -> Vec<(String, usize)> {
    let Columns {
        sources,
        source,
        values,
    } = columns;
    let (mut here, mut reached) = (counts.of(sources), Vec::new());
    for (row, value) in values {
        if value > threshold {
            let number = source(row);
            if here.remembered() >= MAX_SOURCES && here.get_mut(number).is_none() {
                continue;
            }
            let Some(count) = here.or_default(number) else { continue };
            *count += 1;
            if *count == many && value.is_finite() {
                reached.extend(here.text(number).map(|source| (source.to_owned(), row)));
            }
        }
    }
    reached
}
