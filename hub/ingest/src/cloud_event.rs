//! CloudEvents 1.0 in its three HTTP forms, turned into the text of our own event.
//!
//! `id`, `type`, `source`, `time` and `data` become the fields of the same meaning; the extensions `severity`,
//! `correlationid`, `sessionid` and `userid` too; everything else (`subject`, `dataschema`, other extensions) stands in
//! `metadata`. An `id` that is not a UUID is kept as `metadata.id`, and the event's own id is derived from `source` and
//! `id`, which together are unique by the specification: so sending it twice is noticed.

use std::{borrow::Cow, collections::BTreeMap};

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};
use streamflow_web::ApiError;
use uuid::Uuid;

type Attributes<'a> = BTreeMap<Cow<'a, str>, Cow<'a, RawValue>>;

#[derive(Serialize)]
struct Text<'a> {
    #[serde(flatten)]
    fields: BTreeMap<&'static str, Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: Attributes<'a>,
}

/// A structured event or an element of a batch.
///
/// # Errors
/// When it is not a JSON object, or of another version.
pub(crate) fn structured(raw: &RawValue) -> Result<Vec<u8>, ApiError> {
    let attributes: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| ApiError::validation(format!("not a CloudEvent: {error}")))?;
    event(
        attributes
            .into_iter()
            .map(|(name, value)| (name, Cow::Borrowed(value)))
            .collect(),
    )
}

/// An event whose attributes are `ce-…` headers and whose data is the body.
///
/// # Errors
/// When the body is neither JSON nor text, or the event of another version.
pub(crate) fn binary(headers: &HeaderMap, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut attributes = Attributes::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix("ce-") {
            let text = percent_decoded(value.as_bytes())
                .ok_or_else(|| ApiError::validation(format!("the header ce-{name} is not UTF-8")))?;
            attributes.insert(Cow::Owned(name.to_owned()), Cow::Owned(raw(&text)?));
        }
    }
    if !body.is_empty() {
        let json = content_type.is_empty() || content_type == "application/json" || content_type.ends_with("+json");
        let data = if json {
            serde_json::from_slice::<Box<RawValue>>(body).map_err(|error| malformed(&error))?
        } else {
            raw(std::str::from_utf8(body)
                .map_err(|_| ApiError::unsupported("the body of a CloudEvent must be JSON or UTF-8 text"))?)?
        };
        attributes.insert(Cow::Borrowed("data"), Cow::Owned(data));
        if !content_type.is_empty() {
            attributes.insert(Cow::Borrowed("datacontenttype"), Cow::Owned(raw(content_type)?));
        }
    }
    event(attributes)
}

/// 400 with the place of the mistake.
pub(crate) fn malformed(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let (line, column) = (error.line(), error.column());
    ApiError::bad_request(format!("not valid JSON: {reason} at line {line}, column {column}"))
        .with_details(serde_json::json!({"line": line, "column": column}))
}

fn event(mut attributes: Attributes<'_>) -> Result<Vec<u8>, ApiError> {
    let version = attributes.remove("specversion");
    if version.as_deref().map(RawValue::get) != Some("\"1.0\"") {
        return Err(ApiError::validation("`specversion` must be \"1.0\"")
            .with_details(serde_json::json!({"field": "specversion"})));
    }
    let mut fields = BTreeMap::new();
    if let (Some(id), Some(source)) = (
        attributes.get("id").and_then(|id| string(id)),
        attributes.get("source").and_then(|source| string(source)),
    ) && Uuid::try_parse(&id).is_err()
    {
        fields.insert("id", Cow::Owned(raw(&derived_id(&source, &id).to_string())?));
    }
    const NAMES: [(&str, &str); 7] = [
        ("type", "type"),
        ("source", "source"),
        ("time", "timestamp"),
        ("severity", "severity"),
        ("correlationid", "correlation_id"),
        ("sessionid", "session_id"),
        ("userid", "user_id"),
    ];
    for (theirs, ours) in NAMES {
        if let Some(value) = attributes.remove(theirs) {
            fields.insert(ours, value);
        }
    }
    if !fields.contains_key("id")
        && let Some(id) = attributes.remove("id")
    {
        fields.insert("id", id);
    }
    if let Some(data) = attributes.remove("data") {
        let object = data.get().starts_with('{');
        fields.insert("data", if object { data } else { wrapped("value", &data)? });
    } else if let Some(data) = attributes.remove("data_base64") {
        fields.insert("data", wrapped("base64", &data)?);
    }
    serde_json::to_vec(&Text {
        fields,
        metadata: attributes,
    })
    .map_err(ApiError::internal)
}

/// Name-based, version 8: a UUIDv5 would need SHA-1.
fn derived_id(source: &str, id: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(source)
        .chain_update([0])
        .chain_update(id)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn raw(text: &str) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(text).map_err(ApiError::internal)
}

fn wrapped(name: &str, value: &RawValue) -> Result<Cow<'static, RawValue>, ApiError> {
    to_raw_value(&BTreeMap::from([(name, value)]))
        .map(Cow::Owned)
        .map_err(ApiError::internal)
}

fn percent_decoded(value: &[u8]) -> Option<String> {
    let digit = |at: usize| value.get(at).and_then(|d| char::from(*d).to_digit(16));
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high << 4 | low).ok()?);
                at += 3;
            }
            _ => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mapped(event: &Value) -> Value {
        serde_json::from_slice(&structured(&to_raw_value(event).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn attributes_become_fields_and_the_rest_metadata() {
        let id = "0190d6c4-0000-7000-8000-000000000001";
        let event = json!({"specversion": "1.0", "id": id, "type": "t", "source": "/s", "time": "2026-01-01T00:00:00Z", "subject": "x",
            "severity": "high", "traceparent": "00-1", "data": {"a": 1}});
        assert_eq!(
            mapped(&event),
            json!({"id": id, "type": "t", "source": "/s", "timestamp": "2026-01-01T00:00:00Z", "severity": "high", "data": {"a": 1},
                "metadata": {"subject": "x", "traceparent": "00-1"}})
        );
    }

    #[test]
    fn an_id_of_another_kind_is_derived_and_kept() {
        let event =
            |source: &str| json!({"specversion": "1.0", "id": "42", "type": "t", "source": source, "data": [1]});
        let (a, b) = (mapped(&event("a")), mapped(&event("b")));
        assert_eq!(a, mapped(&event("a")));
        assert_ne!(a["id"], b["id"]);
        assert_eq!(
            (&a["metadata"]["id"], &a["data"]),
            (&json!("42"), &json!({"value": [1]}))
        );
        assert!(structured(&to_raw_value(&json!({"id": "1"})).unwrap()).is_err());
    }

    #[test]
    fn headers_and_body_make_an_event() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-type", "t"),
            ("ce-source", "caf%C3%A9"),
            ("host", "h"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let event: Value = serde_json::from_slice(&binary(&headers, "text/plain", b"hello").unwrap()).unwrap();
        assert_eq!(
            (&event["source"], &event["data"]),
            (&json!("café"), &json!({"value": "hello"}))
        );
        assert_eq!(binary(&headers, "application/json", b"{").unwrap_err().status(), 400);
        assert_eq!(binary(&headers, "image/png", b"\xff").unwrap_err().status(), 415);
    }
}
