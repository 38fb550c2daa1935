//! Alerts when a number rises or falls too far within some time: `data.value`, by source and `data.name`. Over when it has been calmer than
//! half of that.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use streamflow_sdk::{
    Alert, Events, Rule, export_rule,
    keyed::Keyed,
    series::{self, Reading},
};

/// Most series at a time; those that nobody reports any more make room.
const MAX_SERIES: usize = 300;
/// Parts into which the time is divided: a value leaves the comparison with its part.
const PARTS: i64 = 30;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    amount: Option<f64>,
    percent: Option<f64>,
    within_seconds: u32,
    direction: Direction,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Both,
    Up,
    Down,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            amount: None,
            percent: None,
            within_seconds: 300,
            direction: Direction::Both,
        }
    }
}

/// Begin, smallest and largest value of each part, oldest first.
#[derive(Serialize, Deserialize)]
struct Series {
    source: String,
    parts: VecDeque<(i64, f64, f64)>,
    last: f64,
    firing: bool,
}

/// From where to where, and how much of what is allowed that is.
struct Change {
    from: f64,
    share: f64,
}

struct RateOfChange {
    config: Config,
    span_ms: i64,
}

impl Rule for RateOfChange {
    type Config = Config;
    /// By source and name.
    type State = Keyed<Series>;

    fn init(mut config: Config) -> Result<Self, String> {
        if config.amount.is_none() && config.percent.is_none() {
            config.percent = Some(50.0);
        }
        let span_ms = i64::from(config.within_seconds.max(1)) * 1000;
        Ok(Self { config, span_ms })
    }

    fn on_events(&mut self, events: &Events, all: &mut Self::State) -> Result<Vec<Alert>, String> {
        let readings = series::readings(events)?;
        let mut here = all.of(readings.keys());
        let mut alerts: BTreeMap<&str, Alert> = BTreeMap::new();
        for (number, key, reading) in readings.iter() {
            let Reading { value, at_ms, .. } = reading;
            let goes_on = |series: &Series| series.firing || !series.is_over(at_ms, self.span_ms);
            let new = || Series {
                source: reading.source.to_owned(),
                parts: VecDeque::new(),
                last: value,
                firing: false,
            };
            let Some(series) = here.or_insert_among(MAX_SERIES, goes_on, number, new) else {
                continue;
            };
            series.add(at_ms, value, self.span_ms);
            if let Some(alert) = self.judge(key, series) {
                alerts.insert(key, alert.row(reading.row));
            }
        }
        Ok(alerts.into_values().collect())
    }

    fn on_tick(&mut self, now_ms: i64, all: &mut Self::State) -> Result<Vec<Alert>, String> {
        let mut alerts: Vec<Alert> = Vec::new();
        all.retain(|key, series| {
            series.forget(now_ms, self.span_ms);
            if series.firing {
                alerts.extend(self.judge(key, series).filter(|alert| alert.resolved));
            }
            series.firing || !series.parts.is_empty()
        });
        alerts.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(alerts)
    }
}

impl RateOfChange {
    /// Fires while the change is as large as allowed, and is over below half of that.
    fn judge(&self, key: &str, series: &mut Series) -> Option<Alert> {
        let change = self.change(series);
        let share = change.as_ref().map_or(0.0, |change| change.share);
        match change {
            Some(Change { from, share }) if share >= 1.0 => {
                series.firing = true;
                let (to, within) = (series.last, self.config.within_seconds);
                let word = if to >= from { "rose" } else { "fell" };
                let title = format!("{key}: {word} from {from} to {to} within {within} s");
                let body = format!("That is {share:.1} times the change that the rule allows.");
                let alert = Alert::firing(key, title).body(body).value(to - from);
                Some(alert.label("source", &series.source))
            }
            _ if series.firing && share < 0.5 => {
                series.firing = false;
                let title = format!("{key}: has calmed down at {}", series.last);
                Some(Alert::resolved(key, title).value(0.0).label("source", &series.source))
            }
            _ => None,
        }
    }

    /// The largest change that counts, from a value of the time before to the last one.
    fn change(&self, series: &Series) -> Option<Change> {
        let low = series.parts.iter().map(|part| part.1).reduce(f64::min)?;
        let high = series.parts.iter().map(|part| part.2).reduce(f64::max)?;
        let from = |from: f64| {
            let change = (series.last - from).abs();
            let of = |allowed: Option<f64>, change: f64| allowed.map_or(0.0, |allowed| change / allowed);
            // There are no percents of nothing.
            let percent = if from == 0.0 { 0.0 } else { change / from.abs() * 100.0 };
            let share = of(self.config.amount, change).max(of(self.config.percent, percent));
            Change { from, share }
        };
        let up = (self.config.direction != Direction::Down).then(|| from(low));
        let down = (self.config.direction != Direction::Up).then(|| from(high));
        up.into_iter()
            .chain(down)
            .reduce(|a, b| if b.share > a.share { b } else { a })
    }
}

impl Series {
    fn add(&mut self, at: i64, value: f64, span_ms: i64) {
        let part = (span_ms / PARTS).max(1);
        let begin = at.div_euclid(part) * part;
        let newest = self.parts.back().map_or(begin, |(newest, ..)| *newest);
        if begin >= newest {
            self.last = value;
        }
        self.forget(begin.max(newest), span_ms);
        if begin < newest.saturating_sub(span_ms) {
            return;
        }
        let place = self.parts.partition_point(|(own, ..)| *own < begin);
        match self.parts.get_mut(place) {
            Some((own, low, high)) if *own == begin => {
                *low = low.min(value);
                *high = high.max(value);
            }
            _ => self.parts.insert(place, (begin, value, value)),
        }
    }

    fn forget(&mut self, now_ms: i64, span_ms: i64) {
        let from = now_ms.saturating_sub(span_ms);
        while self.parts.front().is_some_and(|(begin, ..)| *begin < from) {
            self.parts.pop_front();
        }
    }

    fn is_over(&self, now_ms: i64, span_ms: i64) -> bool {
        self.parts
            .back()
            .is_none_or(|(begin, ..)| *begin < now_ms.saturating_sub(span_ms))
    }
}

export_rule!(RateOfChange);

#[cfg(test)]
mod tests;
