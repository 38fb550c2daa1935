//! Misbehaves: answers with bytes that are no text.

use streamflow_sdk::{Channel, Failure, Notice, export_channel};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, _notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        // SAFETY: there is none, which is the point: nothing here reads the text, and the host must not believe that it is one.
        Ok(unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe, 0xc0]) })
    }
}

export_channel!(Bad);
