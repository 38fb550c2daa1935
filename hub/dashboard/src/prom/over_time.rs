//! Functions over the samples of a range. `rate`, `increase` and `delta` extrapolate to the ends of the range as Prometheus does.

/// Names of the functions.
const KNOWN: [&str; 16] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "quantile_over_time",
    "stddev_over_time",
    "changes",
    "resets",
];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Whether the answer is still the same metric.
pub(super) fn keeps_name(name: &str) -> bool {
    name == "last_over_time"
}

/// The function's value over samples in `(begin, end]`; `param` is the first argument of those that have one.
#[expect(clippy::cast_precision_loss, reason = "numbers of samples stay far below 2^53")]
pub(super) fn apply(name: &str, param: f64, samples: &[(i64, f64)], (begin, end): (i64, i64)) -> Option<f64> {
    let (last, count) = (samples.last()?.1, samples.len() as f64);
    let values = || samples.iter().map(|(_, value)| *value);
    let pairs = || samples.windows(2).map(|pair| (pair[0].1, pair[1].1));
    Some(match name {
        "rate" | "increase" | "delta" => return extrapolated(name, samples, (begin, end)),
        "irate" | "idelta" => return instant(name == "irate", samples),
        "avg_over_time" => super::aggregate::sum(values()) / count,
        "min_over_time" => values().fold(f64::NAN, |a, b| if b < a || a.is_nan() { b } else { a }),
        "max_over_time" => values().fold(f64::NAN, |a, b| if b > a || a.is_nan() { b } else { a }),
        "sum_over_time" => super::aggregate::sum(values()),
        "count_over_time" => count,
        "last_over_time" => last,
        "present_over_time" => 1.0,
        "quantile_over_time" => super::aggregate::quantile(param, values().collect()),
        "stddev_over_time" => super::aggregate::variance(values()).sqrt(),
        "changes" => pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "times in ms stay far below 2^53")]
fn extrapolated(name: &str, samples: &[(i64, f64)], (begin, end): (i64, i64)) -> Option<f64> {
    let (first, last) = match samples {
        [first, .., last] => (*first, *last),
        _ => return None,
    };
    let counter = name != "delta";
    let mut gained = last.1 - first.1;
    if counter {
        let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        gained += resets.map(|pair| pair[0].1).sum::<f64>();
    }
    let seconds = |length: i64| length as f64 / 1000.0;
    let sampled = seconds(last.0 - first.0);
    let between = sampled / (samples.len() - 1) as f64;
    let threshold = between * 1.1;
    let mut to_begin = seconds(first.0 - begin);
    let mut to_end = seconds(end - last.0);
    if to_begin >= threshold {
        to_begin = between / 2.0;
    }
    if counter && gained > 0.0 && first.1 >= 0.0 {
        // A counter cannot have been below zero.
        to_begin = to_begin.min(sampled * (first.1 / gained));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = (sampled + to_begin + to_end) / sampled;
    if name == "rate" {
        factor /= seconds(end - begin);
    }
    Some(gained * factor)
}

#[expect(clippy::cast_precision_loss, reason = "times in ms stay far below 2^53")]
fn instant(rate: bool, samples: &[(i64, f64)]) -> Option<f64> {
    let [.., before, last] = samples else { return None };
    if !rate {
        return Some(last.1 - before.1);
    }
    let gained = if last.1 < before.1 { last.1 } else { last.1 - before.1 };
    Some(gained / ((last.0 - before.0) as f64 / 1000.0))
}
