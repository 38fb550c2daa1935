//! A stored series with the band that its rule would have drawn around it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{Frame, Model, Noise};

/// A window of a group beside what was expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BandPoint {
    /// Begin of the window, ms since 1970.
    pub t: i64,
    /// Value of the aggregate.
    pub value: f64,
    /// Least normal value; `null` while it is being learned.
    pub lower: Option<f64>,
    /// Expected value.
    pub expected: Option<f64>,
    /// Largest normal value.
    pub upper: Option<f64>,
    /// Robust deviations from the expected value.
    pub score: Option<f64>,
    /// Whether the rule takes it for an anomaly.
    pub anomalous: bool,
    /// Whether all hosts have reported past the window's end.
    pub complete: bool,
}

/// The band of one group.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Band {
    /// The group.
    pub labels: BTreeMap<String, String>,
    /// Length of a window, ms.
    pub window_ms: i64,
    /// In the order of time.
    pub points: Vec<BandPoint>,
}

/// How much must be read before the first point to know what the rule knows, ms.
pub(crate) fn warm_up(frame: &Frame) -> i64 {
    let remembered = frame
        .window
        .saturating_mul(i64::try_from(frame.spec.history).unwrap_or(i64::MAX));
    frame.spec.learning.max(remembered)
}

/// Draws the band around values `(begin, value, complete)` in the order of time, and answers those from `from` on.
pub(crate) fn draw(frame: &Frame, values: &[(i64, f64, bool)], from: i64) -> Vec<BandPoint> {
    // Zeros before the first event are no silence: nothing was there yet.
    let counts = matches!(frame.noise, Noise::Counts(_));
    let begun = values.iter().skip_while(|(_, value, _)| counts && *value == 0.0);
    let idle = values.len() - begun.clone().count();
    let mut model = Model::default();
    let mut points = Vec::new();
    for (number, &(t, value, complete)) in values.iter().enumerate() {
        let judged = model.judge(frame, t, value);
        if complete && number >= idle {
            model.learn(frame, t, value);
        }
        if t < from {
            continue;
        }
        points.push(BandPoint {
            t,
            value,
            lower: judged.band.map(|band| band.lower),
            expected: judged.band.map(|band| band.expected),
            upper: judged.band.map(|band| band.upper),
            score: judged.band.map(|_| judged.score),
            anomalous: judged.anomalous,
            complete,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use streamflow_model::rule::{AnomalyMethod, CompiledAnomaly, Direction};

    use super::*;

    #[test]
    fn the_band_of_a_series_is_the_band_that_the_rule_knew() {
        let frame = Frame {
            spec: CompiledAnomaly {
                method: AnomalyMethod::Robust,
                time_zone: None,
                history: 20,
                learning: 15_000,
                deviations: 3.5,
                direction: Direction::Above,
                min_change: 0.0,
            },
            noise: Noise::Counts(1.0),
            window: 1000,
        };
        let mut values: Vec<(i64, f64, bool)> = (0..10).map(|n| (n * 1000, 0.0, true)).collect();
        values.extend((10..40).map(|n| (n * 1000, 9.0, true)));
        values.push((40_000, 90.0, false));
        let points = draw(&frame, &values, 20_000);
        assert_eq!(points.len(), 21);
        let known: Vec<bool> = points.iter().map(|point| point.lower.is_some()).collect();
        assert_eq!(
            known.iter().position(|known| *known),
            Some(5),
            "fifteen seconds after the first event"
        );
        let last = points.last().unwrap();
        assert_eq!(
            (last.expected, last.upper, last.anomalous, last.complete),
            (Some(9.0), Some(19.5), true, false)
        );
        assert!(points[..20].iter().all(|point| !point.anomalous));
    }
}
