//! `histogram_quantile` over classic buckets.

use std::collections::BTreeMap;

use super::labels::{Labels, NAME, Point};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// The quantile of each histogram among series of buckets.
pub(super) fn quantiles(q: f64, points: Vec<Point>) -> Vec<Point> {
    let mut histograms: BTreeMap<Labels, (i64, Vec<(f64, f64)>)> = BTreeMap::new();
    for point in points {
        let Some(bound) = point.labels.get(BOUND).and_then(|text| bound(text)) else {
            continue;
        };
        let mut labels = point.labels;
        labels.remove(BOUND);
        labels.remove(NAME);
        let (at, buckets) = histograms.entry(labels).or_default();
        *at = (*at).max(point.at);
        buckets.push((bound, point.value));
    }
    histograms
        .into_iter()
        .map(|(labels, (at, buckets))| Point {
            labels,
            value: quantile(q, buckets),
            at,
        })
        .collect()
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "inf" => Some(f64::INFINITY),
        _ => text.parse().ok(),
    }
}

/// Upper bounds with cumulative counts, in any order.
fn quantile(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    if buckets.len() < 2 || buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    // Buckets that were read at different moments may fall; a cumulative count does not.
    let mut most = f64::NEG_INFINITY;
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all == 0.0 || all.is_nan() {
        return f64::NAN;
    }
    let rank = q * all;
    let last = buckets.len() - 1;
    let place = buckets[..last]
        .iter()
        .position(|(_, count)| *count >= rank)
        .unwrap_or(last);
    if place == last {
        return buckets[last - 1].0;
    }
    let (upper, count) = buckets[place];
    if place == 0 && upper <= 0.0 {
        return upper;
    }
    let (lower, below) = place.checked_sub(1).map_or((0.0, 0.0), |before| buckets[before]);
    lower + (upper - lower) * ((rank - below) / (count - below))
}
