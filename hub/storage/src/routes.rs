//! Queries over HTTP: `POST /api/v1/events/query`, `GET /api/v1/events`, `GET /api/v1/stats`.

use std::{sync::Arc, time::Instant as Clock};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamflow_model::{Instant, Role};
use streamflow_proto::{
    event::{Event, Severity},
    filter::Filter,
};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Pagination, Query};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    StoreError,
    store::{EventQuery, Order, Scanned, Store, StoreStats},
};

const DEFAULT_LIMIT: usize = 100;

/// The store's routes.
pub fn routes(store: Arc<dyn Store>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(query_events))
        .routes(routes!(list_events))
        .routes(routes!(stats))
        .with_state(store)
}

/// Which events to read.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct EventsRequest {
    /// Event time from, inclusive: RFC 3339 or ms since 1970.
    from: Option<Instant>,
    /// Event time to, exclusive.
    to: Option<Instant>,
    /// Any of these types; empty = all.
    types: Vec<String>,
    /// Any of these sources; empty = all.
    sources: Vec<String>,
    /// Any of `low`, `medium`, `high`, `critical`; empty = all.
    #[schema(value_type = Vec<String>)]
    severities: Vec<Severity>,
    /// CEL over the event, such as `data.status >= 500`.
    filter: Option<String>,
    /// Text in any string of the event, in upper or lower case.
    text: Option<String>,
    /// At most this many events, 1 to 10000; 100 when absent.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Newest first (`desc`) or oldest first (`asc`).
    order: Order,
}

/// A page of events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EventsAnswer {
    /// The events.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Event>,
    /// How to go on.
    pagination: Pagination,
    /// What had to be read.
    scanned: Scanned,
    /// Time it took, ms.
    took_ms: u64,
}

/// Query events
#[utoipa::path(
    post, path = "/api/v1/events/query", tag = "events",
    request_body = EventsRequest,
    responses((status = 200, body = EventsAnswer), (status = 400, body = streamflow_web::ErrorBody)),
)]
async fn query_events(
    identity: Identity,
    State(store): State<Arc<dyn Store>>,
    Json(request): Json<EventsRequest>,
) -> ApiResult<axum::Json<EventsAnswer>> {
    answer(&identity, &*store, request).await
}

/// List events
///
/// The same query as `POST /api/v1/events/query`. `types`, `sources` and `severities` are separated by commas or given several times.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(
        ("from" = Option<String>, Query, description = "Event time from, inclusive: RFC 3339 or ms since 1970"),
        ("to" = Option<String>, Query, description = "Event time to, exclusive"),
        ("types" = Option<String>, Query, description = "Any of these types"),
        ("sources" = Option<String>, Query, description = "Any of these sources"),
        ("severities" = Option<String>, Query, description = "Any of low, medium, high, critical"),
        ("filter" = Option<String>, Query, description = "CEL over the event"),
        ("text" = Option<String>, Query, description = "Text in any string of the event"),
        ("limit" = Option<u32>, Query, description = "At most this many events, 1 to 10000"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("order" = Option<Order>, Query, description = "`desc` (newest first) or `asc`"),
    ),
    responses((status = 200, body = EventsAnswer), (status = 400, body = streamflow_web::ErrorBody)),
)]
async fn list_events(
    identity: Identity,
    State(store): State<Arc<dyn Store>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> ApiResult<axum::Json<EventsAnswer>> {
    let mut request = EventsRequest::default();
    for (name, value) in pairs {
        request.set(&name, value)?;
    }
    answer(&identity, &*store, request).await
}

/// Totals of the store
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "events",
    responses((status = 200, body = Data<StoreStats>)),
)]
async fn stats(identity: Identity, State(store): State<Arc<dyn Store>>) -> ApiResult<axum::Json<Data<StoreStats>>> {
    identity.require(Role::Viewer)?;
    Ok(Data::json(store.stats().await?))
}

async fn answer(identity: &Identity, store: &dyn Store, request: EventsRequest) -> ApiResult<axum::Json<EventsAnswer>> {
    identity.require(Role::Viewer)?;
    let begun = Clock::now();
    let page = store.query(request.into_query()?).await?;
    Ok(axum::Json(EventsAnswer {
        data: page.events,
        pagination: Pagination {
            has_next: page.next_cursor.is_some(),
            next_cursor: page.next_cursor,
        },
        scanned: page.scanned,
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

impl EventsRequest {
    fn set(&mut self, name: &str, value: String) -> ApiResult<()> {
        let refuse = |expected: &str| invalid(name, format!("`{value}` is not {expected}"));
        let list = || value.split(',').map(str::trim).filter(|item| !item.is_empty());
        let time = || Instant::parse(&value).ok_or_else(|| refuse("an RFC 3339 time or ms since 1970"));
        match name {
            "from" => self.from = Some(time()?),
            "to" => self.to = Some(time()?),
            "types" => self.types.extend(list().map(str::to_owned)),
            "sources" => self.sources.extend(list().map(str::to_owned)),
            "severities" => {
                for item in list() {
                    self.severities
                        .push(item.parse().map_err(|_| refuse("one of low, medium, high, critical"))?);
                }
            }
            "limit" => self.limit = Some(value.parse().map_err(|_| refuse("a number"))?),
            "order" => {
                self.order = match value.as_str() {
                    "asc" => Order::Asc,
                    "desc" => Order::Desc,
                    _ => return Err(refuse("asc or desc")),
                }
            }
            "filter" => self.filter = Some(value),
            "text" => self.text = Some(value),
            "cursor" => self.cursor = Some(value),
            _ => return Err(invalid(name, format!("unknown parameter `{name}`"))),
        }
        Ok(())
    }

    fn into_query(self) -> ApiResult<EventQuery> {
        let filter = self
            .filter
            .as_deref()
            .filter(|text| !text.trim().is_empty())
            .map(Filter::compile);
        let filter = filter.transpose().map_err(|error| {
            let place = json!({"field": "filter", "line": error.line, "column": error.column});
            ApiError::validation(format!("filter: {error}")).with_details(place)
        })?;
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(invalid("to", "`to` must be after `from`".to_owned()));
        }
        Ok(EventQuery {
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
            types: self.types,
            sources: self.sources,
            severities: self.severities,
            filter: filter.map(Arc::new),
            text: self.text,
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
            cursor: self.cursor,
            order: self.order,
        })
    }
}

fn invalid(field: &str, message: String) -> ApiError {
    ApiError::validation(message).with_details(json!({"field": field}))
}

/// Seconds after which a full or failed store is worth another try.
const RETRY: u64 = 5;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::conflict(error.to_string()),
            StoreError::BadCursor => invalid("cursor", error.to_string()),
            StoreError::BadRequest(message) => Self::validation(message),
            StoreError::Full | StoreError::Closed => Self::unavailable(RETRY).with_message(error.to_string()),
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests;
