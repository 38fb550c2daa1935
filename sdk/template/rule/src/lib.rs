//! Alerts when the number at `data.value` exceeds a threshold: one incident for each source, over after some quiet minutes.

use std::collections::BTreeMap;

use serde::Deserialize;
use streamflow_sdk::{Alert, Events, Rule, Schema, export_rule, export_schema};

/// Most sources that are remembered at a time.
const MAX_SOURCES: usize = 5_000;

/// What may stand in the configuration of a hub's rule; the hub checks it, and draws the form from it.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// An event whose data.value is above this raises an alert for its source
    threshold: f64,
    /// The alert is over when nothing was above the threshold for so long
    #[serde(default = "five")]
    #[schema(minimum = 1, maximum = 1440, default = 5)]
    quiet_minutes: u32,
}

fn five() -> u32 {
    5
}

struct Threshold(Config);

impl Rule for Threshold {
    type Config = Config;
    /// Sources with an open incident, and when the value was last too high, ms since 1970.
    type State = BTreeMap<String, i64>;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn on_events(&mut self, events: &Events, high: &mut Self::State) -> Result<Vec<Alert>, String> {
        let threshold = self.0.threshold;
        let values = events.floats("data.value")?;
        // The highest of each source; one alert says it all.
        let mut worst: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
        for row in events.rows() {
            let Some(value) = values.get(row).filter(|value| *value > threshold) else {
                continue;
            };
            let source = events.source(row);
            if high.len() >= MAX_SOURCES && !high.contains_key(source) {
                continue;
            }
            let last = high.entry(source.to_owned()).or_insert(i64::MIN);
            *last = events.time_ms(row).max(*last);
            let known = worst.entry(source).or_insert((value, row));
            if value >= known.0 {
                *known = (value, row);
            }
        }
        let alert = |(source, (value, row)): (&str, (f64, usize))| {
            Alert::firing(source, format!("{source} is at {value}, above {threshold}"))
                .value(value)
                .row(row)
                .label("source", source)
        };
        Ok(worst.into_iter().map(alert).collect())
    }

    fn on_tick(&mut self, now_ms: i64, high: &mut Self::State) -> Result<Vec<Alert>, String> {
        let quiet = i64::from(self.0.quiet_minutes) * 60_000;
        let over: Vec<String> = high
            .iter()
            .filter(|(_, last)| now_ms - **last >= quiet)
            .map(|(source, _)| source.clone())
            .collect();
        for source in &over {
            high.remove(source);
        }
        let resolved =
            |source: String| Alert::resolved(&source, format!("{source} is quiet again")).label("source", &source);
        Ok(over.into_iter().map(resolved).collect())
    }
}

export_rule!(Threshold);
export_schema!(Config);

#[cfg(test)]
mod tests;
