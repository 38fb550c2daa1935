//! Alerts when a source reports many errors within a short time: one incident for each source, over when the window has fallen below half of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_sdk::{
    Alert, Events, Rule, Schema, Severity, export_rule, export_schema, keyed::Keyed, window::Sliding,
};

/// Most sources that are counted at a time; windows that have emptied make room.
const MAX_SOURCES: usize = 500;

#[derive(Deserialize, Schema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// So many within the time raise the alert
    #[schema(minimum = 1, maximum = 1_000_000, default = 20)]
    errors: u64,
    /// Length of the window that slides over the events
    #[schema(minimum = 1, maximum = 86_400, default = 60)]
    within_seconds: u32,
    /// Events of this severity and above are errors. The rule's `match` decides first which events there are
    #[schema(default = "high")]
    severity: Least,
}

#[derive(Deserialize, Schema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Least {
    Low,
    Medium,
    High,
    Critical,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            errors: 20,
            within_seconds: 60,
            severity: Least::High,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Source {
    errors: Sliding,
    firing: bool,
}

pub struct Burst {
    config: Config,
    span_ms: i64,
}

impl Burst {
    const fn counts(&self, severity: Severity) -> bool {
        severity as u8 >= self.config.severity as u8
    }
}

impl Rule for Burst {
    type Config = Config;
    type State = Keyed<Source>;

    fn init(config: Config) -> Result<Self, String> {
        let span_ms = i64::from(config.within_seconds) * 1000;
        Ok(Self { config, span_ms })
    }

    fn on_events(&mut self, events: &Events, sources: &mut Self::State) -> Result<Vec<Alert>, String> {
        let mut here = sources.of(events.sources());
        // The last row of each source that is in a burst, and its count there.
        let mut bursts: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        // Windows end by parts: where there was no room there is none before the next part.
        let mut full_until = i64::MIN;
        for row in events.rows().filter(|row| self.counts(events.severity(*row))) {
            let (number, at) = (events.source_number(row), events.time_ms(row));
            if at < full_until && here.remembered() >= MAX_SOURCES && here.get_mut(number).is_none() {
                continue;
            }
            let goes_on = |source: &Source| source.firing || !source.errors.is_over(at);
            let new = || Source {
                errors: Sliding::new(self.span_ms),
                firing: false,
            };
            let Some(source) = here.or_insert_among(MAX_SOURCES, goes_on, number, new) else {
                full_until = at.saturating_add(self.span_ms / 60);
                continue;
            };
            source.errors.add(at, 1);
            let count = source.errors.count(at);
            if count >= self.config.errors {
                source.firing = true;
                bursts.insert(number, (row, count));
            }
        }
        let alert = |(number, (row, count)): (&usize, &(usize, u64))| {
            let source = events.sources().get(*number)?;
            Some(self.alert(source, *count).row(*row))
        };
        Ok(bursts.iter().filter_map(alert).collect())
    }

    fn on_tick(&mut self, now_ms: i64, sources: &mut Self::State) -> Result<Vec<Alert>, String> {
        let mut alerts: Vec<Alert> = Vec::new();
        sources.retain(|name, source| {
            if !source.firing {
                return !source.errors.is_over(now_ms);
            }
            // A tick comes after events that are newer than its time: they are part of the burst.
            let newest = source.errors.newest_ms().unwrap_or(now_ms);
            let count = source.errors.count(now_ms.max(newest));
            if count * 2 < self.config.errors {
                source.firing = false;
                let title = format!("{name}: the burst is over");
                alerts.push(
                    Alert::resolved(name, title)
                        .value(as_value(count))
                        .label("source", name),
                );
            }
            source.firing || !source.errors.is_over(now_ms)
        });
        alerts.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(alerts)
    }
}

impl Burst {
    fn alert(&self, source: &str, count: u64) -> Alert {
        let within = self.config.within_seconds;
        Alert::firing(source, format!("{source}: {count} errors in {within} s"))
            .body(format!(
                "At least {} errors within {within} seconds are a burst.",
                self.config.errors
            ))
            .value(as_value(count))
            .label("source", source)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of some seconds")]
const fn as_value(count: u64) -> f64 {
    count as f64
}

export_rule!(Burst);
export_schema!(Config);

#[cfg(test)]
mod tests;
