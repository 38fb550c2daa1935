//! Posts an adaptive card to a Microsoft Teams workflow (`Post to a channel when a webhook request is received`).

use serde::Deserialize;
use serde_json::{Value, json};
use streamflow_sdk::{Channel, Failure, Level, Notice, State, export_channel, http::Request, message};

/// Teams takes messages of up to 28 KB; a card with shorter texts is tried until it fits.
const MAX_MESSAGE: usize = 28_000;
const TEXTS: [usize; 4] = [8000, 3000, 800, 100];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
}

struct Teams(Config);

impl Channel for Teams {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let mut request = Request::post(&self.0.url);
        for most in TEXTS {
            request = Request::post(&self.0.url).json(&card(notice, most))?;
            if request.body.len() <= MAX_MESSAGE {
                break;
            }
        }
        let response = request.send()?.accepted()?;
        let run = response.header_value("x-ms-workflow-run-id");
        Ok(run.unwrap_or(&notice.idempotency_key).to_owned())
    }
}

/// `most` characters of text, and facts in proportion.
fn card(notice: &Notice, most: usize) -> Value {
    let heading = message::fit(&message::heading(notice), most.min(500));
    let mut body = vec![json!({
        "type": "TextBlock", "text": heading, "size": "Large", "weight": "Bolder", "wrap": true, "color": colour(notice),
    })];
    if !notice.body.trim().is_empty() {
        // A single line end is none in a TextBlock.
        let text = message::fit(&notice.body, most).replace('\n', "\n\n");
        body.push(json!({"type": "TextBlock", "text": text, "wrap": true}));
    }
    let fact = |(name, value): &(String, String)| json!({"title": message::fit(name, most.min(100)), "value": message::fit(value, most.min(300))});
    let facts: Vec<Value> = notice.labels.iter().take(most / 100).map(fact).collect();
    if !facts.is_empty() {
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    let action = |(title, url): (&str, &str)| json!({"type": "Action.OpenUrl", "title": title, "url": url});
    let actions: Vec<Value> = message::links(notice).into_iter().map(action).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
                "actions": actions,
            },
        }],
    })
}

/// Cards know names of colours alone.
const fn colour(notice: &Notice) -> &'static str {
    match (notice.state, notice.level) {
        (State::Resolved, _) => "Good",
        (_, Level::Info) => "Accent",
        (_, Level::Warning) => "Warning",
        (_, Level::Error | Level::Critical) => "Attention",
    }
}

export_channel!(Teams);

#[cfg(test)]
mod tests;
