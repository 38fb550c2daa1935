//! `/api/v1/channels`

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use streamflow_model::{AlertState, Channel, Delivery, DeliveryState, Hours, Instant, Level, Role, RuleError, Span};
use streamflow_plugin_host::{ChannelError, DeliverError, Notice};
use streamflow_web::{ApiError, ApiResult, Data, Identity, Json, Page, PageQuery, Path, Query};
use uuid::Uuid;

use super::{Rooms, editable};
use crate::{
    calendar::Calendar,
    desk::{Desk, no_channel},
    gate::MOST_PER_MINUTE,
    held::Cause,
    link,
    matchers::{refuse, wrong},
    outbox::{ChannelHealth, Outgoing},
    seal::sealed,
    template,
};

/// Stands in answers for a secret; in a request it means the one that is kept.
const MASK: &str = "***";
/// Fields of a channel that the hub writes.
const READ_ONLY: [&str; 4] = ["created_at", "updated_at", "health", "provisioned"];

/// A channel as a user writes it.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelDraft {
    /// Unique name.
    name: String,
    /// Channel plugin that delivers.
    plugin: String,
    /// The plugin's configuration.
    #[serde(default)]
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    /// Alerts below this level are not sent here.
    #[serde(default)]
    level: Level,
    /// Outside of these times notifications wait.
    #[serde(default)]
    active_hours: Option<Hours>,
    /// At most this many notifications in any minute, 1 to 6000.
    #[serde(default)]
    rate_per_minute: Option<u32>,
    /// Template of the one line of a message.
    #[serde(default)]
    title_template: Option<String>,
    /// Template of the text of a message.
    #[serde(default)]
    body_template: Option<String>,
    /// A disabled channel delivers nothing.
    #[serde(default = "yes")]
    enabled: bool,
}

/// A channel as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChannelView {
    #[serde(flatten)]
    channel: Channel,
    /// How it does.
    health: ChannelHealth,
}

impl ChannelDraft {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

const fn yes() -> bool {
    true
}

/// Lists channels by name
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", params(PageQuery), responses((status = 200, body = Page<ChannelView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    identity: Identity,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<ChannelView>>> {
    identity.require(Role::Viewer)?;
    let limit = query.limit()?;
    let after = query.cursor.unwrap_or_default();
    let channels = rooms.handle.board.channels.borrow().clone();
    let page = channels.values().filter(|channel| channel.name > after).take(limit + 1);
    let page = page.map(|channel| masked(&rooms, channel)).collect();
    Ok(Json(Page::cut(page, limit, |view: &ChannelView| {
        view.channel.name.clone()
    })))
}

/// Makes a channel
#[utoipa::path(post, path = "/api/v1/channels", tag = "channels", request_body = ChannelDraft,
    responses((status = 201, body = Data<ChannelView>), (status = 409, description = "The name is taken.")))]
pub(super) async fn create(
    State(rooms): State<Rooms>,
    identity: Identity,
    Json(draft): Json<ChannelDraft>,
) -> ApiResult<impl IntoResponse> {
    Ok((StatusCode::CREATED, save(&rooms, &identity, draft, true).await?))
}

/// Reads a channel
#[utoipa::path(get, path = "/api/v1/channels/{name}", tag = "channels", params(("name" = String, Path)),
    responses((status = 200, body = Data<ChannelView>)))]
pub(super) async fn read(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<Json<Data<ChannelView>>> {
    identity.require(Role::Viewer)?;
    Ok(Json(Data {
        data: masked(&rooms, &find(&rooms, &name)?),
    }))
}

/// Replaces a channel
///
/// A secret given as `***` stays as it is.
#[utoipa::path(put, path = "/api/v1/channels/{name}", tag = "channels", params(("name" = String, Path)), request_body = ChannelDraft,
    responses((status = 200, body = Data<ChannelView>)))]
pub(super) async fn replace(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Json(mut body): Json<Map<String, Value>>,
) -> ApiResult<Json<Data<ChannelView>>> {
    if body
        .insert("name".to_owned(), json!(name))
        .is_some_and(|given| given != name.as_str())
    {
        return Err(
            ApiError::validation("a channel cannot be renamed; make a new one").with_details(json!({"field": "name"}))
        );
    }
    save(&rooms, &identity, editable(body, &READ_ONLY)?, false).await
}

