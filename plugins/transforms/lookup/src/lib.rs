//! Adds what a table says of a value: which site a network is, which team a host's name, which product an article's number. The longest match wins.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use streamflow_sdk::{Events, Output, Schema, Transform, export_schema, export_transform};

mod table;

use table::Table;

/// Most names of attributes; an answer may set 64 fields.
const MAX_NAMES: usize = 32;

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Path of the value that is looked up, such as data.ip
    #[schema(min_length = 1)]
    field: String,
    /// Path below which the attributes are set
    #[serde(default = "below")]
    #[schema(min_length = 1, default = "data.lookup")]
    into: String,
    /// How keys are compared with the value
    #[serde(default)]
    #[schema(default = "exact")]
    by: By,
    /// Keys and what is known of them
    #[schema(min_items = 1, max_items = 10_000)]
    table: Vec<Entry>,
    /// Attributes of values that no key matches
    #[serde(default)]
    otherwise: BTreeMap<String, String>,
}

#[derive(Deserialize, Schema, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum By {
    /// The value is the key.
    #[default]
    Exact,
    /// The value begins with the key.
    Prefix,
    /// The value is an address in the key's network, such as 10.1.0.0/16.
    Network,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Value, prefix or network
    #[schema(min_length = 1, max_length = 256)]
    key: String,
    /// Attributes, by name
    set: BTreeMap<String, String>,
}

fn below() -> String {
    "data.lookup".to_owned()
}

struct Lookup {
    field: String,
    table: Table,
    /// By number of the entry.
    attributes: Vec<BTreeMap<String, String>>,
    otherwise: BTreeMap<String, String>,
    /// Names of all attributes, and the paths where they are set.
    names: Vec<(String, String)>,
}

impl Transform for Lookup {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        let (keys, attributes): (Vec<String>, Vec<_>) =
            config.table.into_iter().map(|Entry { key, set }| (key, set)).unzip();
        let all = attributes.iter().chain([&config.otherwise]).flat_map(BTreeMap::keys);
        let names: BTreeSet<&String> = all.collect();
        if names.len() > MAX_NAMES {
            return Err(format!("{} names of attributes; {MAX_NAMES} are allowed", names.len()));
        }
        let path = |name: &&String| {
            let path = format!("{}[{}]", config.into, serde_json::json!(name));
            let room = Output::room(&path).map_err(|error| format!("into: {error}"))?;
            let mut values = attributes
                .iter()
                .chain([&config.otherwise])
                .filter_map(|set| set.get(*name));
            match values.find(|value| value.len() > room) {
                Some(long) => Err(format!("`{name}`: {} bytes; at most {room} are allowed", long.len())),
                None => Ok(((*name).clone(), path)),
            }
        };
        Ok(Self {
            field: config.field,
            names: names.iter().map(path).collect::<Result<_, _>>()?,
            table: Table::new(config.by, &keys)?,
            otherwise: config.otherwise,
            attributes,
        })
    }

    fn apply(&mut self, events: &Events) -> Result<Output, String> {
        let texts = events.texts(&self.field)?;
        let found: Vec<&BTreeMap<String, String>> = texts
            .dict()
            .iter()
            .map(|text| {
                self.table
                    .find(text)
                    .and_then(|entry| self.attributes.get(entry))
                    .unwrap_or(&self.otherwise)
            })
            .collect();
        let mut output = Output::unchanged(events);
        for (name, path) in &self.names {
            output.set_texts_by(path, &texts, |number| found.get(number)?.get(name));
        }
        Ok(output)
    }
}

export_transform!(Lookup);
export_schema!(Config);

#[cfg(test)]
mod tests;
