//! Posts the Alertmanager webhook format, version 4, so that whatever reads Alertmanager reads StreamFlow.

mod message;

use std::collections::BTreeMap;

use message::Message;
use serde::Deserialize;
use streamflow_sdk::{Channel, Failure, Notice, export_channel, http::Request};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    bearer_token: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

struct Webhook(Config);

impl Channel for Webhook {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        if config.bearer_token.is_some()
            && config
                .headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("authorization"))
        {
            return Err("bearer_token and an `authorization` header exclude each other".to_owned());
        }
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let mut request = Request::post(&self.0.url)
            .header("idempotency-key", &notice.idempotency_key)
            .json(&Message::of(notice))?;
        if let Some(token) = &self.0.bearer_token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.0.headers {
            request = request.header(name, value);
        }
        let response = request.send()?.accepted()?;
        Ok(response
            .header_value("x-request-id")
            .unwrap_or(&notice.idempotency_key)
            .to_owned())
    }
}

export_channel!(Webhook);

#[cfg(test)]
mod tests;
