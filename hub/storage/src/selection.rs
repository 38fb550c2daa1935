//! Which rows of a batch a query wants, on columns alone.

use std::sync::Arc;

use streamflow_proto::{
    batch::{Batch, ColumnKind, DecodeError, Dict},
    bitmap::Bitmap,
    chunk::Bloom,
    event::Severity,
    filter::{EvalError, Filter},
    metric,
    path::Path,
};

use crate::{StoreError, store::EventQuery};

/// The conditions of a query, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    from: Option<i64>,
    to: Option<i64>,
    names: Vec<(Path, Vec<String>)>,
    severities: Vec<Severity>,
    filter: Option<Arc<Filter>>,
    needle: Option<Vec<u8>>,
    /// What hosts counted for metrics is wanted, which is no event of anybody.
    partials: bool,
}

impl Selection {
    /// The conditions of a query.
    ///
    /// # Errors
    /// Never in practice: the paths are fixed.
    pub fn new(query: &EventQuery) -> Result<Self, StoreError> {
        let mut names = Vec::new();
        for (path, values) in [("type", &query.types), ("source", &query.sources)] {
            if !values.is_empty() {
                let path = Path::parse(path).map_err(|error| StoreError::BadRequest(error.to_string()))?;
                names.push((path, values.clone()));
            }
        }
        Ok(Self {
            from: query.from,
            to: query.to,
            names,
            severities: query.severities.clone(),
            filter: query.filter.clone(),
            needle: query
                .text
                .as_ref()
                .filter(|text| !text.is_empty())
                .map(|text| text.to_ascii_lowercase().into_bytes()),
            partials: query.types.iter().any(|kind| kind == metric::PARTIALS),
        })
    }

    /// Whether a chunk's Bloom filter can rule anything out.
    #[must_use]
    pub fn prunes(&self) -> bool {
        !self.names.is_empty() || self.filter.is_some()
    }

    /// Whether a batch with these bounds may hold a wanted row; `false` is certain.
    #[must_use]
    pub fn may_match(&self, min_ts: i64, max_ts: i64, bloom: &Bloom<'_>) -> bool {
        self.names
            .iter()
            .all(|(path, values)| values.iter().any(|value| bloom.contains(path, value)))
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.may_match(min_ts, max_ts, bloom))
    }

    /// The wanted rows. The cheapest conditions go first, and what rules out all rows ends the work.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn rows(&self, batch: &Batch) -> Result<Bitmap, EvalError> {
        let mut rows = self.in_time(batch)?;
        if !self.partials
            && !rows.is_empty()
            && let Some(carriers) = metric::carriers(batch)?
        {
            rows = rows.and_not(&carriers);
        }
        for (path, wanted) in &self.names {
            if rows.is_empty() {
                return Ok(rows);
            }
            rows = rows.and(&matching(batch.dict(path)?, batch.len(), |value| {
                wanted.iter().any(|name| name == value)
            }));
        }
        if !self.severities.is_empty() && !rows.is_empty() {
            let severities = batch.severities()?;
            let wanted = |row: usize| {
                severities
                    .get(row)
                    .is_some_and(|have| self.severities.iter().any(|s| *s as u8 == *have))
            };
            rows = rows.and(&Bitmap::from_fn(batch.len(), wanted));
        }
        if let Some(filter) = &self.filter
            && !rows.is_empty()
        {
            rows = rows.and(&filter.eval(batch)?);
        }
        if let Some(needle) = &self.needle
            && !rows.is_empty()
        {
            rows = rows.and(&holding(batch, &rows, needle)?);
        }
        Ok(rows)
    }

    fn in_time(&self, batch: &Batch) -> Result<Bitmap, DecodeError> {
        let from = self.from.unwrap_or(i64::MIN);
        let inside = |ts: i64| ts >= from && self.to.is_none_or(|to| ts < to);
        if inside(batch.min_ts()) && inside(batch.max_ts()) {
            return Ok(Bitmap::new(batch.len(), true));
        }
        let timestamps = batch.timestamps()?;
        Ok(Bitmap::from_fn(batch.len(), |row| {
            timestamps.get(row).is_some_and(|ts| inside(*ts))
        }))
    }
}

/// Rows whose value passes; each distinct value is tested once.
fn matching(dict: Option<Dict>, len: usize, test: impl Fn(&str) -> bool) -> Bitmap {
    let Some(dict) = dict else {
        return Bitmap::new(len, false);
    };
    let passes: Vec<bool> = dict.values.iter().map(|value| test(value)).collect();
    if !passes.contains(&true) {
        return Bitmap::new(len, false);
    }
    Bitmap::from_fn(len, |row| {
        dict.ids
            .get(row)
            .and_then(|id| passes.get(*id as usize))
            .is_some_and(|passes| *passes)
    })
}

/// Rows with a string that holds the text, in any column.
fn holding(batch: &Batch, candidates: &Bitmap, needle: &[u8]) -> Result<Bitmap, DecodeError> {
    let mut found = Bitmap::new(batch.len(), false);
    let heads = ["type", "source"]
        .into_iter()
        .filter_map(|name| Path::parse(name).ok())
        .map(|path| (path, ColumnKind::Text));
    for (path, kind) in heads.chain(batch.paths()) {
        found = match kind {
            ColumnKind::Text => found.or(&matching(batch.strings(&path)?, batch.len(), |value| {
                holds(value, needle)
            })),
            ColumnKind::Array => found.or(&matching(batch.dict(&path)?, batch.len(), |value| holds(value, needle))),
            // Objects of batches with too many columns are kept as text; only their own rows are read as events.
            ColumnKind::Object => {
                let rows = batch.present(&path)?.and(candidates).and_not(&found);
                let events = batch.events(&rows)?;
                let mut more = Bitmap::new(batch.len(), false);
                for (row, event) in rows.iter_ones().zip(events) {
                    let objects = [&event.data, &event.metadata];
                    more.set(
                        row,
                        objects.into_iter().flatten().any(|object| holds(object.get(), needle)),
                    );
                }
                found.or(&more)
            }
            _ => found,
        };
    }
    Ok(found)
}

/// ASCII case-insensitive search; the needle is in lower case.
fn holds(text: &str, needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return true;
    };
    let text = text.as_bytes();
    let Some(last_start) = text.len().checked_sub(needle.len()) else {
        return false;
    };
    (0..=last_start)
        .any(|at| text[at].to_ascii_lowercase() == *first && text[at + 1..at + needle.len()].eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_std_finds(text in "[a-dA-Dé ]{0,24}", needle in "[a-dé]{0,3}") {
            prop_assert_eq!(holds(&text, needle.as_bytes()), text.to_ascii_lowercase().contains(&needle));
        }
    }
}
