//! What kind of body a request brings, and where its events are in it.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use streamflow_web::ApiError;

use crate::{
    body,
    cloud_event::{self, malformed},
    door::Door,
    intake::{Prepared, SHARED_BYTES},
};

/// Kind of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// One event, or at the batch route an array of them or `{"events": […]}`.
    Json,
    /// One event a line.
    Lines,
    /// One CloudEvent as JSON.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
    /// A CloudEvent whose attributes are headers.
    CloudBinary,
}

impl Media {
    /// From the headers.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.contains_key("ce-specversion") {
            return Ok(Self::CloudBinary);
        }
        match content_type(headers).as_str() {
            "" | "application/json" | "text/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Ok(Self::Lines)
            }
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            other => Err(ApiError::unsupported(format!(
                "Content-Type `{other}` is not read here; use application/json, application/x-ndjson, application/cloudevents+json or \
                 application/cloudevents-batch+json"
            ))),
        }
    }
}

/// `Content-Type` without parameters.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The one event of a body.
pub(crate) fn one(media: Media, headers: &HeaderMap, body: &Bytes) -> Result<Bytes, ApiError> {
    let whole = || serde_json::from_slice::<&RawValue>(body).map_err(|error| malformed(&error));
    match media {
        Media::CloudBinary => cloud_event::binary(headers, &content_type(headers), body).map(Bytes::from),
        Media::CloudEvent => cloud_event::structured(whole()?).map(Bytes::from),
        Media::Json | Media::Lines | Media::CloudEvents => whole().map(|raw| body.slice_ref(raw.get().as_bytes())),
    }
}

/// Claims and frames for the events of a body. Heavy for large bodies.
pub(crate) fn many(
    door: &Door,
    media: Media,
    headers: &HeaderMap,
    body: Vec<Bytes>,
    now_ms: i64,
) -> Result<Prepared, ApiError> {
    let small = body::len(&body) <= SHARED_BYTES;
    if media == Media::Lines {
        let bytes = body::len(&body);
        let pieces = body::whole_lines(body);
        return Ok(if small {
            let raws = pieces
                .iter()
                .flat_map(|piece| lines(piece).map(|line| piece.slice_ref(line)));
            Prepared::shared(door, raws.collect(), now_ms)
        } else {
            Prepared::own(door, pieces.iter().flat_map(|piece| lines(piece)), bytes, now_ms)
        });
    }
    let body = &body::joined(body);
    match media {
        Media::Json | Media::Lines => {
            let raws = array(body)?;
            let texts = raws.iter().map(|raw| raw.get().as_bytes());
            Ok(if small {
                Prepared::shared(door, texts.map(|text| body.slice_ref(text)).collect(), now_ms)
            } else {
                Prepared::own(door, texts, body.len(), now_ms)
            })
        }
        Media::CloudEvents => {
            let raws: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| misread(&error))?;
            let texts = raws.into_iter().enumerate().map(|(index, raw)| {
                cloud_event::structured(raw).map_err(|error| error.with_details(serde_json::json!({"index": index})))
            });
            Ok(Prepared::own(
                door,
                texts.collect::<Result<Vec<_>, _>>()?.iter().map(Vec::as_slice),
                body.len(),
                now_ms,
            ))
        }
        Media::CloudEvent | Media::CloudBinary => Ok(Prepared::shared(door, vec![one(media, headers, body)?], now_ms)),
    }
}

/// Lines that are not blank.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, after) =
                memchr::memchr(b'\n', rest).map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
            rest = after;
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    })
}

fn array(body: &[u8]) -> Result<Vec<&RawValue>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    if body.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice::<Envelope<'_>>(body)
            .map(|envelope| envelope.events)
            .map_err(|error| misread(&error))
    } else {
        serde_json::from_slice(body).map_err(|error| misread(&error))
    }
}

/// Broken JSON, or JSON that is not a batch.
fn misread(error: &serde_json::Error) -> ApiError {
    if error.classify() == serde_json::error::Category::Data {
        return ApiError::validation(format!("expected an array of events or {{\"events\": […]}}: {error}"));
    }
    malformed(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_any_line_end() {
        let found: Vec<&[u8]> = lines(b"\n{1}\r\n\n  {2}\n{3}").collect();
        assert_eq!(found, [b"{1}", b"{2}", b"{3}"]);
        assert_eq!(lines(b"\n \r\n").count(), 0);
    }

    #[test]
    fn both_spellings_of_a_batch_are_read_and_mistakes_are_placed() {
        for body in [&b"[{}, {\"a\":1}]"[..], b" {\"events\": [{}, {\"a\":1}]}"] {
            let raws = array(body).unwrap();
            assert_eq!(
                raws.iter().map(|raw| raw.get()).collect::<Vec<_>>(),
                ["{}", "{\"a\":1}"]
            );
        }
        let message = array(b"[{},\n{\"a\":}]").unwrap_err().to_string();
        assert!(message.contains("line 2, column 6"), "{message}");
        assert!(
            array(b"{\"event\": []}")
                .unwrap_err()
                .to_string()
                .contains("unknown field `event`")
        );
    }
}
