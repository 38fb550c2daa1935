//! Everything that alerting knows, owned by one task: incidents, the outbox, and the documents to write next.
//!
//! Pure: each method changes values and notes the documents that must become durable before anybody hears of it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use streamflow_model::{Alert, AlertState, Channel, Delivery, DeliveryState, Instant, Rule, RuleDraft};
use streamflow_plugin_host::DeliverError;
use streamflow_storage::DocOp;
use streamflow_web::{ApiError, ApiResult};
use uuid::Uuid;

pub(crate) mod policies;
pub(crate) mod provision;

use crate::{
    book::{Book, Changes},
    documents::{ALERT, CHANNEL, DELIVERY, GROUP, RULE, newest_first},
    gate::BreakerLimits,
    incident::Incident,
    options::Options,
    outbox::{Outbox, Outgoing},
};

/// Waiting notifications that a refusal lists.
const LISTED: usize = 20;

/// State of alerting.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Incidents, rules, channels.
    pub(crate) book: Book,
    /// Notifications under way.
    pub(crate) outbox: Outbox,
    options: Options,
    ops: BTreeMap<(&'static str, String), DocOp>,
    /// Documents of finished deliveries, oldest first.
    finished: VecDeque<String>,
    /// Given-up notifications that are to be sent again.
    again: Vec<Outgoing>,
    rules_changed: bool,
    channels_changed: bool,
    breakers_opened: u64,
}

/// What must be durable, and what may be told then.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Documents.
    pub(crate) ops: Vec<DocOp>,
    /// Changes of incidents.
    pub(crate) changes: Changes,
    /// Notifications that are to be sent again.
    pub(crate) again: Vec<Outgoing>,
    /// Whether rules have changed.
    pub(crate) rules_changed: bool,
    /// Whether channels have changed.
    pub(crate) channels_changed: bool,
    /// Breakers of channels that have opened.
    pub(crate) breakers_opened: u64,
}

impl Desk {
    /// `finished`: documents of finished deliveries, oldest first.
    pub(crate) fn new(book: Book, mut outbox: Outbox, finished: VecDeque<String>, options: Options) -> Self {
        outbox.set_limits(BreakerLimits {
            failures: options.breaker_failures,
            pause: options.breaker_pause,
            longest: options.breaker_longest,
        });
        for channel in book.channels().values() {
            outbox.open_channel(&channel.name, channel.rate_per_minute);
        }
        Self {
            book,
            outbox,
            options,
            ops: BTreeMap::new(),
            finished,
            again: Vec::new(),
            rules_changed: true,
            channels_changed: true,
            breakers_opened: 0,
        }
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: i64) {
        self.book.tick(now);
        self.forget_silences(now);
    }

    /// Takes what has changed since the last call.
    pub(crate) fn take_batch(&mut self) -> ApiResult<Batch> {
        let changes = self.book.take_changes();
        for incident in &changes.replaced {
            put(&mut self.ops, ALERT, newest_first(&incident.alert.id), incident)?;
        }
        for key in &changes.written {
            if let Some(incident) = self.book.incident(key) {
                put(&mut self.ops, ALERT, newest_first(&incident.alert.id), incident)?;
            }
        }
        let forgotten = changes.forgotten.iter().map(|alert| &alert.id);
        for id in changes.expired.iter().chain(forgotten) {
            delete(&mut self.ops, ALERT, newest_first(id));
        }
        for incident in &changes.older {
            put(&mut self.ops, ALERT, newest_first(&incident.alert.id), incident)?;
        }
        for key in &changes.groups {
            if let Some(group) = self.book.group(key) {
                put(&mut self.ops, GROUP, group.id.clone(), group)?;
            }
        }
        for id in &changes.groups_ended {
            delete(&mut self.ops, GROUP, id.clone());
        }
        for outgoing in &changes.outgoing {
            put(&mut self.ops, DELIVERY, newest_first(&outgoing.delivery.id), outgoing)?;
        }
        while self.finished.len() > self.options.keep_at_most {
            if let Some(id) = self.finished.pop_front() {
                delete(&mut self.ops, DELIVERY, id);
            }
        }
        Ok(Batch {
            ops: std::mem::take(&mut self.ops).into_values().collect(),
            changes,
            again: std::mem::take(&mut self.again),
            rules_changed: std::mem::take(&mut self.rules_changed),
            channels_changed: std::mem::take(&mut self.channels_changed),
            breakers_opened: std::mem::take(&mut self.breakers_opened),
        })
    }

