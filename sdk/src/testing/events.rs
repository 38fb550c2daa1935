//! Events of a test, and the columns that a plugin is shown of them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Events, Severity,
    bindings::channel::streamflow::plugin::types::{Batch, Column, ColumnData, TextColumn},
};

#[derive(Debug, Deserialize, Default)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) input: Input,
}

#[derive(Debug, Deserialize, Default)]
pub(super) struct Input {
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    /// None: all of it.
    envelope: Option<Vec<String>>,
}

/// What every event has.
const ENVELOPE: [&str; 4] = ["timestamp", "severity", "type", "source"];

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Field {
    pub(super) path: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// An event to show to a plugin, or one that a transform has made.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(super) kind: String,
    source: String,
    pub(super) severity: Severity,
    at_ms: i64,
    pub(super) fields: Map<String, Value>,
}

/// An event of this type from this source, of medium severity, at 2023-11-14T22:13:20Z.
#[must_use]
pub fn event(kind: &str, source: &str) -> Event {
    Event {
        kind: kind.to_owned(),
        source: source.to_owned(),
        severity: Severity::Medium,
        at_ms: 1_700_000_000_000,
        fields: Map::new(),
    }
}

impl Event {
    /// Sets its `data`.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        self.field("data", data)
    }

    /// Sets another field, such as `user_id` or `metadata`.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Sets its severity.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets its time, ms since 1970.
    #[must_use]
    pub const fn at(mut self, ms: i64) -> Self {
        self.at_ms = ms;
        self
    }

    /// The value at a path, such as `data.value`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let keys = keys(path)?;
        let (root, keys) = keys.split_first()?;
        keys.iter()
            .try_fold(self.fields.get(root)?, |value, key| value.get(key))
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The keys of `data.a` or `data["a.b"]`; none when it is no path.
pub(super) fn keys(path: &str) -> Option<Vec<String>> {
    let (mut keys, mut rest) = (Vec::new(), path);
    loop {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() {
            keys.push(name.to_owned());
        }
        rest = match after.strip_prefix('[') {
            Some(quoted) => {
                let mut values = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
                keys.push(values.next()?.ok()?);
                quoted.get(values.byte_offset()..)?.strip_prefix(']')?
            }
            None => after.strip_prefix('.').unwrap_or(""),
        };
        if rest.is_empty() {
            return Some(keys).filter(|keys| !keys.is_empty());
        }
    }
}

impl Manifest {
    /// Reads the text of `plugin.toml`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| format!("plugin.toml: {error}"))?;
        let mut named = manifest.input.envelope.iter().flatten();
        if let Some(name) = named.find(|name| !ENVELOPE.contains(&name.as_str())) {
            let known = ENVELOPE.join(", ");
            return Err(format!("plugin.toml: input.envelope: `{name}` is not {known}"));
        }
        Ok(manifest)
    }
}

impl Input {
    /// What a plugin is shown of the events.
    pub(super) fn batch(&self, events: &[Event]) -> Result<Events, String> {
        // What the manifest leaves out is a column without rows.
        let shown = |name: &str| {
            let named = |names: &Vec<String>| names.iter().any(|own| own == name);
            let rows = if self.envelope.as_ref().is_none_or(named) {
                events
            } else {
                &[]
            };
            rows.iter()
        };
        Ok(Events::new(Batch {
            count: u32::try_from(events.len()).map_err(|error| error.to_string())?,
            time: shown("timestamp")
                .map(|event| event.at_ms.saturating_mul(1_000_000))
                .collect(),
            severity: shown("severity").map(|event| event.severity as u8).collect(),
            kind: texts(shown("type").map(|event| Some(event.kind.as_str()))),
            source: texts(shown("source").map(|event| Some(event.source.as_str()))),
            columns: self
                .fields
                .iter()
                .map(|field| column(field, events))
                .collect::<Result<_, _>>()?,
        }))
    }
}

fn column(field: &Field, events: &[Event]) -> Result<Column, String> {
    let values: Vec<Option<&Value>> = events.iter().map(|event| event.get(&field.path)).collect();
    let each =
        |has: &dyn Fn(&Value) -> bool| -> Vec<bool> { values.iter().map(|value| value.is_some_and(has)).collect() };
    let (data, present) = match field.kind.as_str() {
        "boolean" => {
            let flag = |value: &Option<&Value>| u8::from(value.and_then(Value::as_bool).unwrap_or(false));
            (
                ColumnData::Boolean(values.iter().map(flag).collect()),
                each(&Value::is_boolean),
            )
        }
        "integer" => {
            let number = |value: &Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
            (
                ColumnData::Integer(values.iter().map(number).collect()),
                each(&Value::is_i64),
            )
        }
        "float" => {
            let number = |value: &Option<&Value>| value.and_then(Value::as_f64).unwrap_or(0.0);
            (
                ColumnData::Float(values.iter().map(number).collect()),
                each(&Value::is_number),
            )
        }
        "text" => (
            ColumnData::Text(texts(values.iter().map(|value| value.and_then(Value::as_str)))),
            each(&Value::is_string),
        ),
        other => {
            return Err(format!(
                "plugin.toml: input.fields: `{other}` is not boolean, integer, float or text"
            ));
        }
    };
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    Ok(Column {
        path: field.path.clone(),
        data,
        present: Some(present.chunks(8).map(byte).collect()),
    })
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> TextColumn {
    let (mut dict, mut index) = (Vec::<String>::new(), Vec::new());
    for value in values {
        let text = value.unwrap_or_default();
        let place = dict.iter().position(|own| own == text).unwrap_or_else(|| {
            dict.push(text.to_owned());
            dict.len() - 1
        });
        index.push(u32::try_from(place).unwrap_or(u32::MAX));
    }
    let end = |end: &mut usize, text: &String| {
        *end += text.len();
        Some(u32::try_from(*end).unwrap_or(u32::MAX))
    };
    let ends = dict.iter().scan(0, end).collect();
    TextColumn {
        texts: dict.concat(),
        ends,
        index,
    }
}
