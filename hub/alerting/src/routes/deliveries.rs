//! `/api/v1/deliveries`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use streamflow_model::{Delivery, DeliveryState, Role};
use streamflow_storage::Doc;
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, Path, Query, page::check_limit};

use super::{Rooms, page_of};
use crate::{
    documents::{DELIVERY, newest_first},
    outbox::Outgoing,
};

/// Which deliveries.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct DeliveryQuery {
    /// Only to this channel.
    channel: Option<String>,
    /// Only in this state.
    state: Option<DeliveryState>,
    /// Only about this alert.
    alert_id: Option<String>,
    /// At most this many, 1 to 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl DeliveryQuery {
    fn takes(&self, delivery: &Delivery) -> bool {
        self.channel.as_ref().is_none_or(|channel| *channel == delivery.channel)
            && self.state.is_none_or(|state| state == delivery.state)
            && self
                .alert_id
                .as_ref()
                .is_none_or(|id| *id == delivery.alert_id || delivery.alert_ids.contains(id))
    }
}

/// The delivery log, newest first
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(DeliveryQuery),
    responses((status = 200, body = Page<Delivery>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<DeliveryQuery>,
) -> ApiResult<Json<Page<Delivery>>> {
    identity.require(Role::Viewer)?;
    let limit = check_limit(query.limit)?;
    let pick = |doc: Doc| {
        let outgoing: Outgoing = serde_json::from_value(doc.body).ok()?;
        query.takes(&outgoing.delivery).then_some(outgoing.delivery)
    };
    page_of(rooms.store.as_ref(), DELIVERY, query.cursor.clone(), limit, pick)
        .await
        .map(Json)
}

/// Sends a failed delivery again, under the same idempotency key
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/retry", tag = "deliveries", params(("id" = String, Path)),
    responses((status = 200, body = Data<Delivery>), (status = 409, description = "It has not failed, or it would be the end of an alert that fires now.")))]
pub(super) async fn retry(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Data<Delivery>>> {
    identity.require(Role::Editor)?;
    let doc = rooms
        .store
        .doc(DELIVERY, &newest_first(&id))
        .await
        .map_err(ApiError::internal)?;
    let doc = doc.ok_or_else(|| ApiError::not_found(format!("there is no delivery {id}")))?;
    let outgoing: Outgoing = serde_json::from_value(doc.body).map_err(ApiError::internal)?;
    let data = rooms.handle.call(move |desk, now| desk.retry(outgoing, now)).await?;
    Ok(Json(Data { data }))
}

/// Which given-up deliveries to send again.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Again {
    /// Only to this channel.
    channel: Option<String>,
}

/// How many are sent again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SentAgain {
    /// Deliveries that wait for their next attempt now.
    retried: usize,
    /// There may be more that failed; ask again.
    more: bool,
}

/// Deliveries sent again by one request.
const AT_ONCE: usize = 1000;

/// Sends all failed deliveries again, each under the same idempotency key; at most a thousand at once
///
/// Ends of alerts under whose key another one fires now are left as they are.
#[utoipa::path(post, path = "/api/v1/deliveries/retry", tag = "deliveries", request_body = Again,
    responses((status = 200, body = Data<SentAgain>)))]
pub(super) async fn retry_all(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(again): Json<Again>,
) -> ApiResult<Json<Data<SentAgain>>> {
    identity.require(Role::Editor)?;
    let pick = |doc: Doc| {
        let outgoing: Outgoing = serde_json::from_value(doc.body).ok()?;
        let delivery = &outgoing.delivery;
        let wanted = again
            .channel
            .as_ref()
            .is_none_or(|channel| *channel == delivery.channel);
        (delivery.state == DeliveryState::Failed && !delivery.test && wanted).then_some(outgoing)
    };
    let page = page_of(rooms.store.as_ref(), DELIVERY, None, AT_ONCE, pick).await?;
    let more = page.pagination.has_next;
    let work = move |desk: &mut crate::desk::Desk, now| {
        // Oldest first, so that the order of each alert is kept.
        let tried = page.data.into_iter().rev().map(|outgoing| desk.retry(outgoing, now));
        Ok(tried.filter(Result::is_ok).count())
    };
    let retried = rooms.handle.call(work).await?;
    Ok(Json(Data {
        data: SentAgain { retried, more },
    }))
}
