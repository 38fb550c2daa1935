//! Reading what metrics have kept: steps over time, and totals of a range.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use streamflow_model::{
    Metric,
    metric::{DAY, HOUR, MINUTE},
};
use streamflow_proto::aggregate::Accumulator;
use streamflow_storage::{
    StoreError,
    store::{RollupQuery, Store},
};

use super::{
    catalog::{Catalog, CatalogError},
    codec,
    ledger::window_start,
};

/// Most stored windows that one answer may read.
const MAX_WINDOWS: usize = 500_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// `from` is not before `to`.
    #[error("`from` must be before `to`")]
    Range,
    /// The step is not made of the metric's windows.
    #[error("must be a multiple of {0} ms, the metric's smallest window")]
    Step(i64),
    /// No such metric.
    #[error(transparent)]
    Metric(#[from] CatalogError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One series of a metric over time.
#[derive(Debug, Clone)]
pub struct LabelledSeries {
    /// Values of the labels, in the order of `group_by`.
    pub labels: Vec<String>,
    /// Begin of each step that has events, and its aggregate; oldest first.
    pub steps: Vec<(i64, Accumulator)>,
}

/// What metrics have kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    store: Arc<dyn Store>,
    catalog: Catalog,
    complete_until: Arc<AtomicI64>,
}

impl History {
    pub(super) const fn new(store: Arc<dyn Store>, catalog: Catalog, complete_until: Arc<AtomicI64>) -> Self {
        Self {
            store,
            catalog,
            complete_until,
        }
    }

    /// The metrics.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Event time up to which all hosts have reported and windows hold all of it.
    #[must_use]
    pub fn complete_until(&self) -> i64 {
        self.complete_until.load(Ordering::Relaxed)
    }

    /// A metric's aggregates by series and step. All steps that the range touches are answered whole.
    ///
    /// # Errors
    /// When the range is empty, the step does not fit, or the store fails.
    pub async fn steps(
        &self,
        metric: &Metric,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Vec<LabelledSeries>, HistoryError> {
        let base = metric.draft.base();
        if step < base || step % base != 0 {
            return Err(HistoryError::Step(base));
        }
        if from >= to {
            return Err(HistoryError::Range);
        }
        let resolutions = metric.draft.resolutions();
        let coarsest = resolutions.into_iter().rev().find(|resolution| step % resolution == 0);
        let (from, to) = (window_start(from, step), window_end(to, step));
        let mut found: BTreeMap<Vec<String>, BTreeMap<i64, Accumulator>> = BTreeMap::new();
        self.read(
            metric,
            coarsest.unwrap_or(base),
            from,
            to,
            |labels, start, aggregate| {
                merge(
                    found.entry(labels.to_vec()).or_default(),
                    window_start(start, step),
                    aggregate,
                );
            },
        )
        .await?;
        let series = |(labels, steps): (_, BTreeMap<_, _>)| LabelledSeries {
            labels,
            steps: steps.into_iter().collect(),
        };
        Ok(found.into_iter().map(series).collect())
    }

    /// A metric's aggregates by series over a whole range, made of the longest windows that lie in it. The range is widened to the metric's smallest windows.
    ///
    /// # Errors
    /// When the range is empty or the store fails.
    pub async fn totals(
        &self,
        metric: &Metric,
        from: i64,
        to: i64,
    ) -> Result<Vec<(Vec<String>, Accumulator)>, HistoryError> {
        if from >= to {
            return Err(HistoryError::Range);
        }
        let mut found: BTreeMap<Vec<String>, Accumulator> = BTreeMap::new();
        for (resolution, from, to) in pieces(from, to, metric.draft.base()) {
            self.read(metric, resolution, from, to, |labels, _, aggregate| {
                merge(&mut found, labels.to_vec(), aggregate);
            })
            .await?;
        }
        Ok(found.into_iter().collect())
    }

    async fn read(
        &self,
        metric: &Metric,
        resolution: i64,
        from: i64,
        to: i64,
        mut take: impl FnMut(&[String], i64, Accumulator),
    ) -> Result<(), HistoryError> {
        let query = RollupQuery {
            metric: metric.series_id.as_str().into(),
            resolution,
            from,
            to,
            limit: MAX_WINDOWS,
        };
        for series in self.store.rollups(query).await? {
            for (start, body) in series.windows {
                match codec::decode(&body) {
                    Ok(aggregate) => take(&series.labels, start, aggregate),
                    Err(error) => {
                        tracing::warn!(metric = metric.id, start, %error, "a stored window is not read and left out")
                    }
                }
            }
        }
        Ok(())
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, Accumulator>, key: K, aggregate: Accumulator) {
    match into.get_mut(&key) {
        Some(known) => known.merge(&aggregate),
        None => drop(into.insert(key, aggregate)),
    }
}

fn window_end(at: i64, size: i64) -> i64 {
    let start = window_start(at, size);
    if start < at { start.saturating_add(size) } else { start }
}

/// Splits a range into windows: whole days, whole hours beside them, minutes beside those, and the smallest at the ends.
fn pieces(from: i64, to: i64, base: i64) -> Vec<(i64, i64, i64)> {
    let (from, to) = (window_start(from, base), window_end(to, base));
    let mut sizes = vec![base, MINUTE, HOUR, DAY];
    sizes.dedup();
    let mut pieces = Vec::new();
    split(from, to, &sizes, &mut pieces);
    pieces
}

fn split(from: i64, to: i64, sizes: &[i64], pieces: &mut Vec<(i64, i64, i64)>) {
    let Some((size, smaller)) = sizes.split_last() else {
        return;
    };
    if from >= to {
        return;
    }
    let (inner_from, inner_to) = (window_end(from, *size), window_start(to, *size));
    if inner_from < inner_to {
        split(from, inner_from, smaller, pieces);
        pieces.push((*size, inner_from, inner_to));
        split(inner_to, to, smaller, pieces);
    } else {
        split(from, to, smaller, pieces);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_cover_a_range_once(from in 0i64..10 * DAY, length in 1i64..10 * DAY, base in prop::sample::select(vec![1000, 10_000, MINUTE])) {
            let pieces = pieces(from, from + length, base);
            let mut at = window_start(from, base);
            for (size, begin, end) in pieces {
                prop_assert_eq!(begin, at);
                prop_assert!(begin < end && begin % size == 0 && end % size == 0);
                at = end;
            }
            prop_assert_eq!(at, window_end(from + length, base));
        }
    }
}
