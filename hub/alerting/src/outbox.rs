//! Notifications that wait to be sent: in order for each alert and channel, and a bounded number at once for each channel.
//!
//! Pure: the shell sends what [`Outbox::take`] hands out and reports with [`Outbox::done`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use streamflow_model::{Delivery, DeliveryState, Instant};
use streamflow_plugin_host::{DeliverError, Notice};
use uuid::Uuid;

use crate::{incident::Incident, options::Options};

/// Longest wait that a receiver may ask for.
const LONGEST_RETRY_AFTER_MS: i64 = 3_600_000;

/// A notification with its text; one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    /// What people see.
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    /// What is sent.
    pub(crate) notice: Notice,
    /// Its age counts from here: when it was made, or sent again by hand.
    pub(crate) since: i64,
    /// When the newest event behind it was stored.
    pub(crate) stored_at: i64,
}

impl Outgoing {
    /// A new notification about an incident as it is now.
    pub(crate) fn about(incident: &Incident, channel: &str, external_url: &str, now: i64) -> Self {
        let alert = &incident.alert;
        let status = alert.state.name();
        let idempotency_key = format!("{}:{status}:{}", alert.id, incident.memory.notices);
        let group_labels = alert
            .labels
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "alertname" | "level"));
        let notice = Notice {
            id: alert.id.clone(),
            rule_id: alert.rule_id.clone(),
            rule: alert.rule_name.clone(),
            key: alert.group_key.clone(),
            state: alert.state,
            level: alert.level,
            title: alert.title.clone(),
            body: alert.message.clone(),
            at_ms: now,
            starts_at_ms: alert.fired_at.map_or(now, |at| at.0),
            ends_at_ms: alert.resolved_at.map(|at| at.0),
            value: Some(alert.value),
            labels: alert.labels.clone(),
            group_labels: group_labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
            annotations: BTreeMap::new(),
            idempotency_key: idempotency_key.clone(),
            external_url: external_url.to_owned(),
            url: if external_url.is_empty() {
                String::new()
            } else {
                format!("{external_url}/alerts/{}", alert.id)
            },
            test: false,
        };
        let delivery = Delivery {
            id: Uuid::now_v7().to_string(),
            alert_id: alert.id.clone(),
            channel: channel.to_owned(),
            status: status.to_owned(),
            idempotency_key,
            state: DeliveryState::Pending,
            attempts: 0,
            next_attempt_at: Some(Instant(now)),
            error: None,
            reference: None,
            created_at: Instant(now),
            delivered_at: None,
            test: false,
        };
        Self {
            delivery,
            notice,
            since: now,
            stored_at: incident.memory.stored_at,
        }
    }

    /// Books an attempt's outcome: delivered, again later, or given up. `jitter` is from 0 to 1.
    pub(crate) fn after(&mut self, outcome: Result<String, DeliverError>, now: i64, jitter: f64, options: &Options) {
        let delivery = &mut self.delivery;
        delivery.attempts += 1;
        delivery.next_attempt_at = None;
        let (reason, retry_after) = match outcome {
            Ok(reference) => {
                delivery.state = DeliveryState::Delivered;
                delivery.reference = Some(reference);
                delivery.error = None;
                delivery.delivered_at = Some(Instant(now));
                return;
            }
            Err(DeliverError::Permanent(reason)) => {
                delivery.state = DeliveryState::Failed;
                delivery.error = Some(reason);
                return;
            }
            Err(DeliverError::Transient { reason, retry_after_ms }) => (reason, retry_after_ms),
        };
        delivery.error = Some(reason);
        let next = now + wait(delivery.attempts, retry_after, jitter, options);
        if delivery.attempts >= options.max_attempts || next - self.since > options.max_age.ms() {
            delivery.state = DeliveryState::Failed;
        } else {
            delivery.next_attempt_at = Some(Instant(next));
        }
    }

    /// Makes a given-up notification wait for a new attempt, under the same idempotency key.
    pub(crate) fn again(&mut self, now: i64) {
        self.delivery.state = DeliveryState::Pending;
        self.delivery.attempts = 0;
        self.delivery.next_attempt_at = Some(Instant(now));
        self.since = now;
    }

    fn due(&self) -> i64 {
        self.delivery.next_attempt_at.map_or(i64::MAX, |at| at.0)
    }
}

