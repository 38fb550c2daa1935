//! What a field may hold, and how a rejection says so.

use crate::event::{MAX_DEPTH, MAX_OBJECT, MAX_TAGS, MAX_TEXT, MAX_TYPE, Rejection, Severity, time};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

/// The fields of an event, for the message about one that is not.
const FIELDS: &str = "id, type, source, timestamp, severity, data, metadata, correlation_id, session_id, user_id, tags";

pub(super) fn not_utf8(error: std::str::Utf8Error) -> Rejection {
    Rejection::new(
        "event",
        format!("not UTF-8: byte {} begins no character", error.valid_up_to()),
    )
}

pub(super) fn not_json(field: &str, error: &serde_json::Error) -> Rejection {
    Rejection::new(field, format!("not valid JSON: {error}"))
}

pub(super) fn unknown_field(name: &str) -> Rejection {
    let shown: String = name.chars().take(64).collect();
    Rejection::new(
        shown,
        format!("unknown field; allowed are {FIELDS}; anything else belongs into data"),
    )
}

pub(super) fn batch_full() -> Rejection {
    Rejection::new("batch", "the batch is full: finish it first")
}

pub(super) fn too_deep(field: &str) -> Rejection {
    Rejection::new(field, format!("nested too deeply: at most {MAX_DEPTH} levels"))
}

pub(super) fn too_large(field: &str, len: usize) -> Rejection {
    Rejection::new(field, format!("{len} bytes as JSON: at most {MAX_OBJECT}"))
}

/// Checks `type`.
pub(super) fn kind(text: &str) -> Result<(), Rejection> {
    sized("type", text, 1, MAX_TYPE)
}

/// Checks `source`.
pub(super) fn source(text: &str) -> Result<(), Rejection> {
    sized("source", text, 1, MAX_TEXT)
}

/// Checks one of the id strings.
pub(super) fn text(field: &str, text: &str) -> Result<(), Rejection> {
    sized(field, text, 0, MAX_TEXT)
}

fn sized(field: &str, text: &str, min: usize, max: usize) -> Result<(), Rejection> {
    match text.len() {
        0 if min > 0 => Err(Rejection::new(
            field,
            format!("empty: {min} to {max} bytes are allowed"),
        )),
        len if len > max => Err(Rejection::new(
            field,
            format!("{len} bytes long: at most {max} are allowed"),
        )),
        _ => Ok(()),
    }
}

/// Checks `tags`.
pub(super) fn tags(tags: &[String]) -> Result<(), Rejection> {
    if tags.len() > MAX_TAGS {
        return Err(Rejection::new(
            "tags",
            format!("{} tags: at most {MAX_TAGS} are allowed", tags.len()),
        ));
    }
    tags.iter()
        .enumerate()
        .try_for_each(|(index, tag)| text(&format!("tags[{index}]"), tag))
}

/// Checks a time in milliseconds.
pub(super) fn timestamp(ms: i64) -> Result<i64, Rejection> {
    if time::is_representable(ms) {
        return Ok(ms);
    }
    Err(Rejection::new("timestamp", "out of range: years 1 to 9999 are allowed"))
}

/// Reads `timestamp`.
pub(super) fn read_timestamp(json: &RawValue) -> Result<i64, Rejection> {
    let fail = || Rejection::new("timestamp", "must be an RFC 3339 time or whole milliseconds since 1970");
    match typed::<Value>(json) {
        Some(Value::String(text)) => time::parse_rfc3339(&text).ok_or_else(fail),
        Some(Value::Number(ms)) => timestamp(ms.as_i64().ok_or_else(fail)?),
        _ => Err(fail()),
    }
}

/// Reads `id`.
pub(super) fn read_id(json: &RawValue) -> Result<Uuid, Rejection> {
    let id = typed::<String>(json).and_then(|text| Uuid::try_parse(&text).ok());
    id.ok_or_else(|| Rejection::new("id", "must be a UUID"))
}

/// Reads `severity`.
pub(super) fn read_severity(json: &RawValue) -> Result<Severity, Rejection> {
    let severity = typed::<String>(json).and_then(|text| text.parse().ok());
    severity.ok_or_else(|| Rejection::new("severity", crate::event::UnknownSeverity.to_string()))
}

/// Reads a string.
pub(super) fn read_text(field: &str, json: &RawValue) -> Result<String, Rejection> {
    typed(json).ok_or_else(|| Rejection::new(field, "must be a string"))
}

/// Reads `tags`.
pub(super) fn read_tags(json: &RawValue) -> Result<Vec<String>, Rejection> {
    let list: Vec<String> = typed(json).ok_or_else(|| Rejection::new("tags", "must be an array of strings"))?;
    tags(&list)?;
    Ok(list)
}

fn typed<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}
