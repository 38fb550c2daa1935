//! Misbehaves: computes for ever when it sees a message with `poison`. Turns away messages with `noise`, and marks the others as seen.

use streamflow_sdk::{Events, Output, Transform, export_transform};

struct Bad;

impl Transform for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn apply(&mut self, events: &Events) -> Result<Output, String> {
        let messages = events.texts("data.message")?;
        let says = |row, word| messages.get(row).is_some_and(|message| message.contains(word));
        if events.rows().any(|row| says(row, "poison")) {
            let mut n = 0_u64;
            loop {
                n = std::hint::black_box(n.wrapping_add(1));
            }
        }
        let mut output = Output::unchanged(events);
        output.keep(|row| !says(row, "noise"));
        output.set_booleans("data.seen", |_| Some(true));
        Ok(output)
    }
}

export_transform!(Bad);
