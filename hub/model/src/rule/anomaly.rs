//! What a rule of kind `anomaly` takes for normal.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{RuleError, plain};
use crate::{Span, WindowSpec};

/// Bounds of the number of windows that are remembered.
const HISTORY: (u32, u32) = (10, 1000);
/// Windows that must have been seen before anything is judged, whatever `learning` says.
pub const LEAST_SEEN: u32 = 10;
/// Length of a week.
const WEEK: Span = Span::from_secs(7 * 86_400);

/// How the expected value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnomalyMethod {
    /// Median of the last windows; deviation by the median absolute deviation.
    #[default]
    Robust,
    /// The same after taking out what is usual for this hour of the week.
    Seasonal,
}

/// How far from normal is too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// 5 robust deviations.
    Low,
    /// 3.5 robust deviations, as Iglewicz and Hoaglin recommend.
    #[default]
    Medium,
    /// 2.5 robust deviations.
    High,
}

/// Which side counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// Values above the band.
    Above,
    /// Values below the band.
    Below,
}

/// The band of normal values around a rule's aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnomalySpec {
    /// How the expected value is found.
    pub method: AnomalyMethod,
    /// Whose hours and days the week of `seasonal` has, such as `Europe/Vienna`; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Windows remembered, of each group.
    #[schema(minimum = 10, maximum = 1000)]
    pub history: u32,
    /// Nothing is judged for this long after a group is first seen. When absent: 30 windows, and a week more with `seasonal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning: Option<Span>,
    /// How far from normal is too far.
    pub sensitivity: Sensitivity,
    /// The same as a number of robust deviations; in place of `sensitivity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<f64>,
    /// Which side counts.
    pub direction: Direction,
    /// Differences from the expected value smaller than this are never anomalies, however steady the values were.
    pub min_change: f64,
}

impl Default for AnomalySpec {
    fn default() -> Self {
        Self {
            method: AnomalyMethod::Robust,
            time_zone: None,
            history: 120,
            learning: None,
            sensitivity: Sensitivity::Medium,
            deviations: None,
            direction: Direction::Both,
            min_change: 0.0,
        }
    }
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledAnomaly {
    /// How the expected value is found.
    pub method: AnomalyMethod,
    /// Whose week it is; none = UTC.
    pub time_zone: Option<TimeZone>,
    /// Windows remembered.
    pub history: usize,
    /// Nothing is judged for this long, ms.
    pub learning: i64,
    /// Robust deviations that are too many.
    pub deviations: f64,
    /// Which side counts.
    pub direction: Direction,
    /// Differences smaller than this are none.
    pub min_change: f64,
}

impl CompiledAnomaly {
    /// What a clock on the wall shows at a time, both in ms: counted as if the wall were in UTC.
    #[must_use]
    pub fn wall_clock(&self, at: i64) -> i64 {
        let offset = self.time_zone.as_ref().and_then(|zone| {
            let instant = Timestamp::from_millisecond(at).ok()?;
            Some(i64::from(zone.to_offset(instant).seconds()))
        });
        at.saturating_add(offset.unwrap_or(0).saturating_mul(1000))
    }
}

impl AnomalySpec {
    /// How long it learns, and what it remembers then.
    pub(super) fn memory(&self, window: &WindowSpec) -> Span {
        let window = window.slide().unwrap_or_else(|| window.size()).ms();
        let history = window.saturating_mul(i64::from(self.history));
        Span::from_ms(self.learning(window).max(history))
    }

    /// How long it learns, ms, with windows of this length.
    fn learning(&self, window: i64) -> i64 {
        let default = match self.method {
            AnomalyMethod::Robust => window.saturating_mul(30),
            AnomalyMethod::Seasonal => window.saturating_mul(30).saturating_add(WEEK.ms()),
        };
        self.learning.map_or(default, Span::ms)
    }

    fn zone(&self, errors: &mut Vec<RuleError>) -> Option<TimeZone> {
        let name = self.time_zone.as_deref()?;
        if self.method != AnomalyMethod::Seasonal {
            errors.push(plain(
                "anomaly.time_zone",
                "says nothing to `robust`, which knows no week",
            ));
        }
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            let reason =
                format!("`{name}` is no time zone; write one of the IANA database, such as Europe/Vienna or UTC");
            errors.push(plain("anomaly.time_zone", reason));
        }
        zone
    }

    /// Checks everything at once.
    pub(super) fn compile(&self, window: &WindowSpec, errors: &mut Vec<RuleError>) -> Option<CompiledAnomaly> {
        let before = errors.len();
        if window.slide().is_none() {
            let reason = "sessions have no fixed places to compare; use a length, or `size` and `slide`";
            errors.push(plain("window", reason));
        }
        let window = window.slide().unwrap_or_else(|| window.size());
        if self.history < HISTORY.0 || self.history > HISTORY.1 {
            let reason = format!("is {}; must be between {} and {}", self.history, HISTORY.0, HISTORY.1);
            errors.push(plain("anomaly.history", reason));
        }
        if self.method == AnomalyMethod::Seasonal && window > Span::from_secs(3600) {
            let reason = format!("windows of {window} are longer than the hours that `seasonal` compares; at most 1h");
            errors.push(plain("anomaly.method", reason));
        }
        let time_zone = self.zone(errors);
        let learning = self.learning(window.ms());
        if learning > WEEK.ms().saturating_mul(52) {
            errors.push(plain("anomaly.learning", "must be at most 52 weeks (364d)"));
        }
        let deviations = self.deviations.unwrap_or(match self.sensitivity {
            Sensitivity::Low => 5.0,
            Sensitivity::Medium => 3.5,
            Sensitivity::High => 2.5,
        });
        if !(0.5..=100.0).contains(&deviations) {
            errors.push(plain(
                "anomaly.deviations",
                format!("is {deviations}; must be between 0.5 and 100"),
            ));
        }
        if !self.min_change.is_finite() || self.min_change < 0.0 {
            errors.push(plain("anomaly.min_change", "must be a finite number, zero or more"));
        }
        (errors.len() == before).then_some(CompiledAnomaly {
            method: self.method,
            time_zone,
            history: self.history as usize,
            learning,
            deviations,
            direction: self.direction,
            min_change: self.min_change,
        })
    }
}
