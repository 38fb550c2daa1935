//! `[input]`: which fields of an event a rule reads, and how often it hears of time.

use serde::{Deserialize, Serialize};

use crate::ManifestError;

/// Most fields of a rule.
const MAX_FIELDS: usize = 64;
/// Longest path of a field.
const MAX_PATH: usize = 256;

/// What a rule is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// Fields of an event, in the order of the columns.
    pub fields: Vec<Field>,
    /// How often it hears of time, in event time, ms.
    pub tick_ms: Option<u64>,
}

/// One field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it sits, such as `data.value` or `user_id`.
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

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InputText {
    fields: Vec<Field>,
    tick: Option<String>,
}

impl InputText {
    pub(crate) fn check(self) -> Result<Input, ManifestError> {
        let refuse = |key, reason: String| Err(ManifestError::Value { key, reason });
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
        }
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
    use super::*;

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
