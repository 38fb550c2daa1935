//! Sends text messages through Twilio, or what speaks its API: a form with basic authentication.

use base64::{Engine, engine::general_purpose::STANDARD};
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value;
use streamflow_sdk::{Channel, Failure, Notice, export_channel, http::Request, message};

const URL: &str = "https://api.twilio.com";
/// About two parts of a long message.
const LENGTH: usize = 320;
/// A link that takes more of a message than this is left out.
const MAX_LINK: usize = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    account_sid: String,
    auth_token: String,
    from: String,
    to: String,
    max_length: Option<usize>,
    url: Option<String>,
}

struct Sms(Config);

impl Channel for Sms {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let Config {
            account_sid,
            auth_token,
            from,
            to,
            max_length,
            url,
        } = &self.0;
        let sender = if from.len() == 34 && from.starts_with("MG") {
            "MessagingServiceSid"
        } else {
            "From"
        };
        let form = Serializer::new(String::new())
            .append_pair("To", to)
            .append_pair(sender, from)
            .append_pair("Body", &text(notice, max_length.unwrap_or(LENGTH)))
            .finish();
        let path = format!("/2010-04-01/Accounts/{account_sid}/Messages.json");
        let mut request = Request::post(message::join(url.as_deref().unwrap_or(URL), &path))
            .header("content-type", "application/x-www-form-urlencoded")
            .header(
                "authorization",
                format!("Basic {}", STANDARD.encode(format!("{account_sid}:{auth_token}"))),
            );
        request.body = form.into_bytes();
        let response = request.send()?.accepted()?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let sid = answer.get("sid").and_then(Value::as_str);
        Ok(sid.unwrap_or(&notice.idempotency_key).to_owned())
    }
}

/// The heading, as much of the text as there is room for, and one link: whole, or not at all.
fn text(notice: &Notice, most: usize) -> String {
    let acknowledge = message::acknowledge_url(notice);
    // The hub ends its own texts with the link, where it would be cut.
    let own = acknowledge.and_then(|url| notice.body.strip_suffix(&format!("\nAcknowledge: {url}")));
    let body = own.unwrap_or(&notice.body).trim();
    let mut text = message::heading(notice);
    if !body.is_empty() && body != notice.title {
        text = format!("{text}\n{body}");
    }
    let room = |url: &str| url.chars().count() + 1;
    let fits = |url: &&str| !url.is_empty() && room(url) <= MAX_LINK.min(most / 2);
    match acknowledge.into_iter().chain([notice.url.as_str()]).find(fits) {
        Some(url) => format!("{}\n{url}", message::fit(&text, most - room(url))),
        None => message::fit(&text, most),
    }
}

export_channel!(Sms);

#[cfg(test)]
mod tests;
