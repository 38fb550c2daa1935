//! Misbehaves: answers an event of type `poison` with a gigabyte, all of it the same megabyte, which its own memory limit does not see; counts the other
//! events of each source.

use std::collections::BTreeMap;

use streamflow_sdk::{Alert, Events, Rule, export_rule};

const MEBIBYTE: usize = 1 << 20;

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
                return Ok(gigabyte());
            }
            let source = events.source(row);
            let count = seen.entry(source.to_owned()).or_insert(0);
            *count += 1;
            alerts.insert(source, Alert::firing(source, "seen").value((*count).into()).row(row));
        }
        Ok(alerts.into_values().collect())
    }
}

fn gigabyte() -> Vec<Alert> {
    let text = Box::leak("x".repeat(MEBIBYTE).into_boxed_str());
    let alert = |n: usize| {
        // SAFETY: there is none, which is the point: a thousand strings own the same bytes. The host ends the call before any of them is given back.
        let body = unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), MEBIBYTE, MEBIBYTE) };
        Alert::firing(n.to_string(), "large").body(body)
    };
    (0..1024).map(alert).collect()
}

export_rule!(Bad);
