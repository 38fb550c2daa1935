//! What is normal for one group.
//!
//! `robust`: the median of the last windows, plus and minus so many robust deviations. `seasonal`: first what is usual for the hour of the week is taken out (the
//! median, over the last weeks, of that hour's median), then the same is done with what remains, whose deviation is at least what is usual for that hour; so the
//! band follows the week and, through the median of the remainders, a change of level within half a history. This is the decomposition of Hochenbaum, Vallis, Kejariwal: Automatic Anomaly Detection in the Cloud
//! Via Statistical Learning (2017), with a season of 168 hours, those of the rule's time zone.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use streamflow_model::rule::{AnomalyMethod, CompiledAnomaly, Direction, anomaly::LEAST_SEEN};

use super::robust;

/// Weeks remembered of each hour of the week.
const WEEKS: usize = 6;
/// Values of an hour that are kept until it is over.
const PER_HOUR: i64 = 360;
/// Length of an hour, ms.
const HOUR: i64 = 3_600_000;
/// Hours of a week.
const HOURS: i64 = 168;

/// How much a value moves by nature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noise {
    /// Nothing is known.
    Unknown,
    /// It is a number of independent events, times this: its deviation is at least the root of the number (Poisson).
    Counts(f64),
}

/// What stays the same for all groups of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) spec: CompiledAnomaly,
    pub(crate) noise: Noise,
    /// Length of a window, ms.
    pub(crate) window: i64,
}

/// The band of normal values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Band {
    pub(crate) lower: f64,
    pub(crate) expected: f64,
    pub(crate) upper: f64,
    /// One robust deviation.
    pub(crate) deviation: f64,
}

/// What a value is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    /// `None` while it is being learned.
    pub(crate) band: Option<Band>,
    /// Robust deviations from the expected value.
    pub(crate) score: f64,
    pub(crate) anomalous: bool,
}

/// What is remembered of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// The first window.
    first: Option<i64>,
    /// The last windows' values, less what is usual for their hour.
    recent: VecDeque<f64>,
    /// Median and deviation of each hour of the week, oldest first.
    hours: BTreeMap<u8, VecDeque<(f64, f64)>>,
    /// The hour under way, since 1970 by the rule's clock on the wall, and its values.
    hour: i64,
    values: Vec<f64>,
}

impl Model {
    /// What a window's value is worth by all that was learned before it.
    pub(crate) fn judge(&self, frame: &Frame, at: i64, value: f64) -> Judged {
        let band = self.band(frame, at);
        let score = band.map_or(0.0, |band| (value - band.expected) / band.deviation);
        let anomalous = band.is_some_and(|band| {
            let (above, below) = (value > band.upper, value < band.lower);
            match frame.spec.direction {
                Direction::Both => above || below,
                Direction::Above => above,
                Direction::Below => below,
            }
        });
        Judged { band, score, anomalous }
    }

    /// The band at a time; `None` while it is being learned.
    pub(crate) fn band(&self, frame: &Frame, at: i64) -> Option<Band> {
        let learned = at.saturating_sub(self.first?) >= frame.spec.learning;
        if !learned || self.recent.len() < LEAST_SEEN as usize {
            return None;
        }
        let (usual, spread_then) = self.usual(frame, at)?;
        let mut recent: Vec<f64> = self.recent.iter().copied().collect();
        let (location, spread) = robust::location_and_scale(&mut recent)?;
        let expected = usual + location;
        let least = match frame.noise {
            Noise::Unknown => 0.0,
            Noise::Counts(times) => (expected / times).max(1.0).sqrt() * times,
        };
        // A deviation of zero would make anything infinitely odd.
        let deviation = spread
            .max(spread_then)
            .max(least)
            .max(expected.abs() * 1e-6)
            .max(f64::MIN_POSITIVE);
        let half = (deviation * frame.spec.deviations).max(frame.spec.min_change);
        let lower = match frame.noise {
            Noise::Unknown => expected - half,
            Noise::Counts(_) => (expected - half).max(0.0),
        };
        Some(Band {
            lower,
            expected,
            upper: expected + half,
            deviation,
        })
    }

    /// Takes a window's value in. Windows come in the order of time.
    pub(crate) fn learn(&mut self, frame: &Frame, at: i64, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.first.get_or_insert(at);
        if let Some((usual, _)) = self.usual(frame, at) {
            self.recent.push_back(value - usual);
            while self.recent.len() > frame.spec.history {
                self.recent.pop_front();
            }
        }
        if frame.spec.method == AnomalyMethod::Seasonal {
            self.learn_hour(frame, at, value);
        }
    }

    fn learn_hour(&mut self, frame: &Frame, at: i64, value: f64) {
        let hour = frame.spec.wall_clock(at).div_euclid(HOUR);
        if hour != self.hour {
            if let Some(over) = robust::location_and_scale(&mut self.values) {
                let weeks = self.hours.entry(of_week(self.hour)).or_default();
                weeks.push_back(over);
                while weeks.len() > WEEKS {
                    weeks.pop_front();
                }
            }
            self.values.clear();
            self.hour = hour;
        }
        let window = frame.window.max(1);
        let stride = (HOUR / window / PER_HOUR).max(1);
        if at.div_euclid(window) % stride == 0 {
            self.values.push(value);
        }
    }

    /// What is usual for the time, value and deviation; `None` when nothing is known of that hour yet.
    fn usual(&self, frame: &Frame, at: i64) -> Option<(f64, f64)> {
        match frame.spec.method {
            AnomalyMethod::Robust => Some((0.0, 0.0)),
            AnomalyMethod::Seasonal => {
                let weeks = self.hours.get(&of_week(frame.spec.wall_clock(at).div_euclid(HOUR)))?;
                let (mut values, mut spreads): (Vec<f64>, Vec<f64>) = weeks.iter().copied().unzip();
                Some((robust::median(&mut values)?, robust::median(&mut spreads)?))
            }
        }
    }
}

/// Hour of the week of an hour since 1970.
fn of_week(hour: i64) -> u8 {
    u8::try_from(hour.rem_euclid(HOURS)).unwrap_or_default()
}
