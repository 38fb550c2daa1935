//! `/api/v2`: the part of Alertmanager's API that Prometheus and `amtool` use.

use std::collections::BTreeMap;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamflow_model::{Alert, AlertState, Instant, MatchOp, Matcher, Role, Silence, SilenceState};
use streamflow_web::{ApiError, ApiResult, Identity, Json, Path};

use super::Rooms;
use crate::{
    desk::Desk,
    external::{PostedAlert, read},
    matchers::{Matchers, refuse, wrong},
};

/// Alerts of one request.
const MOST: usize = 10_000;
/// Errors named in one refusal.
const NAMED: usize = 20;

/// A matcher as Alertmanager writes it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AmMatcher {
    /// The label.
    name: String,
    /// What it is compared with.
    value: String,
    /// Whether `value` is a regular expression.
    #[serde(default)]
    is_regex: bool,
    /// Whether it must match; else it must not.
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// A silence as Alertmanager's clients write it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AmSilence {
    /// The silence to change; a new one when left out.
    #[serde(default)]
    id: Option<String>,
    /// All of them must hold.
    matchers: Vec<AmMatcher>,
    /// From then on.
    starts_at: Instant,
    /// Until then.
    ends_at: Instant,
    /// Whoever the client says made it.
    #[serde(default)]
    created_by: String,
    /// Why.
    #[serde(default)]
    comment: String,
}

/// The silence that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Made {
    /// Its id.
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// Takes alerts that others have decided, as Prometheus sends them
#[utoipa::path(post, path = "/api/v2/alerts", tag = "alertmanager", request_body = Vec<PostedAlert>,
    responses((status = 200, description = "All of them are taken in and durable.")))]
pub(super) async fn post_alerts(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(alerts): Json<Vec<PostedAlert>>,
) -> ApiResult<StatusCode> {
    identity.require_ingest()?;
    if alerts.len() > MOST {
        return Err(ApiError::too_large(format!("at most {MOST} alerts at once")));
    }
    let work = move |desk: &mut Desk, now| {
        let (mut posted, mut errors) = (Vec::with_capacity(alerts.len()), Vec::new());
        for (nth, alert) in alerts.into_iter().enumerate() {
            match read(&format!("[{nth}]"), alert, now) {
                Ok(alert) => posted.push(alert),
                Err(more) => errors.extend(more),
            }
        }
        // The good ones are taken in all the same.
        desk.book.external(&posted, now);
        errors.truncate(NAMED);
        if errors.is_empty() {
            Ok(StatusCode::OK)
        } else {
            Err(refuse("a part of the alerts", &errors))
        }
    };
    rooms.handle.call(work).await
}

