//! Posts an embed to a Discord webhook, and waits for the message's id.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use streamflow_sdk::{Channel, Failure, Notice, export_channel, http::Request, message};

/// Discord's limits: title, description, fields, a field's name and value. All of an embed together stay below 6,000 characters.
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 2300;
const MAX_FIELDS: usize = 10;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    username: Option<String>,
}

struct Discord(Config);

impl Channel for Discord {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let mut message = json!({
            // Nobody is called by what stands in a log line, such as `@everyone`.
            "allowed_mentions": {"parse": []},
            "embeds": [embed(notice)],
        });
        if let Some(name) = &self.0.username {
            message["username"] = json!(name);
        }
        let url = format!("{}?wait=true", self.0.url);
        let response = Request::post(url).json(&message)?.send()?.accepted()?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let id = answer.get("id").and_then(Value::as_str);
        Ok(id.unwrap_or(&notice.idempotency_key).to_owned())
    }
}

fn embed(notice: &Notice) -> Value {
    let field = |(name, value): &(String, String)| {
        let value = if value.is_empty() { "-" } else { value };
        json!({"name": message::fit(name, MAX_NAME), "value": message::fit(value, MAX_VALUE), "inline": true})
    };
    let mut description = message::fit(&notice.body, MAX_DESCRIPTION);
    let links: Vec<String> = message::links(notice)
        .into_iter()
        .filter(|(name, url)| *name != "Open" && url.len() < MAX_DESCRIPTION / 8)
        .map(|(name, url)| format!("[{name}]({url})"))
        .collect();
    if !links.is_empty() {
        description = format!("{description}\n{}", links.join(" · "));
    }
    let mut embed = json!({
        "title": message::fit(&message::heading(notice), MAX_TITLE),
        "description": description,
        "color": message::colour(notice),
        "fields": notice.labels.iter().take(MAX_FIELDS).map(field).collect::<Vec<_>>(),
    });
    if let Ok(at) = Timestamp::from_nanosecond(i128::from(notice.at)) {
        embed["timestamp"] = json!(format!("{at:.3}"));
    }
    if let Some((_, url)) = message::links(notice).into_iter().find(|(name, _)| *name == "Open") {
        embed["url"] = json!(url);
    }
    embed
}

export_channel!(Discord);

#[cfg(test)]
mod tests;
