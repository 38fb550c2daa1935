//! Misbehaves: asks again and again, however slow the answers are.

use streamflow_sdk::{Channel, Failure, Notice, export_channel, http::Request};

struct Bad {
    url: String,
}

impl Channel for Bad {
    type Config = serde_json::Value;

    fn init(config: serde_json::Value) -> Result<Self, String> {
        let url = config.get("url").and_then(serde_json::Value::as_str);
        Ok(Self {
            url: url.unwrap_or_default().to_owned(),
        })
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        loop {
            let _ = Request::post(&self.url).text(&notice.title).send();
        }
    }
}

export_channel!(Bad);
