//! Notifications that wait to be sent: in order for each key and channel, and a bounded number at once for each channel.
//!
//! Pure: the shell sends what [`Outbox::take`] hands out and reports with [`Outbox::book`].

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use streamflow_model::{Delivery, DeliveryState, Instant};
use streamflow_plugin_host::{DeliverError, Notice};

use crate::{
    gate::{BreakerLimits, BreakerState, Gate},
    held::{Cause, OnDuty},
    options::Options,
    queue::{ChannelQueue, Lane},
};

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
    /// Why it was made.
    #[serde(default)]
    pub(crate) cause: Cause,
    /// By which on-call schedule it goes to this channel, and to whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oncall: Option<OnDuty>,
}

impl Outgoing {
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

/// How a channel does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct ChannelHealth {
    /// Where its circuit breaker stands.
    pub breaker: BreakerState,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Nothing is sent until then.
    pub paused_until: Option<Instant>,
    /// Notifications that wait or are being sent.
    pub waiting: usize,
    /// Notifications given up since the hub started: dead letters.
    pub given_up: u64,
    /// Whether the last one was given up: no longer once one is delivered, or the channel is saved. None before that.
    pub failing: Option<bool>,
}

/// Notifications that are not delivered yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: HashMap<Lane, VecDeque<Outgoing>>,
    channels: BTreeMap<String, ChannelQueue>,
    gates: BTreeMap<String, Gate>,
    limits: BreakerLimits,
    len: usize,
    /// Lanes whose notification is sent and not booked yet, and no longer counts as under way.
    left: HashSet<Lane>,
    /// Lanes whose outcome is booked and not durable yet.
    booked: Vec<Lane>,
}

impl Outbox {
    /// Sets when breakers open.
    pub(crate) const fn set_limits(&mut self, limits: BreakerLimits) {
        self.limits = limits;
    }

    /// A channel is there, with a limit of notifications a minute.
    pub(crate) fn open_channel(&mut self, channel: &str, per_minute: Option<u32>) {
        self.gates.entry(channel.to_owned()).or_default().limit(per_minute);
    }

    /// A channel is gone.
    pub(crate) fn close_channel(&mut self, channel: &str) {
        self.gates.remove(channel);
    }

    /// Whether a channel worked; answers whether its breaker has opened by that.
    pub(crate) fn heard(&mut self, channel: &str, works: bool, now: i64) -> bool {
        let limits = self.limits;
        self.gates
            .get_mut(channel)
            .is_some_and(|gate| gate.heard(works, now, limits))
    }

    /// A notification was given up.
    pub(crate) fn gave_up(&mut self, channel: &str) {
        if let Some(gate) = self.gates.get_mut(channel) {
            gate.given_up += 1;
            gate.failing = Some(true);
        }
    }

    /// A notification was delivered, or the channel is another now.
    pub(crate) fn mended(&mut self, channel: &str) {
        if let Some(gate) = self.gates.get_mut(channel) {
            gate.failing = Some(false);
        }
    }

    /// How each channel does.
    pub(crate) fn health(&self, now: i64) -> BTreeMap<String, ChannelHealth> {
        let of = |(name, gate): (&String, &Gate)| {
            let (failures, until) = gate.trouble();
            let health = ChannelHealth {
                breaker: gate.state(now),
                failures,
                paused_until: until,
                waiting: self.channels.get(name).map_or(0, |queue| queue.len),
                given_up: gate.given_up,
                failing: gate.failing,
            };
            (name.clone(), health)
        };
        self.gates.iter().map(of).collect()
    }