/// Exponential, with half of it left to chance, so that channels that failed together do not come back together.
fn wait(attempts: u32, retry_after_ms: Option<u64>, jitter: f64, options: &Options) -> i64 {
    let doublings = attempts.saturating_sub(1).min(30);
    let full = options
        .retry_first
        .ms()
        .saturating_mul(1 << doublings)
        .min(options.retry_longest.ms());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "waits are far below 2^52 ms"
    )]
    let own = (full as f64 * (0.5 + 0.5 * jitter)) as i64;
    let asked = retry_after_ms.map_or(0, |ms| {
        i64::try_from(ms).unwrap_or(i64::MAX).min(LONGEST_RETRY_AFTER_MS)
    });
    own.max(asked)
}

/// Which queue a notification stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    /// Channel.
    pub(crate) channel: String,
    /// Alert.
    pub(crate) alert_id: String,
}

#[derive(Debug, Default)]
struct ChannelQueue {
    /// Heads of the alerts' queues by the time when they may be sent.
    ready: BTreeSet<(i64, String)>,
    running: usize,
}

/// Notifications that are not delivered yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    alerts: HashMap<Lane, VecDeque<Outgoing>>,
    channels: BTreeMap<String, ChannelQueue>,
    len: usize,
}

impl Outbox {
    /// Adds a notification behind those of the same alert and channel.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        let lane = lane(&outgoing);
        let queue = self.alerts.entry(lane.clone()).or_default();
        if queue.iter().any(|waiting| waiting.delivery.id == outgoing.delivery.id) {
            return;
        }
        if queue.is_empty() {
            let channel = self.channels.entry(lane.channel).or_default();
            channel.ready.insert((outgoing.due(), lane.alert_id));
        }
        queue.push_back(outgoing);
        self.len += 1;
    }

    /// The next notification that may be sent; it stays in its place until [`Self::done`].
    pub(crate) fn take(&mut self, now: i64, at_once: usize) -> Option<Outgoing> {
        let may_send =
            |queue: &&mut ChannelQueue| queue.running < at_once && queue.ready.first().is_some_and(|r| r.0 <= now);
        let (name, channel) = self
            .channels
            .iter_mut()
            .find_map(|(name, queue)| may_send(&queue).then_some((name, queue)))?;
        let (_, alert_id) = channel.ready.pop_first()?;
        channel.running += 1;
        let lane = Lane {
            channel: name.clone(),
            alert_id,
        };
        self.alerts.get(&lane).and_then(VecDeque::front).cloned()
    }

    /// Reports the outcome of what `take` handed out: again later, or finished.
    pub(crate) fn done(&mut self, outgoing: Outgoing) {
        let lane = lane(&outgoing);
        let (Some(queue), Some(channel)) = (self.alerts.get_mut(&lane), self.channels.get_mut(&lane.channel)) else {
            return;
        };
        channel.running = channel.running.saturating_sub(1);
        if outgoing.delivery.state == DeliveryState::Pending {
            queue[0] = outgoing;
        } else {
            queue.pop_front();
            self.len -= 1;
        }
        match queue.front() {
            Some(head) => drop(channel.ready.insert((head.due(), lane.alert_id))),
            None => drop(self.alerts.remove(&lane)),
        }
        self.channels
            .retain(|_, queue| queue.running > 0 || !queue.ready.is_empty());
    }

    /// When the next notification may be sent, of channels that have room.
    pub(crate) fn due(&self, at_once: usize) -> Option<i64> {
        let with_room = self.channels.values().filter(|queue| queue.running < at_once);
        with_room
            .filter_map(|queue| queue.ready.first())
            .map(|(due, _)| *due)
            .min()
    }

    /// Notifications that wait or are being sent.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

fn lane(outgoing: &Outgoing) -> Lane {
    Lane {
        channel: outgoing.delivery.channel.clone(),
        alert_id: outgoing.delivery.alert_id.clone(),
    }
}

#[cfg(test)]
mod tests;
