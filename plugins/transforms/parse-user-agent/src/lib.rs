//! Reads browser, operating system and kind of device out of a user agent, once for each that there is among the events of a call.

use serde::Deserialize;
use streamflow_sdk::{Events, Output, Schema, Transform, export_schema, export_transform};

mod agent;

use agent::Agent;

#[derive(Deserialize, Schema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Path of the user agent
    #[schema(min_length = 1, default = "data.user_agent")]
    field: String,
    /// Path below which browser, browser_version, os, os_version and device are set
    #[schema(min_length = 1, default = "data.client")]
    into: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            field: "data.user_agent".to_owned(),
            into: "data.client".to_owned(),
        }
    }
}

struct ParseUserAgent(Config);

impl Transform for ParseUserAgent {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        for (name, _) in agent::PARTS {
            Output::room(&format!("{}.{name}", config.into)).map_err(|error| format!("into: {error}"))?;
        }
        Ok(Self(config))
    }

    fn apply(&mut self, events: &Events) -> Result<Output, String> {
        let texts = events.texts(&self.0.field)?;
        let agents: Vec<Agent<'_>> = texts.dict().iter().map(agent::parse).collect();
        let mut output = Output::unchanged(events);
        for (name, part) in agent::PARTS {
            let path = format!("{}.{name}", self.0.into);
            output.set_texts_by(path, &texts, |number| agents.get(number).and_then(part));
        }
        Ok(output)
    }
}

export_transform!(ParseUserAgent);
export_schema!(Config);

#[cfg(test)]
mod tests;
