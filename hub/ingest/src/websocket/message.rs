//! What clients and the hub say on the event socket.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use streamflow_bus::Committed;
use streamflow_model::Instant;
use streamflow_proto::{
    batch::DecodeError,
    bitmap::Bitmap,
    event::Event,
    filter::{EvalError, Filter},
    metric,
};
use streamflow_web::ApiError;

use crate::{cloud_event::malformed, door::Unavailable, intake::Outcome};

/// From a client. `reference` is echoed in the answer.
#[derive(Debug)]
pub(super) enum Command<'a> {
    Event {
        data: &'a RawValue,
        reference: Option<Cow<'a, str>>,
    },
    Subscribe {
        filter: Option<String>,
        reference: Option<Cow<'a, str>>,
    },
    Unsubscribe {
        reference: Option<Cow<'a, str>>,
    },
    Ping {
        reference: Option<Cow<'a, str>>,
    },
}

impl<'a> Command<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow, default)]
            data: Option<&'a RawValue>,
            #[serde(default)]
            filter: Option<String>,
            #[serde(rename = "ref", borrow, default)]
            reference: Option<Cow<'a, str>>,
        }
        let Envelope {
            kind,
            data,
            filter,
            reference,
        } = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        match (&*kind, data) {
            ("event", Some(data)) => Ok(Self::Event { data, reference }),
            ("event", None) => {
                Err(ApiError::validation("`data`: the event is missing").with_details(json!({"field": "data"})))
            }
            ("subscribe", _) => Ok(Self::Subscribe {
                filter: filter.filter(|text| !text.trim().is_empty()),
                reference,
            }),
            ("unsubscribe", _) => Ok(Self::Unsubscribe { reference }),
            ("ping", _) => Ok(Self::Ping { reference }),
            (other, _) => Err(ApiError::validation(format!(
                "`type`: `{other}` is not one of event, subscribe, unsubscribe, ping"
            ))
            .with_details(json!({"field": "type"}))),
        }
    }

    pub(super) fn reference(&self) -> Option<&str> {
        let (Self::Event { reference, .. }
        | Self::Subscribe { reference, .. }
        | Self::Unsubscribe { reference }
        | Self::Ping { reference }) = self;
        reference.as_deref()
    }
}

/// To a client.
pub(super) struct Reply;

impl Reply {
    fn text(mut value: serde_json::Value, reference: Option<String>) -> String {
        if let (Some(reference), Some(fields)) = (reference, value.as_object_mut()) {
            fields.insert("ref".to_owned(), reference.into());
        }
        value.to_string()
    }

    pub(super) fn pong(reference: Option<String>) -> String {
        Self::text(json!({"type": "pong", "timestamp": Instant::now()}), reference)
    }

    pub(super) fn done(what: &str, reference: Option<String>) -> String {
        Self::text(json!({"type": what}), reference)
    }

    pub(super) fn outcome(outcome: Result<Outcome, Unavailable>, reference: Option<String>) -> String {
        match outcome {
            Ok(Outcome { ids, rejected }) => match (ids.first(), rejected.into_iter().next()) {
                (Some(id), _) => Self::text(
                    json!({"type": "ack", "event_id": id, "success": true, "timestamp": Instant::now()}),
                    reference,
                ),
                (None, Some(rejected)) => {
                    let error = ApiError::validation(format!("`{}`: {}", rejected.field, rejected.reason))
                        .with_details(json!({"field": rejected.field, "reason": rejected.reason}));
                    Self::error(&error, reference)
                }
                (None, None) => Self::error(&ApiError::internal("an event had no outcome"), reference),
            },
            Err(unavailable) => Self::error(&unavailable.into(), reference),
        }
    }

    pub(super) fn error(error: &ApiError, reference: Option<String>) -> String {
        let body = error.body();
        let value = json!({"type": "error", "success": false, "error": body.error, "message": body.message, "details": body.details,
            "timestamp": body.timestamp});
        Self::text(value, reference)
    }

    pub(super) fn event(event: &Event) -> String {
        // by hand: a `Value` would lose the number text of `data`
        match serde_json::to_string(event) {
            Ok(event) => format!("{{\"type\":\"event\",\"data\":{event}}}"),
            Err(error) => Self::error(&ApiError::internal(error), None),
        }
    }

    pub(super) fn lagged(batches: u64) -> String {
        Self::text(json!({"type": "lagged", "batches": batches}), None)
    }

    pub(super) fn skipped(events: usize) -> String {
        Self::text(json!({"type": "skipped", "events": events}), None)
    }
}

/// Why a batch cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Filter(#[from] EvalError),
}

/// The first matching events of a batch, and how many more match.
pub(super) fn matching(
    committed: &Committed,
    filter: Option<&Filter>,
    most: usize,
) -> Result<(Vec<Event>, usize), Unreadable> {
    let batch = committed.batch()?;
    let rows = match filter {
        Some(filter) => filter.eval(&batch)?,
        None => Bitmap::new(batch.len(), true),
    };
    // What hosts counted for metrics is no event of anybody.
    let rows = match metric::carriers(&batch)? {
        Some(carriers) => rows.and_not(&carriers),
        None => rows,
    };
    let mut shown = Bitmap::new(batch.len(), false);
    rows.iter_ones().take(most).for_each(|row| shown.set(row, true));
    Ok((batch.events(&shown)?, rows.count_ones().saturating_sub(most)))
}
