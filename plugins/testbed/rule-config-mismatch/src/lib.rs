//! Misbehaves: wants its threshold as text, while the schema in its manifest asks for a number.

use streamflow_sdk::{Alert, Events, Rule, export_rule};

struct Bad;

impl Rule for Bad {
    type Config = serde_json::Value;
    type State = ();

    fn init(config: serde_json::Value) -> Result<Self, String> {
        match config.get("threshold") {
            None | Some(serde_json::Value::String(_)) => Ok(Self),
            Some(other) => Err(format!("threshold is {other}, and no text")),
        }
    }

    fn on_events(&mut self, _events: &Events, _state: &mut ()) -> Result<Vec<Alert>, String> {
        Ok(Vec::new())
    }
}

export_rule!(Bad);
