//! Creates, acknowledges and closes Opsgenie alerts (Alert API). One incident of the hub is one alert there, by its alias.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamflow_sdk::{Channel, Failure, Level, Notice, State, export_channel, http::Request, message};

const URL: &str = "https://api.opsgenie.com";

/// Opsgenie's limits, in characters.
const MAX_MESSAGE: usize = 130;
const MAX_ALIAS: usize = 512;
const MAX_DESCRIPTION: usize = 15_000;
/// All details together have 8,000: so many labels, and three links.
const MAX_DETAILS: usize = 20;
const MAX_DETAIL: usize = 250;
const MAX_LINK: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    api_key: String,
    team: Option<String>,
    url: Option<String>,
}

struct Opsgenie(Config);

impl Channel for Opsgenie {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        match notice.state {
            State::Firing | State::Stale => {
                let request = self.post("/v2/alerts", &self.alert(notice))?;
                if notice.test {
                    // Nobody should be left with an alert that was a test.
                    self.follow_up(notice, "close")?;
                }
                Ok(request)
            }
            State::Acknowledged => self.follow_up(notice, "acknowledge"),
            State::Resolved => self.follow_up(notice, "close"),
        }
    }
}

impl Opsgenie {
    fn alert(&self, notice: &Notice) -> Value {
        let detail =
            |(name, value): &(String, String)| (message::fit(name, 64), json!(message::fit(value, MAX_DETAIL)));
        let mut details: Map<String, Value> = notice.labels.iter().take(MAX_DETAILS).map(detail).collect();
        // A link that is cut leads nowhere.
        let links = message::links(notice).into_iter();
        for (name, url) in links.filter(|(_, url)| url.chars().count() <= MAX_LINK) {
            details.insert(name.to_lowercase(), json!(url));
        }
        let mut alert = json!({
            "message": message::fit(&message::heading(notice), MAX_MESSAGE),
            "alias": alias(notice),
            "description": message::fit(&notice.body, MAX_DESCRIPTION),
            "tags": ["streamflow", message::level(notice.level)],
            "details": details,
            "entity": message::fit(&notice.rule, 512),
            "source": "StreamFlow",
            "priority": match notice.level {
                Level::Critical => "P1",
                Level::Error => "P2",
                Level::Warning => "P3",
                Level::Info => "P5",
            },
        });
        if let Some(team) = &self.0.team {
            alert["responders"] = json!([{"name": team, "type": "team"}]);
        }
        alert
    }

    fn follow_up(&self, notice: &Notice, what: &str) -> Result<String, Failure> {
        let path = format!("/v2/alerts/{}/{what}?identifierType=alias", encode(&alias(notice)));
        self.post(
            &path,
            &json!({"source": "StreamFlow", "note": message::fit(&notice.title, 1000)}),
        )
    }

    /// Answers the id of the request, which Opsgenie works through later.
    fn post(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let url = message::join(self.0.url.as_deref().unwrap_or(URL), path);
        let request = Request::post(url).header("authorization", format!("GenieKey {}", self.0.api_key));
        let response = request.json(body)?.send()?.accepted()?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok(answer
            .get("requestId")
            .and_then(Value::as_str)
            .unwrap_or("accepted")
            .to_owned())
    }
}

fn alias(notice: &Notice) -> String {
    message::identity(notice, MAX_ALIAS)
}

/// As part of a path: keys hold `/` and `=`.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

export_channel!(Opsgenie);

#[cfg(test)]
mod tests;