    /// Adds a notification behind those of the same key and channel.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        let lane = lane(&outgoing);
        let held = self.booked.contains(&lane);
        let queue = self.lanes.entry(lane.clone()).or_default();
        if queue.iter().any(|waiting| waiting.delivery.id == outgoing.delivery.id) {
            return;
        }
        let channel = self.channels.entry(lane.channel).or_default();
        channel.len += 1;
        if queue.is_empty() && !held {
            channel.wait(outgoing.due(), lane.about);
        }
        queue.push_back(outgoing);
        self.len += 1;
    }

    /// The next notification that may be sent; it stays in its place until [`Self::book`].
    pub(crate) fn take(&mut self, now: i64, at_once: usize) -> Option<Outgoing> {
        let (gates, lanes) = (&self.gates, &self.lanes);
        let (name, channel) = self
            .channels
            .iter_mut()
            .find(|(name, queue)| queue.opens(gates.get(*name), at_once).is_some_and(|at| at <= now))?;
        let about = channel.next(now, |about| {
            let lane = Lane {
                channel: name.clone(),
                about: about.to_owned(),
            };
            lanes.get(&lane).and_then(VecDeque::front).map_or("", flow).to_owned()
        })?;
        if let Some(gate) = self.gates.get_mut(name) {
            gate.send(now);
        }
        let lane = Lane {
            channel: name.clone(),
            about,
        };
        self.lanes.get(&lane).and_then(VecDeque::front).cloned()
    }

    /// What `take` handed out has left: another may be sent, though not of its lane before [`Self::settled`].
    pub(crate) fn leave(&mut self, outgoing: &Outgoing) {
        let lane = lane(outgoing);
        if let Some(channel) = self.channels.get_mut(&lane.channel) {
            channel.running = channel.running.saturating_sub(1);
            self.left.insert(lane);
        }
    }

    /// Books the outcome of what `take` handed out: again later, or finished. Those behind it wait for [`Self::settled`].
    pub(crate) fn book(&mut self, outgoing: Outgoing) {
        let lane = lane(&outgoing);
        let (Some(queue), Some(channel)) = (self.lanes.get_mut(&lane), self.channels.get_mut(&lane.channel)) else {
            return;
        };
        if !self.left.remove(&lane) {
            channel.running = channel.running.saturating_sub(1);
        }
        if outgoing.delivery.state == DeliveryState::Pending {
            queue[0] = outgoing;
        } else {
            queue.pop_front();
            channel.len -= 1;
            self.len -= 1;
        }
        self.booked.push(lane);
    }

    /// What was booked is durable: a crash would no longer repeat it, and those behind it may follow.
    pub(crate) fn settled(&mut self) {
        for lane in std::mem::take(&mut self.booked) {
            let head = self.lanes.get(&lane).and_then(VecDeque::front).map(Outgoing::due);
            match (head, self.channels.get_mut(&lane.channel)) {
                (Some(due), Some(channel)) => channel.wait(due, lane.about),
                _ => drop(self.lanes.remove(&lane)),
            }
        }
        self.channels.retain(|_, queue| !queue.is_idle());
    }

    /// Books an outcome that is as good as durable.
    pub(crate) fn done(&mut self, outgoing: Outgoing) {
        self.book(outgoing);
        self.settled();
    }

    /// When the next notification may be sent, of channels that have room.
    pub(crate) fn due(&self, at_once: usize) -> Option<i64> {
        let channels = self.channels.iter();
        channels
            .filter_map(|(name, queue)| queue.opens(self.gates.get(name), at_once))
            .min()
    }

    /// Notifications that wait for a channel, or are being sent through it.
    pub(crate) fn waiting(&self, channel: &str) -> impl Iterator<Item = &Outgoing> {
        let of_channel = self.lanes.iter().filter(move |(lane, _)| lane.channel == channel);
        of_channel.flat_map(|(_, queue)| queue)
    }

    /// Notifications that wait or are being sent.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// Notifications of one flow do not hold up those of another.
fn flow(outgoing: &Outgoing) -> &str {
    let delivery = &outgoing.delivery;
    delivery.group_id.as_ref().unwrap_or(&outgoing.notice.rule_id)
}

/// Receivers know alerts by their key (a `dedup_key`, an alias), and one that fires anew has the key of the one before: the end of
/// that one, told late, would end the new one there.
fn lane(outgoing: &Outgoing) -> Lane {
    let Outgoing { delivery, notice, .. } = outgoing;
    let about = if notice.key.is_empty() {
        delivery.group_id.as_ref().unwrap_or(&delivery.alert_id)
    } else {
        &notice.key
    };
    Lane {
        channel: delivery.channel.clone(),
        about: about.clone(),
    }
}

#[cfg(test)]
mod tests;
