//! Misbehaves: never answers.

use streamflow_sdk::{Channel, Failure, Notice, export_channel};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        loop {
            std::hint::black_box(notice.id.len());
        }
    }
}

export_channel!(Bad);
