//! Misbehaves: calls itself without end.

use streamflow_sdk::{Channel, Failure, Notice, export_channel};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        fn deeper(id: &str, depth: u64) -> u64 {
            std::hint::black_box(id);
            if depth == u64::MAX {
                0
            } else {
                deeper(id, depth + 1) + std::hint::black_box(1)
            }
        }
        Ok(deeper(&notice.id, 0).to_string())
    }
}

export_channel!(Bad);
