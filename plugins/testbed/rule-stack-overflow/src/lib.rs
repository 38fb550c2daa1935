//! Misbehaves: calls itself without end when it sees an event of type `poison`; counts the other events of each source.

use std::{collections::BTreeMap, hint::black_box};

use streamflow_sdk::{Alert, Events, Rule, export_rule};

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
                return Err(format!("deep: {}", deeper(black_box(1))));
            }
            let source = events.source(row);
            let count = seen.entry(source.to_owned()).or_insert(0);
            *count += 1;
            alerts.insert(source, Alert::firing(source, "seen").value((*count).into()).row(row));
        }
        Ok(alerts.into_values().collect())
    }
}

#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth + 1))) + black_box(depth)
}

export_rule!(Bad);
