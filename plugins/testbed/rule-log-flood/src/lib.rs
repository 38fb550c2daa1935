//! Misbehaves: logs without end when it sees an event of type `poison`; counts the other events of each source.

use std::collections::BTreeMap;

use streamflow_sdk::{Alert, Events, Rule, export_rule, log};

struct Bad;

impl Rule for Bad {
    type Config = serde_json::Value;
    type State = BTreeMap<String, u32>;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_events(&mut self, events: &Events, seen: &mut Self::State) -> Result<Vec<Alert>, String> {
        let mut alerts = BTreeMap::new();
        for row in events.rows() {
            if events.kind(row) == "poison" {
                loop {
                    log::warn("a line of a flood");
                }
            }
            let source = events.source(row);
            let count = seen.entry(source.to_owned()).or_insert(0);
            *count += 1;
            alerts.insert(source, Alert::firing(source, "seen").value((*count).into()).row(row));
        }
        Ok(alerts.into_values().collect())
    }
}

export_rule!(Bad);
