//! The rule around it. What it calls an alert is the word of the version that has this file.

use serde::Deserialize;
use streamflow_sdk::{Alert, Events, Rule, Schema};

use crate::{
    TITLE,
    count::{Columns, Counts, count},
};

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers above this count
    threshold: f64,
    /// So many of a source raise the alert
    #[schema(minimum = 1)]
    many: u64,
}

pub struct Count(Config);

impl Rule for Count {
    type Config = Config;
    type State = Counts;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn on_events(&mut self, events: &Events, counts: &mut Counts) -> Result<Vec<Alert>, String> {
        let columns = Columns {
            sources: events.sources(),
            source: |row| events.source_number(row),
            values: events.floats("data.value")?.iter(),
        };
        let reached = count(columns, self.0.threshold, self.0.many, counts);
        let alert = |(source, row): (String, usize)| Alert::firing(source, TITLE).row(row);
        Ok(reached.into_iter().map(alert).collect())
    }
}