/// How to remove a channel.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Removal {
    /// Give up the notifications that still wait for it.
    force: bool,
}

/// Removes a channel that no rule uses, and for which nothing waits
#[utoipa::path(delete, path = "/api/v1/channels/{name}", tag = "channels", params(("name" = String, Path), Removal),
    responses((status = 204), (status = 409, description = "Rules use it, or notifications wait to be told through it; `details` names them.")))]
pub(super) async fn remove(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
) -> ApiResult<StatusCode> {
    identity.require(Role::Editor)?;
    let work = move |desk: &mut Desk, _| desk.delete_channel(&name, removal.force);
    rooms.handle.call(work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a marked test message at once and answers with its outcome
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "channels", params(("name" = String, Path)),
    responses((status = 200, body = Data<Delivery>, description = "`state` is `delivered`, or `failed` with the reason in `error`.")))]
pub(super) async fn test(
    State(rooms): State<Rooms>,
    identity: Identity,
    Path(name): Path<String>,
) -> ApiResult<Json<Data<Delivery>>> {
    identity.require(Role::Editor)?;
    let channel = find(&rooms, &name)?;
    let mut outgoing = test_message(&channel, &identity.name, &rooms.external_url);
    // A template that fails is told here, and not hidden by the hub's own words.
    let wording = template::word(&mut outgoing.notice, &channel);
    // A test message has no alert that could be acknowledged.
    link::put_in(&mut outgoing.notice, &outgoing.delivery, &channel, None, "", Span::ZERO);
    let outcome = match rooms.vault.config(&channel) {
        _ if wording.is_err() => Err(DeliverError::Permanent(wording.err().unwrap_or_default())),
        Ok(config) => {
            let Channel { plugin, name, .. } = &channel;
            rooms.sender.deliver(plugin, name, &config, &outgoing.notice, 1).await
        }
        Err(error) => Err(error.into()),
    };
    let delivery = &mut outgoing.delivery;
    delivery.attempts = 1;
    match outcome {
        Ok(reference) => {
            delivery.state = DeliveryState::Delivered;
            delivery.reference = Some(reference);
            delivery.delivered_at = Some(Instant::now());
        }
        Err(error) => delivery.error = Some(error.to_string()),
    }
    let data = delivery.clone();
    rooms.handle.call(move |desk, _| desk.log(&outgoing)).await?;
    Ok(Json(Data { data }))
}

async fn save(
    rooms: &Rooms,
    identity: &Identity,
    draft: ChannelDraft,
    new: bool,
) -> ApiResult<Json<Data<ChannelView>>> {
    identity.require(Role::Editor)?;
    let before = rooms.handle.board.channels.borrow().get(&draft.name).cloned();
    let channel = prepare(rooms, draft, before.as_deref()).await?;
    let acknowledging = rooms.sender.acknowledging();
    let channel = rooms
        .handle
        .call(move |desk, now| {
            // A plugin may have come since the start.
            desk.set_acknowledging(acknowledging);
            desk.save_channel(channel, new, now)
        })
        .await?;
    Ok(Json(Data {
        data: masked(rooms, &channel),
    }))
}

/// A channel as it can be saved: its plugin has taken the configuration, and its secrets are sealed. A secret given as `***` is
/// the one of the channel `before`.
pub(crate) async fn prepare(rooms: &Rooms, draft: ChannelDraft, before: Option<&Channel>) -> ApiResult<Channel> {
    let ChannelDraft {
        name,
        plugin,
        mut config,
        level,
        active_hours,
        rate_per_minute,
        title_template,
        body_template,
        enabled,
    } = draft;
    if name.is_empty() || name.len() > 128 || name.contains(|c: char| c == '/' || c.is_control()) {
        let message = "`name` must have 1 to 128 bytes and hold no `/`";
        return Err(ApiError::validation(message).with_details(json!({"field": "name"})));
    }
    for (key, value) in config.iter_mut().filter(|(_, value)| *value == MASK) {
        let wrong = |reason| ApiError::validation(reason).with_details(json!({"field": format!("config.{key}")}));
        let kept = before
            .filter(|before| before.plugin == plugin)
            .and_then(|before| before.config.get(key));
        let kept = kept.ok_or_else(|| wrong(format!("`config.{key}` is `***`, but no secret is kept for it")))?;
        *value = rooms
            .vault
            .open(&name, key, kept)
            .map_err(|error| wrong(error.to_string()))?;
    }
    rooms.sender.check(&plugin, &config).await.map_err(refused)?;
    let secret = rooms.sender.secret_keys(&plugin);
    // What merely looks sealed is sealed as well, so that opening it gives back what was written.
    let must = |key: &str, value: &Value| sealed(value).is_some() || secret.iter().any(|own| own == key);
    rooms
        .vault
        .seal(&name, &mut config, must)
        .map_err(|error| ApiError::unavailable(60).with_message(error.to_string()))?;
    let at = Instant::default();
    let channel = Channel {
        name,
        plugin,
        config,
        level,
        active_hours,
        rate_per_minute,
        title_template,
        body_template,
        enabled,
        created_at: at,
        updated_at: at,
        provisioned: None,
    };
    let errors = mistakes(&channel);
    if !errors.is_empty() {
        return Err(refuse("the channel", &errors));
    }
    Ok(channel)
}

