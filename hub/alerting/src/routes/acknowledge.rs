//! `/ack`: the page behind the link in a message. Opening it changes nothing; its button acknowledges.

use axum::{
    Form,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use minijinja::HtmlEscape;
use serde::Deserialize;
use streamflow_model::{Alert, Instant};
use streamflow_web::{ApiError, ApiResult, Query};

use super::{Rooms, alerts::stored};
use crate::{
    documents::{DELIVERY, newest_first},
    link::{Claim, PATH},
    outbox::Outgoing,
};

/// Alerts that the page lists.
const LISTED: usize = 20;
/// Bytes of a comment.
const LONGEST: usize = 1000;

/// The link's token.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Token {
    /// As the message holds it.
    t: String,
}

/// What the page's form sends.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(super) struct Answer {
    /// Kept in the alert's history.
    comment: String,
}

/// Asks whether to acknowledge
///
/// A page for people. It needs no sign-in, and changes nothing.
#[utoipa::path(get, path = "/ack", tag = "alerts", params(Token), responses(
    (status = 200, body = String, content_type = "text/html"), (status = 403, description = "The link is not valid, or has expired.")))]
pub(super) async fn ask(State(rooms): State<Rooms>, Query(token): Query<Token>) -> Response {
    match known(&rooms, &token.t).await {
        Ok((_, alerts)) => page(StatusCode::OK, "Acknowledge", &question(&token.t, &alerts)),
        Err(error) => refusal(&error),
    }
}

/// Acknowledges what the link is for
#[utoipa::path(post, path = "/ack", tag = "alerts", params(Token), request_body(content = Answer, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"), (status = 403, description = "The link is not valid, or has expired.")))]
pub(super) async fn acknowledge(
    State(rooms): State<Rooms>,
    Query(token): Query<Token>,
    Form(answer): Form<Answer>,
) -> Response {
    let (claim, alerts) = match known(&rooms, &token.t).await {
        Ok(known) => known,
        Err(error) => return refusal(&error),
    };
    let by = format!("link sent to {}", claim.channel);
    let comment: String = answer.comment.chars().take(LONGEST).collect();
    let ids: Vec<String> = alerts.iter().map(|alert| alert.id.clone()).collect();
    let work = move |desk: &mut crate::desk::Desk, now| {
        let taken = ids.iter().filter(|id| desk.acknowledge(id, &by, &comment, now).is_ok());
        Ok(taken.count())
    };
    match rooms.handle.call(work).await {
        Ok(0) => page(StatusCode::OK, "Nothing to acknowledge", "<p>It is over already.</p>"),
        Ok(count) => page(
            StatusCode::OK,
            "Acknowledged",
            &format!("<p>{count} acknowledged. Nothing escalates any further.</p>"),
        ),
        Err(error) => refusal(&error),
    }
}

async fn known(rooms: &Rooms, token: &str) -> ApiResult<(Claim, Vec<Alert>)> {
    let links = rooms.vault.links().ok_or_else(|| ApiError::unavailable(60))?;
    let claim = links
        .check(token, Instant::now().0)
        .map_err(|error| ApiError::forbidden(error.to_string()))?;
    let ids = if claim.delivery {
        let doc = rooms.store.doc(DELIVERY, &newest_first(&claim.id)).await;
        let doc = doc.map_err(ApiError::internal)?;
        let outgoing = doc.map(|doc| serde_json::from_value::<Outgoing>(doc.body)).transpose();
        let outgoing = outgoing.map_err(ApiError::internal)?;
        outgoing.map(|outgoing| outgoing.delivery.alert_ids).unwrap_or_default()
    } else {
        vec![claim.id.clone()]
    };
    let mut alerts = Vec::new();
    for id in ids {
        let open = rooms.handle.board.alert(&id).map(|alert| Alert::clone(&alert));
        match open {
            Some(alert) => alerts.push(alert),
            None => alerts.extend(stored(rooms, &id).await?),
        }
    }
    if alerts.is_empty() {
        return Err(ApiError::not_found("this alert is not known any more"));
    }
    Ok((claim, alerts))
}

fn question(token: &str, alerts: &[Alert]) -> String {
    let line = |alert: &Alert| {
        let by = alert.acknowledged_by.as_deref();
        let by = by.map_or_else(String::new, |by| format!(" by {}", HtmlEscape(by)));
        format!(
            "<li><b>{}</b><br>{}{by}, level {}<br>{}</li>",
            HtmlEscape(&alert.title),
            alert.state.name(),
            alert.level.name(),
            HtmlEscape(&alert.message)
        )
    };
    let mut lines: Vec<String> = alerts.iter().take(LISTED).map(line).collect();
    if alerts.len() > LISTED {
        lines.push(format!("<li>and {} more</li>", alerts.len() - LISTED));
    }
    format!(
        "<ul>{}</ul><form method=\"post\" action=\"{PATH}?t={}\">\
         <p><label>Comment<br><input name=\"comment\" maxlength=\"{LONGEST}\" size=\"40\"></label></p>\
         <p><button type=\"submit\">Acknowledge</button></p></form>",
        lines.concat(),
        HtmlEscape(token)
    )
}

fn refusal(error: &ApiError) -> Response {
    let text = format!("<p>{}</p>", HtmlEscape(&error.body().message));
    page(error.status(), "This link does nothing", &text)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>"
    );
    let headers: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(html)).into_response()
}
