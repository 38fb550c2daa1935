//! Sends push notifications through an ntfy server: title, priority, tags, and what a tap opens.

use serde::Deserialize;
use serde_json::{Value, json};
use streamflow_sdk::{Channel, Failure, Level, Notice, State, export_channel, http::Request, message};

const URL: &str = "https://ntfy.sh";

/// What a server takes as a message; a longer one would arrive as a file.
const MAX_MESSAGE: usize = 4096;
const MAX_TITLE: usize = 250;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    topic: String,
    token: Option<String>,
    url: Option<String>,
}

struct Push(Config);

impl Channel for Push {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        // As JSON a message goes to the root of the server; as headers it could not hold every character.
        let url = message::join(self.0.url.as_deref().unwrap_or(URL), "/");
        let mut request = Request::post(url).json(&self.message(notice))?;
        if let Some(token) = &self.0.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send()?.accepted()?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let id = answer.get("id").and_then(Value::as_str);
        Ok(id.unwrap_or(&notice.idempotency_key).to_owned())
    }
}

impl Push {
    fn message(&self, notice: &Notice) -> Value {
        let body = if notice.body.trim().is_empty() {
            &notice.title
        } else {
            &notice.body
        };
        let mut push = json!({
            "topic": self.0.topic,
            "title": message::fit(&message::heading(notice), MAX_TITLE),
            "message": message::fit_bytes(body, MAX_MESSAGE),
            "priority": priority(notice),
            "tags": [tag(notice), message::level(notice.level)],
        });
        let links = message::links(notice);
        if let Some((_, url)) = links.first() {
            push["click"] = json!(url);
        }
        let action = |(label, url): &(&str, &str)| json!({"action": "view", "label": label, "url": url});
        push["actions"] = links.iter().take(3).map(action).collect();
        push
    }
}

/// 1 to 5; 4 and 5 make a sound even where others do not.
const fn priority(notice: &Notice) -> u8 {
    match (notice.state, notice.level) {
        (State::Firing, Level::Critical) => 5,
        (State::Firing, Level::Error) => 4,
        (State::Firing, Level::Warning) => 3,
        _ => 2,
    }
}

/// Names of emojis, which ntfy puts before the title.
const fn tag(notice: &Notice) -> &'static str {
    match (notice.state, notice.level) {
        (State::Resolved, _) => "white_check_mark",
        (State::Acknowledged, _) => "eyes",
        (_, Level::Critical) => "rotating_light",
        (_, Level::Error) => "red_circle",
        (_, Level::Warning) => "warning",
        (_, Level::Info) => "information_source",
    }
}

export_channel!(Push);

#[cfg(test)]
mod tests;
