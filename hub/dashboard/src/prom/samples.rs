//! Metrics of the hub as samples: a gauge with the value of each window at its end, and for `count()` a counter as well.
//!
//! The counter `NAME_total` begins at zero with every day (UTC), so that its value does not depend on where a query begins; PromQL's `rate` and `increase` take
//! that for the restart that it is.

use streamflow_analytics::rollup::LabelledSeries;
use streamflow_model::{
    Metric,
    metric::{DAY, MINUTE, prometheus_name},
};
use streamflow_proto::aggregate::Func;

use super::labels::{Labels, NAME, Series};

/// Part of time, `(from, to]`, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Name of a metric's counter, when it has one.
pub(super) fn counter_name(metric: &Metric) -> Option<String> {
    (func(metric) == Some(Func::Count)).then(|| format!("{}_total", metric.id))
}

fn func(metric: &Metric) -> Option<Func> {
    metric.draft.compile().ok().map(|compiled| compiled.aggregate.func)
}

fn labels(metric: &Metric, name: &str, values: &[String]) -> Labels {
    let names = metric.draft.label_names();
    let pairs = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
    let mut labels: Labels = pairs
        .map(|(name, value)| (prometheus_name(name), value.clone()))
        .collect();
    labels.insert(NAME.to_owned(), name.to_owned());
    labels
}

/// Which windows a gauge needs: from the first begin to the last end, and their length.
pub(super) fn gauge_windows(metric: &Metric, range: Range) -> (i64, i64, i64) {
    let window = metric.draft.window.ms().max(1);
    // The window that had ended before the range begins still holds there.
    let first = (range.from.div_euclid(window) - 1) * window;
    (first, range.to.div_euclid(window) * window, window)
}

/// The gauge: every window's value at its end. Windows longer than a minute say it again every minute until the next one ends, since a sample is good for five
/// minutes. Counts are zero where nothing happened.
pub(super) fn gauge(metric: &Metric, windows: &[LabelledSeries], range: Range) -> Vec<Series> {
    let (first, last, window) = gauge_windows(metric, range);
    let zero = matches!(func(metric), Some(Func::Count | Func::Rate)).then_some(0.0);
    let again = if window > MINUTE { window / MINUTE } else { 1 };
    let of = |series: &LabelledSeries| {
        let mut known = series.steps.iter().peekable();
        let mut samples = Vec::new();
        let mut start = first;
        while start < last {
            while known.peek().is_some_and(|(of, _)| *of < start) {
                known.next();
            }
            let own = known.peek().filter(|(of, _)| *of == start);
            if let Some(value) = own.and_then(|(_, aggregate)| aggregate.value(window)).or(zero) {
                let times = (0..again).map(|minute| start + window + minute * MINUTE);
                let inside = times.filter(|at| range.from < *at && *at <= range.to);
                samples.extend(inside.map(|at| (at, value)));
            }
            start += window;
        }
        Series {
            labels: labels(metric, &metric.id, &series.labels),
            samples,
        }
    };
    windows
        .iter()
        .map(of)
        .filter(|series| !series.samples.is_empty())
        .collect()
}

/// Which windows of a minute a counter needs.
pub(super) const fn counter_windows(range: Range) -> (i64, i64) {
    (range.from.div_euclid(DAY) * DAY, range.to.div_euclid(MINUTE) * MINUTE)
}

/// The counter: at the end of every minute what was counted since the day began.
pub(super) fn counter(metric: &Metric, windows: &[LabelledSeries], range: Range) -> Vec<Series> {
    let Some(name) = counter_name(metric) else {
        return Vec::new();
    };
    let (first, last) = counter_windows(range);
    let of = |series: &LabelledSeries| {
        let mut known = series.steps.iter().peekable();
        let mut samples = Vec::new();
        let (mut start, mut total) = (first, 0.0);
        while start < last {
            if start % DAY == 0 {
                total = 0.0;
                samples.push((start + 1, 0.0));
            }
            while let Some((_, aggregate)) = known.next_if(|(of, _)| *of <= start) {
                total += aggregate.value(MINUTE).unwrap_or(0.0);
            }
            samples.push((start + MINUTE, total));
            start += MINUTE;
        }
        samples.retain(|(at, _)| range.from < *at && *at <= range.to);
        Series {
            labels: labels(metric, &name, &series.labels),
            samples,
        }
    };
    windows
        .iter()
        .map(of)
        .filter(|series| !series.samples.is_empty())
        .collect()
}
