//! Misbehaves: logs a hundred thousand lines in one call.

use streamflow_sdk::{Channel, Failure, Notice, export_channel, log};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, _notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        for line in 0..100_000 {
            log::info(&format!("line {line} of a flood"));
        }
        Ok("sent".to_owned())
    }
}

export_channel!(Bad);