    /// Books the outcome of an attempt to send.
    pub(crate) fn sent(
        &mut self,
        mut outgoing: Outgoing,
        outcome: Result<String, DeliverError>,
        now: i64,
        jitter: f64,
    ) -> ApiResult<Delivery> {
        // A channel that refuses a message works.
        let works = !matches!(outcome, Err(DeliverError::Transient { .. }));
        self.breakers_opened += u64::from(self.outbox.heard(&outgoing.delivery.channel, works, now));
        outgoing.after(outcome, now, jitter, &self.options);
        let delivery = outgoing.delivery.clone();
        let (channel, status) = (&delivery.channel, &delivery.status);
        let outcome = match delivery.state {
            DeliveryState::Pending => None,
            DeliveryState::Delivered => {
                self.outbox.mended(channel);
                Some(("notified", format!("{channel}: {status}")))
            }
            DeliveryState::Failed => {
                self.outbox.gave_up(channel);
                if self.book.channels().get(channel).is_some_and(|one| !one.enabled) {
                    // Nobody expects it to work.
                    self.outbox.mended(channel);
                }
                let error = delivery.error.as_deref().unwrap_or("");
                Some(("not notified", format!("{channel}: {status}: {error}")))
            }
        };
        if let Some((what, detail)) = outcome {
            for id in about(&delivery) {
                self.book.note(id, what, &detail, now);
            }
        }
        self.write_delivery(&outgoing)?;
        self.outbox.book(outgoing);
        Ok(delivery)
    }

    /// Keeps a delivery that was made elsewhere, such as a test message.
    pub(crate) fn log(&mut self, outgoing: &Outgoing) -> ApiResult<()> {
        if outgoing.delivery.state == DeliveryState::Delivered {
            self.outbox.mended(&outgoing.delivery.channel);
        }
        self.write_delivery(outgoing)
    }

    /// Sends a given-up notification again.
    pub(crate) fn retry(&mut self, mut outgoing: Outgoing, now: i64) -> ApiResult<Delivery> {
        let document = newest_first(&outgoing.delivery.id);
        if outgoing.delivery.state != DeliveryState::Failed || !self.finished.contains(&document) {
            return Err(ApiError::conflict("only a failed delivery can be sent again"));
        }
        if outgoing.notice.state == AlertState::Resolved
            && let Some(newer) = self.book.fires_under(&outgoing.notice.key)
        {
            let message =
                format!("{newer} fires now under the same key, and to its receiver this would be the end of it");
            return Err(ApiError::conflict(message).with_details(serde_json::json!({"fires": newer})));
        }
        self.finished.retain(|id| *id != document);
        outgoing.again(now);
        self.write_delivery(&outgoing)?;
        self.again.push(outgoing.clone());
        Ok(outgoing.delivery)
    }

    /// Makes a rule (`id` = `None`) or replaces one, of this version when one is given. Its expressions and channels have
    /// been checked.
    pub(crate) fn save_rule(
        &mut self,
        id: Option<&str>,
        draft: RuleDraft,
        version: Option<i64>,
        by: &str,
        now: i64,
    ) -> ApiResult<Rule> {
        let rules = self.book.rules();
        let taken = rules
            .values()
            .any(|rule| rule.draft.name == draft.name && Some(rule.id.as_str()) != id);
        if taken {
            return Err(ApiError::conflict(format!(
                "there is a rule called `{}` already",
                draft.name
            )));
        }
        let now_at = Instant(now);
        let rule = match id {
            None => {
                let id = Uuid::now_v7().to_string();
                Rule {
                    id,
                    draft,
                    version: 1,
                    created_at: now_at,
                    updated_at: now_at,
                    provisioned: None,
                }
            }
            Some(id) => {
                let before = rules.get(id).ok_or_else(|| no_rule(id))?;
                provision::not_in_a_file("rule", before.provisioned.as_ref())?;
                if version.is_some_and(|version| version != before.version) {
                    let message = format!("the rule has changed meanwhile; it has version {} now", before.version);
                    return Err(ApiError::conflict(message));
                }
                Rule {
                    draft,
                    version: before.version + 1,
                    updated_at: now_at,
                    ..Rule::clone(before)
                }
            }
        };
        put(&mut self.ops, RULE, rule.id.clone(), &rule)?;
        self.book.put_rule(rule.clone(), by, now);
        self.rules_changed = true;
        Ok(rule)
    }

    /// Removes a rule that no file holds; its open alerts are over.
    pub(crate) fn delete_rule(&mut self, id: &str, by: &str, now: i64) -> ApiResult<()> {
        let rule = self.book.rules().get(id).ok_or_else(|| no_rule(id))?;
        provision::not_in_a_file("rule", rule.provisioned.as_ref())?;
        self.remove_rule(id, by, now)
    }

    fn remove_rule(&mut self, id: &str, by: &str, now: i64) -> ApiResult<()> {
        self.book.remove_rule(id, by, now).ok_or_else(|| no_rule(id))?;
        delete(&mut self.ops, RULE, id.to_owned());
        self.rules_changed = true;
        Ok(())
    }

    /// Makes a channel (`new`) or replaces one. Its plugin has taken the configuration, and its secrets are sealed.
    pub(crate) fn save_channel(&mut self, mut channel: Channel, new: bool, now: i64) -> ApiResult<Channel> {
        let before = self.book.channels().get(&channel.name);
        channel.created_at = match (before, new) {
            (Some(_), true) => {
                return Err(ApiError::conflict(format!(
                    "there is a channel called `{}` already",
                    channel.name
                )));
            }
            (None, false) => return Err(no_channel(&channel.name)),
            (Some(before), false) => {
                provision::not_in_a_file("channel", before.provisioned.as_ref())?;
                before.created_at
            }
            (None, true) => Instant(now),
        };
        channel.updated_at = Instant(now);
        self.put_channel(channel.clone())?;
        Ok(channel)
    }

