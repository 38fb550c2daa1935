//! Misbehaves: allocates without end.

use streamflow_sdk::{Channel, Failure, Notice, export_channel};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![notice.id.len(); 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }
}

export_channel!(Bad);
