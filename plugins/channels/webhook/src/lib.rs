//! Posts the Alertmanager webhook format, version 4, so that whatever reads Alertmanager reads StreamFlow.
//!
//! A group is one message with an entry for each of its alerts, as Alertmanager writes it. On request the message is the data of a CloudEvent.

mod cloud_event;
mod message;

use std::collections::BTreeMap;

use cloud_event::CloudEvent;
use message::Message;
use serde::Deserialize;
use streamflow_sdk::{
    Channel, Failure, Notice, export_channel,
    group::{self, Listing},
    http::Request,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    bearer_token: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Alerts of one message; 0 = all that the hub hands over.
    #[serde(default)]
    max_alerts: u32,
    #[serde(default)]
    format: Format,
}

/// How a message is written.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// As Alertmanager does.
    #[default]
    Alertmanager,
    /// The same as the data of a CloudEvent in structured mode.
    CloudEvents,
}

/// What the hub lets through in one request, with some room for the headers.
const MOST_BYTES: usize = (1 << 20) - 4096;

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
        let most = if self.0.max_alerts == 0 {
            u32::MAX
        } else {
            self.0.max_alerts
        };
        let mut listing = group::members(notice, most);
        let mut request = self.request(notice, &listing)?;
        while request.body.len() > MOST_BYTES && listing.members.len() > 1 {
            let kept = listing.members.len() / 2;
            let left = u32::try_from(listing.members.len() - kept).unwrap_or(u32::MAX);
            listing.members.truncate(kept);
            listing.omitted = listing.omitted.saturating_add(left);
            request = self.request(notice, &listing)?;
        }
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

impl Webhook {
    fn request(&self, notice: &Notice, listing: &Listing) -> Result<Request, Failure> {
        let request = Request::post(&self.0.url).header("idempotency-key", &notice.idempotency_key);
        let message = Message::of(notice, listing);
        match self.0.format {
            Format::Alertmanager => Ok(request.json(&message)?),
            Format::CloudEvents => CloudEvent::of(notice, &message).put_in(request),
        }
    }
}

export_channel!(Webhook);

#[cfg(test)]
mod tests;
