//! Alerts when a number is far from its own recent mean, counted in standard deviations: `data.value`, by source and `data.name`. Over when a
//! value is within half of that.
//!
//! Mean and variance are exponentially weighted, so that a series costs five numbers however many values it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_sdk::{
    Alert, Events, Rule, export_rule,
    keyed::Keyed,
    series::{self, Reading},
};

/// Most series at a time; those of which nothing is heard any more make room.
const MAX_SERIES: usize = 2000;
/// Deviations below this part of the mean are none: a number that has never moved must be allowed to move a little.
const SMALLEST: f64 = 0.001;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    threshold: f64,
    samples: u32,
    forget_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold: 4.0,
            samples: 100,
            forget_seconds: 3600,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Series {
    source: String,
    count: u32,
    mean: f64,
    variance: f64,
    heard_ms: i64,
    firing: bool,
}

struct ZScore(Config);

impl Rule for ZScore {
    type Config = Config;
    /// By source and name.
    type State = Keyed<Series>;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn on_events(&mut self, events: &Events, all: &mut Self::State) -> Result<Vec<Alert>, String> {
        let readings = series::readings(events)?;
        let mut here = all.of(readings.keys());
        let mut alerts: BTreeMap<&str, Alert> = BTreeMap::new();
        for (number, key, reading) in readings.iter() {
            let Reading { value, at_ms, .. } = reading;
            let goes_on = |series: &Series| series.firing || at_ms - series.heard_ms < self.forget_ms();
            let new = || Series {
                source: reading.source.to_owned(),
                count: 0,
                mean: value,
                variance: 0.0,
                heard_ms: at_ms,
                firing: false,
            };
            let Some(series) = here.or_insert_among(MAX_SERIES, goes_on, number, new) else {
                continue;
            };
            series.heard_ms = series.heard_ms.max(at_ms);
            if let Some(alert) = self.judge(key, series, value) {
                alerts.insert(key, alert.row(reading.row));
            }
            self.learn(series, value);
        }
        Ok(alerts.into_values().collect())
    }

    fn on_tick(&mut self, now_ms: i64, all: &mut Self::State) -> Result<Vec<Alert>, String> {
        let silent = |series: &Series| now_ms - series.heard_ms >= self.forget_ms();
        let over = |(key, series): (&str, &Series)| {
            Alert::resolved(key, format!("{key}: is not reported any more")).label("source", &series.source)
        };
        let alerts = all
            .sorted()
            .into_iter()
            .filter(|(_, series)| series.firing && silent(series))
            .map(over)
            .collect();
        all.retain(|_, series| !silent(series));
        Ok(alerts)
    }
}

impl ZScore {
    fn forget_ms(&self) -> i64 {
        i64::from(self.0.forget_seconds) * 1000
    }

    fn judge(&self, key: &str, series: &mut Series, value: f64) -> Option<Alert> {
        if series.count < self.0.samples {
            return None;
        }
        let (mean, deviation) = (series.mean, series.deviation());
        let z = (value - mean) / deviation;
        if z.abs() >= self.0.threshold {
            series.firing = true;
            let side = if z > 0.0 { "above" } else { "below" };
            let title = format!("{key}: {value} is {:.1} standard deviations {side} its mean", z.abs());
            let body = format!(
                "mean {mean:.4}, standard deviation {deviation:.4}, of about {} values",
                self.0.samples
            );
            return Some(
                Alert::firing(key, title)
                    .body(body)
                    .value(z)
                    .label("source", &series.source),
            );
        }
        if series.firing && z.abs() < self.0.threshold / 2.0 {
            series.firing = false;
            let title = format!("{key}: {value} is near its mean again");
            return Some(Alert::resolved(key, title).value(z).label("source", &series.source));
        }
        None
    }

    /// An outlier counts as the farthest value that is none: it does not hide the next one, and a level that stays becomes usual.
    fn learn(&self, series: &mut Series, value: f64) {
        series.count = series.count.saturating_add(1);
        let count = f64::from(series.count);
        let weight = (2.0 / (f64::from(self.0.samples) + 1.0)).max(1.0 / count);
        let value = if series.count > self.0.samples {
            let room = self.0.threshold * series.deviation();
            value.clamp(series.mean - room, series.mean + room)
        } else {
            value
        };
        let step = weight * (value - series.mean);
        series.variance = (1.0 - weight) * (series.variance + step * (value - series.mean));
        series.mean += step;
    }
}

impl Series {
    fn deviation(&self) -> f64 {
        self.variance
            .sqrt()
            .max(self.mean.abs() * SMALLEST)
            .max(f64::MIN_POSITIVE)
    }
}

export_rule!(ZScore);

#[cfg(test)]
mod tests;
