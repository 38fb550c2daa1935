//! `[input]`: which fields of an event a rule or a transform reads, and how often a rule hears of time.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Envelope, EnvelopeField, Kind, ManifestError};

/// Most fields of a plugin.
const MAX_FIELDS: usize = 64;
/// Longest path of a field.
const MAX_PATH: usize = 256;

/// Of a field that the operator names: the rest is a key of the configuration.
const FROM_CONFIG: &str = "config:";

/// What a rule or a transform is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// Fields of an event, in the order of the columns.
    pub fields: Vec<Field>,
    /// Which of the fields that every event has are there besides.
    pub envelope: Envelope,
    /// How often it hears of time, in event time, ms.
    pub tick_ms: Option<u64>,
}

/// One field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it sits, such as `data.value` or `user_id`. `config:KEY` stands for what the configuration of a transform names under this key.
    pub path: String,
    /// As what it is read; values of other types are absent.
    #[serde(rename = "type")]
    pub kind: FieldType,
}

/// As what a field is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// `true` or `false`.
    Boolean,
    /// A whole number that fits 64 bits.
    Integer,
    /// Any number.
    Float,
    /// A string.
    Text,
}

/// Why the fields that a configuration names cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config.{key}: {reason}")]
pub struct ColumnsError {
    /// The key of the configuration.
    pub key: String,
    /// What is wrong with its value.
    pub reason: String,
}

impl Field {
    /// Whether the configuration says which field it is.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.path.starts_with(FROM_CONFIG)
    }
}

impl Input {
    /// The fields of an instance with this configuration, in the order of the columns: those of the manifest, and then those that the configuration
    /// names where the manifest has `config:KEY`, as a text or a list of texts. Whether a path can be one is not looked at.
    ///
    /// # Errors
    /// When it names something else, or too many.
    pub fn columns(&self, config: &Value) -> Result<Vec<Field>, ColumnsError> {
        let chosen = |field: &&Field| field.is_chosen();
        let mut columns: Vec<Field> = self.fields.iter().filter(|field| !chosen(field)).cloned().collect();
        for field in self.fields.iter().filter(chosen) {
            let key = field.path.strip_prefix(FROM_CONFIG).unwrap_or(&field.path);
            let refuse = |reason: String| ColumnsError {
                key: key.to_owned(),
                reason,
            };
            for path in named(config.get(key)).ok_or_else(|| refuse("not a path or a list of paths".to_owned()))? {
                if path.is_empty() || path.len() > MAX_PATH {
                    return Err(refuse(format!("a path has 1 to {MAX_PATH} bytes")));
                }
                match columns.iter().find(|known| known.path == path) {
                    Some(known) if known.kind == field.kind => {}
                    Some(_) => return Err(refuse(format!("`{path}` is read as something else already"))),
                    None => columns.push(Field {
                        path: path.to_owned(),
                        kind: field.kind,
                    }),
                }
                if columns.len() > MAX_FIELDS {
                    return Err(refuse(format!("more than {MAX_FIELDS} fields")));
                }
            }
        }
        Ok(columns)
    }
}

/// None when it is something else than paths.
fn named(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(path)) => Some(vec![path.as_str()]),
        Some(Value::Array(paths)) => paths.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InputText {
    fields: Vec<Field>,
    envelope: Option<Vec<EnvelopeField>>,
    tick: Option<String>,
}

impl InputText {
    pub(crate) fn check(self, plugin: Kind) -> Result<Input, ManifestError> {
        let refuse = |key, reason: String| Err(ManifestError::Value { key, reason });
        if plugin == Kind::Channel && !(self.fields.is_empty() && self.envelope.is_none() && self.tick.is_none()) {
            return refuse("input", "only rules and transforms have one".to_owned());
        }
        if plugin != Kind::Rule && self.tick.is_some() {
            return refuse("input.tick", "only rules hear of time".to_owned());
        }
        if self.fields.len() > MAX_FIELDS {
            return refuse("input.fields", format!("more than {MAX_FIELDS}"));
        }
        for (index, Field { path, .. }) in self.fields.iter().enumerate() {
            if path.is_empty() || path.len() > MAX_PATH {
                return refuse("input.fields", format!("a path has 1 to {MAX_PATH} bytes"));
            }
            if self.fields.iter().take(index).any(|earlier| earlier.path == *path) {
                return refuse("input.fields", format!("`{path}` is there twice"));
            }
            if plugin != Kind::Transform && path.starts_with(FROM_CONFIG) {
                return refuse(
                    "input.fields",
                    format!("`{path}`: only transforms take paths from their configuration"),
                );
            }
        }
        let envelope = match self.envelope.as_deref().map(Envelope::of) {
            None => Envelope::ALL,
            Some(Ok(envelope)) => envelope,
            Some(Err(field)) => return refuse("input.envelope", format!("`{}` is there twice", field.name())),
        };
        let tick_ms = match &self.tick {
            None => None,
            Some(text) => match milliseconds(text) {
                Some(ms) => Some(ms),
                None => {
                    return refuse(
                        "input.tick",
                        format!("`{text}` is not a time such as 10s, 5m or 1h, of at least 1s and at most 1d"),
                    );
                }
            },
        };
        Ok(Input {
            fields: self.fields,
            envelope,
            tick_ms,
        })
    }
}

/// `10s`, `5m`, `1h`, `1d`.
fn milliseconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number
        .checked_mul(factor)
        .filter(|ms| (1_000..=86_400_000).contains(ms))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(path: &str) -> Field {
        Field {
            path: path.to_owned(),
            kind: FieldType::Text,
        }
    }

    #[test]
    fn the_operator_names_fields_of_a_transform() {
        let input = Input {
            fields: vec![text("data.a"), text("config:fields"), text("config:more")],
            ..Input::default()
        };
        let paths = |config: Value| -> Result<Vec<String>, String> {
            let columns = input.columns(&config).map_err(|error| error.to_string())?;
            Ok(columns.into_iter().map(|field| field.path).collect())
        };
        assert_eq!(paths(json!({})).unwrap(), ["data.a"]);
        let both = json!({"fields": ["data.b", "data.a", "user_id"], "more": "data.b"});
        assert_eq!(paths(both).unwrap(), ["data.a", "data.b", "user_id"]);
        assert_eq!(
            paths(json!({"fields": [1]})).unwrap_err(),
            "config.fields: not a path or a list of paths"
        );
        let twice = Input {
            fields: vec![text("config:config:more")],
            ..Input::default()
        };
        let error = twice.columns(&json!({"config:more": 1})).unwrap_err();
        assert_eq!(error.key, "config:more");
        assert!(paths(json!({"more": ""})).unwrap_err().starts_with("config.more: "));
        let many: Vec<String> = (0..MAX_FIELDS).map(|n| format!("data.f{n}")).collect();
        assert!(paths(json!({"fields": many})).unwrap_err().contains("more than"));
        let as_number = Input {
            fields: vec![
                text("data.a"),
                Field {
                    kind: FieldType::Float,
                    ..text("config:n")
                },
            ],
            ..Input::default()
        };
        assert!(as_number.columns(&json!({"n": "data.a"})).is_err());
    }

    #[test]
    fn times_are_read_and_bounded() {
        for (text, ms) in [
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("1d", Some(86_400_000)),
        ] {
            assert_eq!(milliseconds(text), ms, "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "10",
            "2d",
            "-1s",
            "1.5s",
            "10ms",
            "99999999999999999999d",
            "1ü",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
