//! Behaves: counts, for each source, the events whose number is above a threshold, and alerts when there are many. What plugins cost is measured with it.

use serde::Deserialize;
use streamflow_sdk::{Alert, Events, Rule, Schema, export_rule, export_schema};

mod count;

use count::Counts;

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Numbers above this count
    threshold: f64,
    /// So many of a source raise the alert
    #[schema(minimum = 1)]
    many: u64,
}

struct Count(Config);

impl Rule for Count {
    type Config = Config;
    type State = Counts;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn on_events(&mut self, events: &Events, counts: &mut Counts) -> Result<Vec<Alert>, String> {
        let values = events.floats("data.value")?;
        let columns = count::Columns {
            sources: events.sources(),
            source: |row| events.source_number(row),
            value: |row| values.get(row),
        };
        let reached = count::count(events.len(), &columns, self.0.threshold, self.0.many, counts);
        let alert = |(source, row): (String, usize)| Alert::firing(&source, "many").row(row);
        Ok(reached.into_iter().map(alert).collect())
    }
}

export_rule!(Count);
export_schema!(Config);
