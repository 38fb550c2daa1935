//! Opens, acknowledges and resolves PagerDuty incidents (Events API v2). One incident of the hub is one of PagerDuty's, by its `dedup_key`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use streamflow_sdk::{Channel, Failure, Notice, State, export_channel, http::Request, message};

const URL: &str = "https://events.pagerduty.com";

/// PagerDuty's limits, in characters.
const MAX_SUMMARY: usize = 1024;
const MAX_KEY: usize = 255;
/// The whole event has 512 KB at most; the text is the part that grows.
const MAX_TEXT: usize = 16_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    routing_key: String,
    url: Option<String>,
}

struct PagerDuty(Config);

impl Channel for PagerDuty {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let action = match notice.state {
            State::Firing | State::Stale => "trigger",
            State::Acknowledged => "acknowledge",
            State::Resolved => "resolve",
        };
        let key = self.send(notice, action)?;
        if notice.test && action == "trigger" {
            // Nobody should be left with an incident that was a test.
            self.send(notice, "resolve")?;
        }
        Ok(key)
    }
}

impl PagerDuty {
    fn send(&self, notice: &Notice, action: &str) -> Result<String, Failure> {
        let url = message::join(self.0.url.as_deref().unwrap_or(URL), "/v2/enqueue");
        let mut event =
            json!({"routing_key": self.0.routing_key, "event_action": action, "dedup_key": dedup_key(notice)});
        if action == "trigger" {
            describe(&mut event, notice);
        }
        let response = Request::post(url).json(&event)?.send()?.accepted()?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let key = answer.get("dedup_key").and_then(Value::as_str);
        Ok(key.map_or_else(|| dedup_key(notice), ToOwned::to_owned))
    }
}

/// The incident's own key, so that whatever happens to it happens to the same incident there.
fn dedup_key(notice: &Notice) -> String {
    message::identity(notice, MAX_KEY)
}

fn describe(event: &mut Value, notice: &Notice) {
    let label = |name: &str| {
        notice
            .labels
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    };
    let source = ["source", "host", "instance"].into_iter().find_map(label);
    let mut details: Map<String, Value> = notice
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    details.insert("description".to_owned(), json!(message::fit(&notice.body, MAX_TEXT)));
    details.insert("rule".to_owned(), json!(notice.rule));
    if let Some(value) = notice.value {
        details.insert("value".to_owned(), json!(value));
    }
    event["payload"] = json!({
        "summary": message::fit(&message::heading(notice), MAX_SUMMARY),
        "source": message::fit(source.filter(|text| !text.is_empty()).unwrap_or("streamflow"), MAX_SUMMARY),
        "severity": message::level(notice.level),
        "class": notice.rule,
        "custom_details": details,
    });
    if let Ok(at) = Timestamp::from_nanosecond(i128::from(notice.at)) {
        event["payload"]["timestamp"] = json!(format!("{at:.3}"));
    }
    event["client"] = json!("StreamFlow");
    let links = message::links(notice);
    if let Some((_, url)) = links.first() {
        event["client_url"] = json!(url);
    }
    event["links"] = links
        .iter()
        .map(|(text, href)| json!({"href": href, "text": text}))
        .collect();
}

export_channel!(PagerDuty);

#[cfg(test)]
mod tests;