fn mistakes(channel: &Channel) -> Vec<RuleError> {
    let mut errors = template::check(channel);
    if let Some(hours) = &channel.active_hours {
        errors.extend(Calendar::compile("active_hours", hours).err().unwrap_or_default());
    }
    if channel
        .rate_per_minute
        .is_some_and(|limit| !(1..=MOST_PER_MINUTE).contains(&limit))
    {
        errors.push(wrong("rate_per_minute", format!("must be 1 to {MOST_PER_MINUTE}")));
    }
    errors
}

fn refused(error: ChannelError) -> ApiError {
    let message = error.to_string();
    match error {
        ChannelError::UnknownPlugin { .. } => ApiError::validation(message).with_details(json!({"field": "plugin"})),
        ChannelError::Unavailable { .. } => ApiError::unavailable(5).with_message(message),
        ChannelError::Config { problems, .. } => {
            ApiError::validation(message).with_details(json!({"field": "config", "errors": problems}))
        }
    }
}

fn find(rooms: &Rooms, name: &str) -> ApiResult<Channel> {
    let channels = rooms.handle.board.channels.borrow();
    channels
        .get(name)
        .map(|channel| Channel::clone(channel))
        .ok_or_else(|| no_channel(name))
}

fn masked(rooms: &Rooms, channel: &Channel) -> ChannelView {
    let mut channel = channel.clone();
    let secret = rooms.sender.secret_keys(&channel.plugin);
    for (key, value) in &mut channel.config {
        if sealed(value).is_some() || secret.contains(key) {
            *value = json!(MASK);
        }
    }
    let health = rooms.handle.board.health.borrow().get(&channel.name).cloned();
    ChannelView {
        channel,
        health: health.unwrap_or_default(),
    }
}

fn test_message(channel: &Channel, by: &str, external_url: &str) -> Outgoing {
    let (id, now) = (Uuid::now_v7().to_string(), Instant::now());
    let idempotency_key = format!("{id}:test:1");
    let delivery = Delivery {
        id: id.clone(),
        alert_id: id.clone(),
        alert_ids: Vec::new(),
        group_id: None,
        channel: channel.name.clone(),
        status: "test".to_owned(),
        idempotency_key: idempotency_key.clone(),
        state: DeliveryState::Failed,
        attempts: 0,
        next_attempt_at: None,
        error: None,
        reference: None,
        created_at: now,
        delivered_at: None,
        test: true,
    };
    let notice = Notice {
        key: id.clone(),
        id,
        rule_id: String::new(),
        rule: "test".to_owned(),
        state: AlertState::Firing,
        level: channel.level,
        title: format!("test message for channel {}", channel.name),
        body: format!("{by} asked StreamFlow to send this. Nothing is wrong."),
        at_ms: now.0,
        starts_at_ms: now.0,
        ends_at_ms: None,
        value: None,
        labels: BTreeMap::from([("alertname".to_owned(), "test".to_owned())]),
        group_labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        idempotency_key,
        external_url: external_url.to_owned(),
        url: external_url.to_owned(),
        test: true,
        members: Vec::new(),
        omitted: 0,
    };
    Outgoing {
        delivery,
        notice,
        since: now.0,
        stored_at: 0,
        cause: Cause::Fired,
        oncall: None,
    }
}
