//! What a notification says: about one alert, or about a group of them.

use std::collections::BTreeMap;

use streamflow_model::{
    Alert, AlertState, Channel, Delivery, DeliveryState, Instant, Level,
    drill::{DRILL_WORDS, is_drill_rule},
};
use streamflow_plugin_host::{Member, Notice};
use uuid::Uuid;

use crate::{
    grouping::Group,
    held::{Cause, OnDuty},
    incident::Incident,
    outbox::Outgoing,
    template, text,
};

/// Alerts that a text lists one by one.
const LISTED: usize = 20;
/// Alerts that a notification carries one by one, and bytes of their texts: what a channel's memory and a receiver take.
const CARRIED: (usize, usize) = (500, 512 * 1024);
/// Alerts that a notification looks at one by one, and whose timelines tell what became of it; of a larger group it tells the number.
pub(crate) const NOTED: usize = 1000;

/// A group as it is told of.
pub(crate) struct Together<'a> {
    /// The group.
    pub(crate) group: &'a Group,
    /// Its alerts that go on, the first thousand.
    pub(crate) firing: &'a [&'a Alert],
    /// Its alerts that are over, and whose end has not been told; the first thousand.
    pub(crate) over: &'a [&'a Alert],
    /// How many go on, and how many are over.
    pub(crate) counts: (usize, usize),
    /// The highest level of all of them.
    pub(crate) level: Level,
    /// Address of the hub as people reach it; may be empty.
    pub(crate) external_url: &'a str,
}

impl Outgoing {
    /// A new notification about an incident as it is now.
    pub(crate) fn about(incident: &Incident, channel: &Channel, external_url: &str, now: i64) -> Self {
        let alert = &incident.alert;
        let key = format!("{}:{}:{}", alert.id, alert.state.name(), incident.memory.notices);
        let notice = Notice {
            key: alert.group_key.clone(),
            idempotency_key: key,
            ..single(alert, external_url, now)
        };
        Self::new(
            notice,
            channel,
            vec![alert.id.clone()],
            None,
            incident.memory.stored_at,
            now,
        )
    }

    /// A new notification about a group as it is now.
    pub(crate) fn about_group(together: &Together<'_>, channel: &Channel, now: i64) -> Self {
        let Together {
            group,
            firing,
            over,
            external_url,
            ..
        } = *together;
        let state = if firing.is_empty() {
            AlertState::Resolved
        } else {
            AlertState::Firing
        };
        let idempotency_key = format!("{}:{}:{}", group.id, state.name(), group.notices);
        let all: Vec<&Alert> = firing.iter().chain(over).copied().collect();
        let base = match all.as_slice() {
            [alert] => single(alert, external_url, now),
            all => several(together, all, state, now),
        };
        let notice = Notice {
            key: group.key.clone(),
            group_labels: group.labels.clone(),
            idempotency_key,
            ..base
        };
        let ids = all.iter().take(NOTED).map(|alert| alert.id.clone()).collect();
        Self::new(notice, channel, ids, Some(group.id.clone()), 0, now)
    }

    /// Tells that all alerts of the group are taken, not that they fire.
    pub(crate) fn taken(mut self, now: i64) -> Self {
        let state = AlertState::Acknowledged;
        let group = self.delivery.group_id.as_deref().unwrap_or_default();
        let key = format!("{group}:{}:{now}", state.name());
        self.notice.state = state;
        self.notice.idempotency_key.clone_from(&key);
        state.name().clone_into(&mut self.delivery.status);
        self.delivery.idempotency_key = key;
        self
    }

    /// Why it was made, and by which schedule it goes there.
    pub(crate) fn because(mut self, cause: Cause, oncall: Option<&OnDuty>) -> Self {
        self.cause = cause;
        self.oncall = oncall.cloned();
        self
    }

    /// The first attempt is made then.
    pub(crate) fn not_before(mut self, at: i64) -> Self {
        self.delivery.next_attempt_at = self.delivery.next_attempt_at.max(Some(Instant(at)));
        self.since = self.since.max(at);
        self
    }

    /// In the channel's own words; why that failed is added to `failures`, and the hub's words stay.
    pub(crate) fn worded(mut self, channel: &Channel, failures: &mut Vec<(String, String)>) -> Self {
        if let Err(reason) = template::word(&mut self.notice, channel) {
            failures.push((channel.name.clone(), reason));
        }
        if is_drill_rule(&self.notice.rule_id) && !self.notice.title.starts_with(DRILL_WORDS) {
            self.notice.title = format!("{DRILL_WORDS}: {}", self.notice.title);
        }
        self
    }

