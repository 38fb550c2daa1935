//! Takes the query out of `data.url`, sets `data.path` and `data.slow`, and drops requests of paths that nobody wants to see, such as health checks.

use serde::Deserialize;
use streamflow_sdk::{Events, Output, Schema, Transform, export_schema, export_transform};

/// What may stand in the configuration of an agent's processor; it is checked before the transform is made.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Requests that took longer, in ms, are slow
    #[schema(minimum = 0)]
    slow_ms: f64,
    /// Events of these paths are dropped
    #[serde(default)]
    drop_paths: Vec<String>,
}

struct Requests(Config);

impl Transform for Requests {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }

    fn apply(&mut self, events: &Events) -> Result<Output, String> {
        let (urls, times) = (events.texts("data.url")?, events.floats("data.ms")?);
        // Each URL once, however many events have it.
        let split: Vec<(&str, &str)> = urls.dict().iter().map(split).collect();
        let unwanted: Vec<bool> = split
            .iter()
            .map(|(_, path)| self.0.drop_paths.iter().any(|own| own == path))
            .collect();

        // What is not named stays as it is.
        let mut output = Output::unchanged(events);
        output.keep(|row| !urls.number(row).is_some_and(|number| unwanted[number]));
        output.set_texts_by("data.url", &urls, |number| split.get(number).map(|(url, _)| *url));
        output.set_texts_by("data.path", &urls, |number| split.get(number).map(|(_, path)| *path));
        output.set_booleans("data.slow", |row| times.get(row).map(|ms| ms > self.0.slow_ms));
        Ok(output)
    }
}

/// The URL without its query, and its path.
fn split(url: &str) -> (&str, &str) {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = if host.is_empty() {
        url
    } else {
        host.find('/').map_or("/", |at| &host[at..])
    };
    (url, path)
}

export_transform!(Requests);
export_schema!(Config);

#[cfg(test)]
mod tests;