    /// Takes a channel as it is.
    pub(crate) fn put_channel(&mut self, channel: Channel) -> ApiResult<()> {
        put(&mut self.ops, CHANNEL, channel.name.clone(), &channel)?;
        self.outbox.open_channel(&channel.name, channel.rate_per_minute);
        self.outbox.mended(&channel.name);
        self.book.put_channel(channel);
        self.channels_changed = true;
        Ok(())
    }

    /// Removes a channel that nothing names, and through which nothing waits to be told; with `force` that is given up.
    pub(crate) fn delete_channel(&mut self, name: &str, force: bool) -> ApiResult<()> {
        let channel = self.book.channels().get(name).ok_or_else(|| no_channel(name))?;
        provision::not_in_a_file("channel", channel.provisioned.as_ref())?;
        unused("channel", self.book.users_of(name))?;
        let made = self
            .book
            .outgoing()
            .filter(|outgoing| outgoing.delivery.channel == name);
        let waiting: Vec<&Outgoing> = self.outbox.waiting(name).chain(made).collect();
        if let Some(one) = waiting.first().filter(|_| !force) {
            let listed = waiting.iter().take(LISTED).map(|outgoing| {
                let (delivery, notice) = (&outgoing.delivery, &outgoing.notice);
                serde_json::json!({"id": delivery.id, "status": delivery.status, "title": notice.title, "alert_id": delivery.alert_id})
            });
            let message = format!(
                "{} notifications still wait to be told through this channel, among them `{}` ({}); `?force=true` gives them up",
                waiting.len(),
                one.notice.title,
                one.delivery.status
            );
            let details = serde_json::json!({"waiting": waiting.len(), "deliveries": listed.collect::<Vec<_>>()});
            return Err(ApiError::conflict(message).with_details(details));
        }
        delete(&mut self.ops, CHANNEL, name.to_owned());
        self.outbox.close_channel(name);
        self.book.remove_channel(name);
        self.channels_changed = true;
        Ok(())
    }

    /// Plugins whose channels are told of acknowledgements.
    pub(crate) fn set_acknowledging(&mut self, plugins: Vec<String>) {
        self.book.set_acknowledging(plugins);
    }

    /// A person takes an alert.
    pub(crate) fn acknowledge(&mut self, id: &str, by: &str, comment: &str, now: i64) -> ApiResult<Alert> {
        self.book.warm_id(id);
        if self.open_alert(id)?.alert.fired_at.is_none() {
            return Err(ApiError::conflict("the alert does not fire yet"));
        }
        self.book.acknowledge(id, by, comment, now).ok_or_else(|| no_alert(id))
    }

    /// A person closes an alert.
    pub(crate) fn resolve(&mut self, id: &str, by: &str, comment: &str, now: i64) -> ApiResult<Alert> {
        self.book.warm_id(id);
        self.open_alert(id)?;
        self.book.resolve(id, by, comment, now).ok_or_else(|| no_alert(id))
    }

    fn open_alert(&self, id: &str) -> ApiResult<&Incident> {
        let incident = self.book.by_id(id).ok_or_else(|| no_alert(id))?;
        if incident.is_open() {
            Ok(incident)
        } else {
            Err(ApiError::conflict("the alert is already resolved"))
        }
    }

    fn write_delivery(&mut self, outgoing: &Outgoing) -> ApiResult<()> {
        let document = newest_first(&outgoing.delivery.id);
        if outgoing.delivery.state != DeliveryState::Pending {
            self.finished.push_back(document.clone());
        }
        put(&mut self.ops, DELIVERY, document, outgoing)
    }
}

/// Refuses to remove what others name.
fn unused(what: &str, users: Vec<String>) -> ApiResult<()> {
    if users.is_empty() {
        return Ok(());
    }
    let message = format!("this {what} is in use by {}", users.join(", "));
    Err(ApiError::conflict(message).with_details(serde_json::json!({"users": users})))
}

/// The alerts that a delivery tells of.
fn about(delivery: &Delivery) -> &[String] {
    if delivery.alert_ids.is_empty() {
        std::slice::from_ref(&delivery.alert_id)
    } else {
        &delivery.alert_ids
    }
}

fn put(
    ops: &mut BTreeMap<(&'static str, String), DocOp>,
    kind: &'static str,
    id: String,
    body: &impl Serialize,
) -> ApiResult<()> {
    let text = serde_json::to_string(body).map_err(ApiError::internal)?.into();
    ops.insert((kind, id.clone()), DocOp::Write { kind, id, text });
    Ok(())
}

fn delete(ops: &mut BTreeMap<(&'static str, String), DocOp>, kind: &'static str, id: String) {
    ops.insert(
        (kind, id.clone()),
        DocOp::Delete {
            kind: kind.to_owned(),
            id,
        },
    );
}

pub(crate) fn no_rule(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no rule {id}"))
}

pub(crate) fn no_channel(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no channel called `{name}`"))
}

pub(crate) fn no_alert(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no alert {id}"))
}
