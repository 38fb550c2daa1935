//! The HTTP door: `POST /events`, `POST /events/batch`, `GET /events/{id}`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use memchr::memmem;
use serde::Serialize;
use streamflow_model::{Instant, Role};
use streamflow_proto::event::Event;
use streamflow_storage::{Store, StoreError};
use streamflow_web::{ApiError, ApiResult, Identity, Path, correlation};
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    admission::{self, Admission},
    body::{self, Encoding},
    door::{Door, Unavailable},
    intake::{Outcome, Prepared, RejectedEvent},
    media::{self, Media},
    metrics::DoorKind,
    options::Options,
};

/// Larger bodies are read on threads that may block.
const INLINE_BYTES: usize = 64 * 1024;
/// When to come back to a store that is full or stopping.
const RETRY_SECS: u64 = 1;
/// Refused events that an answer describes; the rest are only counted.
const DESCRIBED: usize = 1000;

/// What the routes need.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    pub(crate) door: Door,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) admission: Admission,
    pub(crate) options: Arc<Options>,
}

/// Events are durable.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Accepted<T> {
    success: bool,
    message: String,
    data: T,
    timestamp: Instant,
    correlation_id: String,
}

/// The stored event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptedEvent {
    event_id: Uuid,
}

/// The stored events, and those refused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptedBatch {
    /// Ids of the good events in the order sent.
    event_ids: Vec<Uuid>,
    /// How many are stored.
    accepted: usize,
    /// How many are not.
    rejected_count: usize,
    /// The first thousand of them, with the reason.
    rejected: Vec<RejectedEvent>,
}

/// A stored event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Found {
    success: bool,
    #[schema(value_type = Object)]
    data: Event,
}

pub(crate) fn routes(state: Events) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(post_event))
        .routes(routes!(post_batch))
        .routes(routes!(get_event))
        .with_state(state)
}

impl<T: Serialize> Accepted<T> {
    fn new(message: String, data: T) -> Self {
        Self {
            success: true,
            message,
            data,
            timestamp: Instant::now(),
            correlation_id: correlation::current(),
        }
    }
}

impl Accepted<AcceptedBatch> {
    /// As JSON with the ids, which are nearly all of the answer to a large request: no serializer has to look for escapes in them.
    fn json(&self, ids: &[Uuid]) -> serde_json::Result<Vec<u8>> {
        const NAME: &[u8] = b"\"event_ids\":[";
        let around = serde_json::to_vec(self)?;
        let Some(at) = memmem::find(&around, NAME).map(|at| at + NAME.len()) else {
            return Ok(around);
        };
        let mut id_text = *b"\"00000000-0000-0000-0000-000000000000\",";
        let mut json = Vec::with_capacity(around.len() + ids.len() * id_text.len());
        json.extend_from_slice(&around[..at]);
        for id in ids {
            id.hyphenated().encode_lower(&mut id_text[1..37]);
            json.extend_from_slice(&id_text);
        }
        if !ids.is_empty() {
            json.pop();
        }
        json.extend_from_slice(&around[at..]);
        Ok(json)
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(RETRY_SECS).with_message(error.to_string())
    }
}

/// Send one event
///
/// Answers when the event is durable. Also takes one CloudEvent (structured or binary mode); with
/// `application/x-ndjson` or `application/cloudevents-batch+json` it is the batch route. Bodies may be compressed with
/// gzip or zstd.
#[utoipa::path(post, path = "/events", tag = "events", request_body(content = Object, content_type = "application/json"), responses(
    (status = 202, body = Accepted<AcceptedEvent>),
    (status = 400, description = "Not JSON (`details.line`, `details.column`), or a field is wrong (`details.field`, `details.reason`)."),
    (status = 413, description = "The body is too large."),
    (status = 415, description = "Unknown content type or encoding."),
    (status = 503, description = "Not stored; send it again after `Retry-After`."),
))]
async fn post_event(State(events): State<Events>, identity: Identity, request: Request) -> ApiResult<Response> {
    identity.require_ingest()?;
    let media = Media::of(request.headers())?;
    if matches!(media, Media::Lines | Media::CloudEvents) {
        return events.batch(media, request).await;
    }
    let (headers, body, _room) = events.receive(request).await?;
    let raw = media::one(media, &headers, &body::joined(body)).inspect_err(|_| events.malformed())?;
    let outcome = Prepared::shared(&events.door, vec![raw], Instant::now().0)
        .store(&events.door, DoorKind::Http)
        .await?;
    if let Some(rejected) = outcome.rejected.first() {
        return Err(
            ApiError::validation(format!("`{}`: {}", rejected.field, rejected.reason))
                .with_details(serde_json::json!({"field": rejected.field, "reason": rejected.reason})),
        );
    }
    let [event_id] = outcome.ids[..] else {
        return Err(ApiError::internal("one event had no outcome"));
    };
    let body = Accepted::new("event accepted".to_owned(), AcceptedEvent { event_id });
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

/// Send many events
///
/// An array, `{"events": […]}`, NDJSON (`application/x-ndjson`) or a CloudEvents batch. Answers when all good events
/// are durable; events that are refused are named by their place, and do not keep the others out.
#[utoipa::path(post, path = "/events/batch", tag = "events", request_body(content = Vec<Object>, content_type = "application/json"), responses(
    (status = 202, body = Accepted<AcceptedBatch>),
    (status = 400, description = "Not JSON (`details.line`, `details.column`), or every event was refused (`details.rejected`)."),
    (status = 413, description = "The body is too large."),
    (status = 415, description = "Unknown content type or encoding."),
    (status = 503, description = "Not all stored; send them again after `Retry-After`."),
))]
async fn post_batch(State(events): State<Events>, identity: Identity, request: Request) -> ApiResult<Response> {
    identity.require_ingest()?;
    let media = Media::of(request.headers())?;
    events.batch(media, request).await
}