    fn new(
        notice: Notice,
        channel: &Channel,
        alert_ids: Vec<String>,
        group_id: Option<String>,
        stored_at: i64,
        now: i64,
    ) -> Self {
        let delivery = Delivery {
            id: Uuid::now_v7().to_string(),
            alert_id: alert_ids.first().cloned().unwrap_or_default(),
            alert_ids,
            group_id,
            channel: channel.name.clone(),
            status: notice.state.name().to_owned(),
            idempotency_key: notice.idempotency_key.clone(),
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
            stored_at,
            cause: Cause::Fired,
            oncall: None,
        }
    }
}

fn single(alert: &Alert, external_url: &str, now: i64) -> Notice {
    let group_labels = alert
        .labels
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "alertname" | "level"));
    Notice {
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
        annotations: alert.annotations.clone(),
        idempotency_key: String::new(),
        external_url: external_url.to_owned(),
        url: link(external_url, &format!("/{}", alert.id)),
        test: false,
        members: Vec::new(),
        omitted: 0,
    }
}

/// The alerts of a group one by one, as many as a notification carries, and how many more there are.
fn members(all: &[&Alert], count: usize, external_url: &str, now: i64) -> (Vec<Member>, u32) {
    let mut left = CARRIED.1;
    let fits = |member: &Member| {
        let texts = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        let own = [&member.title, &member.body, &member.key, &member.rule, &member.url];
        let own = own.iter().map(|text| text.len()).sum::<usize>();
        let size = own + texts(&member.labels) + texts(&member.annotations);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    let members: Vec<Member> = all
        .iter()
        .take(CARRIED.0)
        .map(|alert| member(alert, external_url, now))
        .take_while(fits)
        .collect();
    let omitted = u32::try_from(count.saturating_sub(members.len())).unwrap_or(u32::MAX);
    (members, omitted)
}

fn member(alert: &Alert, external_url: &str, now: i64) -> Member {
    Member {
        id: alert.id.clone(),
        rule_id: alert.rule_id.clone(),
        rule: alert.rule_name.clone(),
        key: alert.group_key.clone(),
        state: alert.state,
        level: alert.level,
        title: alert.title.clone(),
        body: alert.message.clone(),
        starts_at_ms: alert.fired_at.map_or(now, |at| at.0),
        ends_at_ms: alert.resolved_at.map(|at| at.0),
        value: Some(alert.value),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        url: link(external_url, &format!("/{}", alert.id)),
    }
}

fn several(together: &Together<'_>, all: &[&Alert], state: AlertState, now: i64) -> Notice {
    let Together {
        group,
        counts: (firing, over),
        external_url,
        ..
    } = *together;
    let counts = [(firing, "firing"), (over, "resolved")];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let of = text::group(&group.labels);
    let title = if of.is_empty() {
        counts.join(", ")
    } else {
        format!("{}: {of}", counts.join(", "))
    };
    let mut lines: Vec<String> = all
        .iter()
        .take(LISTED)
        .map(|alert| format!("{} [{}] {}", alert.state.name(), alert.level.name(), alert.title))
        .collect();
    if firing + over > lines.len() {
        lines.push(format!("and {} more", firing + over - lines.len()));
    }
    let ends = all.iter().filter_map(|alert| alert.resolved_at.map(|at| at.0)).max();
    let rule = |of: fn(&Alert) -> &String| {
        let first = all.first().map(|alert| of(alert));
        let same = first.filter(|first| all.iter().all(|alert| of(alert) == *first));
        same.cloned().unwrap_or_default()
    };
    let (members, omitted) = members(all, firing + over, external_url, now);
    Notice {
        id: group.id.clone(),
        rule_id: rule(|alert| &alert.rule_id),
        rule: rule(|alert| &alert.rule_name),
        key: group.key.clone(),
        state,
        level: together.level,
        title,
        body: lines.join("\n"),
        at_ms: now,
        starts_at_ms: all
            .iter()
            .filter_map(|alert| alert.fired_at.map(|at| at.0))
            .min()
            .unwrap_or(now),
        ends_at_ms: ends.filter(|_| state == AlertState::Resolved),
        value: None,
        labels: common(all, |alert| &alert.labels),
        group_labels: group.labels.clone(),
        annotations: common(all, |alert| &alert.annotations),
        idempotency_key: String::new(),
        external_url: external_url.to_owned(),
        url: link(external_url, ""),
        test: false,
        members,
        omitted,
    }
}

/// What all have with the same value.
fn common(all: &[&Alert], of: fn(&Alert) -> &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some((first, rest)) = all.split_first() else {
        return BTreeMap::new();
    };
    let mut common = of(first).clone();
    common.retain(|name, value| rest.iter().all(|alert| of(alert).get(name) == Some(value)));
    common
}

fn link(external_url: &str, to: &str) -> String {
    if external_url.is_empty() {
        String::new()
    } else {
        format!("{external_url}/alerts{to}")
    }
}
