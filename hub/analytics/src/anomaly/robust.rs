//! Robust location and scale: half of the values may be anything without moving them far.
//!
//! Iglewicz, Hoaglin: How to Detect and Handle Outliers (ASQC 1993): the modified z-score `0.6745 (x - median) / MAD`, which is `(x - median) / (1.4826 MAD)`,
//! with 3.5 as the limit; when the MAD is zero, the mean absolute deviation times 1.2533 stands in for it.

/// Makes the median absolute deviation of normal values their standard deviation.
const MAD: f64 = 1.4826;
/// The same for the mean absolute deviation.
const MEAN_AD: f64 = 1.2533;

/// Median; `None` of nothing. The mean of the two middle values of an even number. Orders the values in passing.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even);
    Some(lower.map_or(upper, |lower| lower + (upper - lower) / 2.0))
}

/// Median and robust standard deviation; zero when all values are the same.
pub(crate) fn location_and_scale(values: &mut [f64]) -> Option<(f64, f64)> {
    let location = median(values)?;
    values.iter_mut().for_each(|value| *value = (*value - location).abs());
    let deviation = median(values)? * MAD;
    if deviation > 0.0 {
        return Some((location, deviation));
    }
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand values")]
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some((location, mean * MEAN_AD))
}