/// Read one event
#[utoipa::path(get, path = "/events/{id}", tag = "events", params(("id" = Uuid, Path, description = "Id of the event")), responses(
    (status = 200, body = Found),
    (status = 404, description = "No such event, or it has expired."),
))]
async fn get_event(
    State(events): State<Events>,
    identity: Identity,
    Path(id): Path<Uuid>,
) -> ApiResult<axum::Json<Found>> {
    identity.require(Role::Viewer)?;
    match events.store.event(id).await.map_err(store_failed)? {
        Some(data) => Ok(axum::Json(Found { success: true, data })),
        None => Err(ApiError::not_found(format!("there is no event {id}"))),
    }
}

impl Events {
    /// The plain body in pieces, and room for it until it is dropped.
    async fn receive(&self, request: Request) -> ApiResult<(HeaderMap, Vec<Bytes>, OwnedSemaphorePermit)> {
        let (parts, body) = request.into_parts();
        let limit = self.options.max_body_bytes;
        let encoding = Encoding::of(&parts.headers)?;
        let expected = match body::expected_bytes(&parts.headers, limit) {
            Ok(expected) => expected,
            Err(refusal) => {
                body::discard(body).await;
                return Err(refusal);
            }
        };
        let mut room = self.admission.admit(expected).await.ok_or(Unavailable)?;
        let packed = body::read(body, limit).await?;
        admission::shrink(&mut room, body::len(&packed));
        if encoding == Encoding::Identity {
            return Ok((parts.headers, packed, room));
        }
        // room for the most that it may inflate to, but only while it inflates: slow senders must not hold it
        let mut room = self.admission.admit(limit).await.ok_or(Unavailable)?;
        let plain = heavy(move || encoding.decode(body::joined(packed), limit))
            .await?
            .inspect_err(|_| self.malformed())?;
        admission::shrink(&mut room, plain.len());
        Ok((parts.headers, vec![plain], room))
    }

    async fn batch(&self, media: Media, request: Request) -> ApiResult<Response> {
        let (headers, body, _room) = self.receive(request).await?;
        let now_ms = Instant::now().0;
        let prepared = if body::len(&body) <= INLINE_BYTES {
            media::many(&self.door, media, &headers, body, now_ms)
        } else {
            let door = self.door.clone();
            let turn = self.admission.turn().await.ok_or(Unavailable)?;
            heavy(move || {
                let prepared = media::many(&door, media, &headers, body, now_ms);
                drop(turn);
                prepared
            })
            .await?
        };
        let outcome = prepared
            .inspect_err(|_| self.malformed())?
            .store(&self.door, DoorKind::Http)
            .await?;
        answer(outcome)
    }

    fn malformed(&self) {
        self.door
            .metrics
            .rejected
            .with_label_values(&[DoorKind::Http.name(), "malformed"])
            .inc();
    }
}

fn answer(outcome: Outcome) -> ApiResult<Response> {
    let Outcome { ids, mut rejected } = outcome;
    let (accepted, rejected_count) = (ids.len(), rejected.len());
    rejected.truncate(DESCRIBED);
    match (accepted, rejected_count) {
        (0, 0) => Err(ApiError::validation("the batch holds no events")),
        (0, _) => {
            let details = serde_json::json!({"accepted": 0, "rejected_count": rejected_count, "rejected": rejected});
            Err(ApiError::validation("every event of the batch was refused").with_details(details))
        }
        _ => {
            let data = AcceptedBatch {
                event_ids: Vec::new(),
                accepted,
                rejected_count,
                rejected,
            };
            let message = format!("{accepted} accepted, {rejected_count} rejected");
            let json = Accepted::new(message, data).json(&ids).map_err(ApiError::internal)?;
            let kind = [(header::CONTENT_TYPE, "application/json")];
            Ok((StatusCode::ACCEPTED, kind, json).into_response())
        }
    }
}

fn store_failed(error: StoreError) -> ApiError {
    match error {
        StoreError::Closed => Unavailable.into(),
        other => ApiError::internal(other),
    }
}

/// Work for the processor, off the threads that serve connections.
async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_the_answer_where_a_serializer_would_put_them() {
        for count in [0, 1, 3] {
            let ids: Vec<Uuid> = (0..count).map(|n| Uuid::from_u128(n << 100 | 7)).collect();
            let data = AcceptedBatch {
                event_ids: Vec::new(),
                accepted: ids.len(),
                rejected_count: 1,
                rejected: vec![RejectedEvent {
                    index: 4,
                    field: "\"event_ids\":[".to_owned(),
                    reason: "\"event_ids\":[".to_owned(),
                }],
            };
            let mut answer = Accepted::new("3 accepted".to_owned(), data);
            let json: serde_json::Value = serde_json::from_slice(&answer.json(&ids).unwrap()).unwrap();
            answer.data.event_ids = ids;
            assert_eq!(json, serde_json::to_value(&answer).unwrap());
        }
    }
}
