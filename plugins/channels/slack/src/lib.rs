//! Posts to a Slack incoming webhook: a line, and below it an attachment in the colour of the level, made of blocks.

use serde::Deserialize;
use serde_json::{Value, json};
use streamflow_sdk::{Channel, Failure, Notice, State, export_channel, http::Request, message};

/// Slack's limits: the text of a section, the text of a field, and fields of a section.
const MAX_TEXT: usize = 3000;
const MAX_FIELD: usize = 2000;
const MAX_FIELDS: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    mention: Option<String>,
}

struct Slack(Config);

impl Channel for Slack {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        Request::post(&self.0.url)
            .json(&self.message(notice))?
            .send()?
            .accepted()?;
        // A webhook answers `ok` and nothing that names the message.
        Ok(notice.idempotency_key.clone())
    }
}

impl Slack {
    fn message(&self, notice: &Notice) -> Value {
        let heading = escape(&message::heading(notice), MAX_TEXT);
        let text = match &self.0.mention {
            Some(mention) if notice.state == State::Firing && !notice.test => format!("{mention} {heading}"),
            _ => heading.clone(),
        };
        json!({
            "text": text,
            "attachments": [{
                "color": format!("#{:06x}", message::colour(notice)),
                "fallback": heading,
                "blocks": blocks(notice),
            }],
        })
    }
}

fn blocks(notice: &Notice) -> Vec<Value> {
    let mrkdwn = |text: String| json!({"type": "mrkdwn", "text": text});
    let mut blocks = Vec::new();
    let body = if notice.body.trim().is_empty() {
        &notice.title
    } else {
        &notice.body
    };
    blocks.push(json!({"type": "section", "text": mrkdwn(escape(body, MAX_TEXT))}));
    let field = |(name, value): &(String, String)| {
        let value = escape(if value.is_empty() { "-" } else { value }, MAX_FIELD / 2);
        mrkdwn(format!("*{}*\n{value}", escape(name, MAX_FIELD / 4)))
    };
    let fields: Vec<Value> = notice.labels.iter().take(MAX_FIELDS).map(field).collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let link = |(name, url): (&str, &str)| format!("<{}|{name}>", escape(&url.replace('|', "%7C"), MAX_FIELD / 4));
    let mut context: Vec<String> = message::links(notice).into_iter().map(link).collect();
    if !notice.rule.is_empty() {
        context.push(escape(&notice.rule, MAX_FIELD / 4));
    }
    if !context.is_empty() {
        blocks.push(json!({"type": "context", "elements": [mrkdwn(context.join("  ·  "))]}));
    }
    blocks
}

/// Slack gives meaning to these three characters alone. What is cut off is cut between characters, never inside of what stands for one.
fn escape(text: &str, most: usize) -> String {
    let mut escaped = String::new();
    let mut length = 0;
    for c in text.chars() {
        let short = c.to_string();
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => short.as_str(),
        };
        length += piece.chars().count();
        if length >= most {
            escaped.push('…');
            break;
        }
        escaped.push_str(piece);
    }
    escaped
}

export_channel!(Slack);

#[cfg(test)]
mod tests;
