//! Posts alerts as JSON.

use serde::Deserialize;
use serde_json::json;
use streamflow_sdk::{Channel, Failure, Notice, State, export_channel, http::Request};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
}

struct Post(Config);

impl Channel for Post {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let text = match notice.state {
            State::Resolved => format!("over: {}", notice.title),
            _ => notice.title.clone(),
        };
        let body = json!({"text": text, "details": notice.body, "url": notice.url});
        // `accepted` says for each status whether the hub should try again.
        Request::post(&self.0.url)
            .header("idempotency-key", &notice.idempotency_key)
            .json(&body)?
            .send()?
            .accepted()?;
        Ok(notice.idempotency_key.clone())
    }
}

export_channel!(Post);

#[cfg(test)]
mod tests;