/// Lists open alerts; `filter`, `active`, `silenced`, `inhibited` and `receiver` as in Alertmanager
#[utoipa::path(get, path = "/api/v2/alerts", tag = "alertmanager", responses((status = 200, body = Vec<Value>)))]
pub(super) async fn get_alerts(
    State(rooms): State<Rooms>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> ApiResult<Json<Vec<Value>>> {
    identity.require(Role::Viewer)?;
    let query = AmQuery::parse(query.as_deref().unwrap_or(""))?;
    let open = rooms.handle.board.newest_first();
    let wanted = open
        .filter_map(|shown| shown.alert())
        .filter(|alert| alert.fired_at.is_some() && query.takes(alert));
    let mut wanted: Vec<Value> = wanted.map(|alert| am_alert(&alert)).collect();
    // Oldest first, as Alertmanager has them.
    wanted.reverse();
    Ok(Json(wanted))
}

/// Lists silences; `filter` as in Alertmanager
#[utoipa::path(get, path = "/api/v2/silences", tag = "alertmanager", responses((status = 200, body = Vec<Value>)))]
pub(super) async fn get_silences(
    State(rooms): State<Rooms>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> ApiResult<Json<Vec<Value>>> {
    identity.require(Role::Viewer)?;
    let query = AmQuery::parse(query.as_deref().unwrap_or(""))?;
    let work = move |desk: &mut Desk, now| {
        let meant = |silence: &&Silence| {
            let pinned = silence.matchers.iter().map(|one| (one.name.clone(), one.value.clone()));
            query.filter.hold(&pinned.collect())
        };
        let silences = desk.book.mutes().silences().filter(meant);
        Ok(silences.map(|silence| am_silence(silence, now)).collect())
    };
    rooms.handle.call(work).await.map(Json)
}

/// Makes or changes a silence
#[utoipa::path(post, path = "/api/v2/silences", tag = "alertmanager", request_body = AmSilence, responses((status = 200, body = Made)))]
pub(super) async fn post_silence(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(posted): Json<AmSilence>,
) -> ApiResult<Json<Made>> {
    identity.require(Role::Editor)?;
    let created_by = match posted.created_by.trim() {
        "" => identity.name,
        given if given == identity.name => identity.name,
        given => format!("{given} ({})", identity.name),
    };
    let work = move |desk: &mut Desk, now| {
        let silence = Silence {
            id: posted.id.unwrap_or_default(),
            matchers: posted.matchers.into_iter().map(Matcher::from).collect(),
            starts_at: posted.starts_at,
            ends_at: posted.ends_at,
            comment: posted.comment,
            created_by,
            created_at: Instant(now),
            updated_at: Instant(now),
        };
        desk.save_silence(silence, now)
    };
    let silence_id = rooms.handle.call(work).await?.id;
    Ok(Json(Made { silence_id }))
}

/// Reads a silence
#[utoipa::path(get, path = "/api/v2/silence/{id}", tag = "alertmanager", params(("id" = String, Path)), responses((status = 200, body = Object)))]
pub(super) async fn get_silence(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    identity.require(Role::Viewer)?;
    let work = move |desk: &mut Desk, now| Ok(am_silence(&desk.silence(&id)?, now));
    rooms.handle.call(work).await.map(Json)
}

/// Ends a silence
#[utoipa::path(delete, path = "/api/v2/silence/{id}", tag = "alertmanager", params(("id" = String, Path)), responses((status = 200)))]
pub(super) async fn delete_silence(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    rooms
        .handle
        .call(move |desk, now| desk.expire_silence(&id, now))
        .await?;
    Ok(StatusCode::OK)
}

/// Says that this is a single node
#[utoipa::path(get, path = "/api/v2/status", tag = "alertmanager", responses((status = 200, body = Object)))]
pub(super) async fn status(State(rooms): State<Rooms>, identity: Identity) -> ApiResult<Json<Value>> {
    identity.require(Role::Viewer)?;
    let routing = rooms.handle.call(|desk, _| Ok(desk.book.routing().clone())).await?;
    let original = serde_json::to_string(&routing).map_err(ApiError::internal)?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(Json(json!({
        "cluster": {"status": "disabled", "peers": []},
        "config": {"original": original},
        "uptime": Instant(rooms.started),
        "versionInfo": {"version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""},
    })))
}

/// Lists channels as receivers
#[utoipa::path(get, path = "/api/v2/receivers", tag = "alertmanager", responses((status = 200, body = Vec<Value>)))]
pub(super) async fn receivers(State(rooms): State<Rooms>, identity: Identity) -> ApiResult<Json<Vec<Value>>> {
    identity.require(Role::Viewer)?;
    let channels = rooms.handle.board.channels.borrow().clone();
    Ok(Json(channels.keys().map(|name| json!({"name": name})).collect()))
}

/// What Alertmanager's lists are filtered by.
struct AmQuery {
    filter: Matchers,
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl AmQuery {
    fn parse(query: &str) -> ApiResult<Self> {
        let (mut active, mut silenced, mut inhibited) = (true, true, true);
        let mut matchers = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let no = value == "false";
            match name.as_ref() {
                "active" => active = !no,
                "silenced" => silenced = !no,
                "inhibited" => inhibited = !no,
                "filter" => matchers.push(matcher(&value).ok_or_else(|| {
                    let reason = format!("`{value}` is no matcher; write for example alertname=\"errors\"");
                    refuse("the filter", &[wrong("filter", reason)])
                })?),
                _ => {}
            }
        }
        let filter = Matchers::compile("filter", &matchers).map_err(|errors| refuse("the filter", &errors))?;
        Ok(Self {
            filter,
            active,
            silenced,
            inhibited,
        })
    }

    fn takes(&self, alert: &Alert) -> bool {
        let by = |kind| alert.muted_by.iter().any(|reason| reason.starts_with(kind));
        let inhibited = by("inhibition:");
        let silenced = by("silence:") || by("maintenance:");
        let shown = if inhibited || silenced {
            (inhibited && self.inhibited) || (silenced && self.silenced)
        } else {
            self.active
        };
        shown && self.filter.hold(&alert.labels)
    }
}

/// `name=value`, the value in quotes or not.
fn matcher(text: &str) -> Option<Matcher> {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}');
    let at = text.find(['=', '!'])?;
    let ops = [MatchOp::Matches, MatchOp::NotMatches, MatchOp::NotEqual, MatchOp::Equal];
    let op = ops.into_iter().find(|op| text[at..].starts_with(op.name()))?;
    let value = text[at + op.name().len()..].trim();
    let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    let value = if quoted {
        serde_json::from_str(value).ok()?
    } else {
        value.to_owned()
    };
    Some(Matcher {
        name: text[..at].trim().to_owned(),
        value,
        op,
    })
}

impl From<AmMatcher> for Matcher {
    fn from(matcher: AmMatcher) -> Self {
        let op = match (matcher.is_regex, matcher.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Matches,
            (true, false) => MatchOp::NotMatches,
        };
        Self {
            name: matcher.name,
            value: matcher.value,
            op,
        }
    }
}

fn am_silence(silence: &Silence, now: i64) -> Value {
    let matcher = |one: &Matcher| AmMatcher {
        name: one.name.clone(),
        value: one.value.clone(),
        is_regex: matches!(one.op, MatchOp::Matches | MatchOp::NotMatches),
        is_equal: matches!(one.op, MatchOp::Equal | MatchOp::Matches),
    };
    let state = match silence.state(now) {
        SilenceState::Pending => "pending",
        SilenceState::Active => "active",
        SilenceState::Expired => "expired",
    };
    json!({
        "id": silence.id, "matchers": silence.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "startsAt": silence.starts_at, "endsAt": silence.ends_at, "updatedAt": silence.updated_at,
        "createdBy": silence.created_by, "comment": silence.comment, "status": {"state": state},
    })
}

fn am_alert(alert: &Alert) -> Value {
    let by = |kind: &str| -> Vec<&str> {
        let reasons = alert.muted_by.iter();
        reasons.filter_map(|reason| reason.strip_prefix(kind)).collect()
    };
    let mut annotations: BTreeMap<&str, &str> = BTreeMap::new();
    annotations.insert("summary", &alert.title);
    annotations.insert("description", &alert.message);
    annotations.extend(
        alert
            .annotations
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let mut silenced = by("silence:");
    silenced.extend(by("maintenance:"));
    let state = if alert.muted_by.is_empty() {
        "active"
    } else {
        "suppressed"
    };
    let updated = alert.timeline.last().map(|entry| entry.at).or(alert.fired_at);
    let url = alert.annotations.get("generator_url");
    json!({
        "labels": alert.labels, "annotations": annotations, "fingerprint": alert.id.replace('-', ""),
        "startsAt": alert.fired_at, "updatedAt": updated, "endsAt": expected_end(alert),
        "generatorURL": url.map_or("", String::as_str), "receivers": [],
        "status": {"state": state, "silencedBy": silenced, "inhibitedBy": by("inhibition:")},
    })
}

/// Clients take an alert for over when this is past; one that is open is not.
fn expected_end(alert: &Alert) -> Instant {
    match (alert.state, alert.resolved_at) {
        (AlertState::Resolved, Some(at)) => at,
        _ => Instant(Instant::now().0 + 300_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_as_alertmanager_reads_it() {
        for (text, name, op, value) in [
            ("alertname=errors", "alertname", MatchOp::Equal, "errors"),
            ("alertname=\"api \\\"x\\\"\"", "alertname", MatchOp::Equal, "api \"x\""),
            ("source=~\"web-.*\"", "source", MatchOp::Matches, "web-.*"),
            ("source!~\"a|b\"", "source", MatchOp::NotMatches, "a|b"),
            ("{team!=\"db\"}", "team", MatchOp::NotEqual, "db"),
        ] {
            let found = matcher(text).unwrap();
            assert_eq!(
                (found.name.as_str(), found.op, found.value.as_str()),
                (name, op, value),
                "{text}"
            );
        }
        assert!(matcher("nothing").is_none());
    }
}
