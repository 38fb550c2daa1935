//! The Alertmanager webhook message, version 4: each alert that a notice tells of is an entry of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use streamflow_sdk::{
    Level, Notice, State,
    group::{Listing, Member},
};

type Texts<'a> = BTreeMap<&'a str, &'a str>;
type Notes<'a> = BTreeMap<&'a str, String>;

/// What Alertmanager says of an alert that has not ended.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: u32,
    status: &'static str,
    receiver: &'a str,
    group_labels: Texts<'a>,
    common_labels: Texts<'a>,
    common_annotations: Notes<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Texts<'a>,
    annotations: Notes<'a>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> Message<'a> {
    /// `listing` holds at least one alert.
    pub(crate) fn of(notice: &'a Notice, listing: &'a Listing) -> Self {
        let alerts: Vec<Alert> = listing.members.iter().map(|member| alert(notice, member)).collect();
        let common_labels = common(alerts.iter().map(|alert| &alert.labels));
        let mut common_annotations = common(alerts.iter().map(|alert| &alert.annotations));
        if alerts.len() > 1 {
            // What the hub, or the channel's template, says of the whole group: receivers show these two.
            common_annotations.insert("summary", notice.title.clone());
            common_annotations.insert("description", notice.body.clone());
        }
        Self {
            version: "4",
            group_key: &notice.key,
            truncated_alerts: listing.omitted,
            status: status(notice.state),
            receiver: &notice.channel,
            group_labels: texts(&notice.group_labels),
            common_labels,
            common_annotations,
            external_url: &notice.external_url,
            alerts,
        }
    }
}

fn alert<'a>(notice: &'a Notice, member: &'a Member) -> Alert<'a> {
    let labels = labels(member);
    Alert {
        status: status(member.state),
        fingerprint: fingerprint(&labels),
        labels,
        annotations: annotations(notice, member),
        starts_at: rfc3339(member.starts_at),
        ends_at: member.ends_at.map_or_else(|| NEVER.to_owned(), rfc3339),
        generator_url: &member.url,
    }
}

/// Alertmanager knows only these two.
fn status(state: State) -> &'static str {
    if state == State::Resolved { "resolved" } else { "firing" }
}

fn texts(pairs: &[(String, String)]) -> Texts<'_> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// What all of them have with the same value.
fn common<'m, 'a: 'm, V: Clone + PartialEq + 'm>(
    mut all: impl Iterator<Item = &'m BTreeMap<&'a str, V>>,
) -> BTreeMap<&'a str, V> {
    let mut common = all.next().cloned().unwrap_or_default();
    for map in all {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// `alertname` and `severity` are what receivers route by; a label of the same name that the rule set itself wins.
fn labels(member: &Member) -> Texts<'_> {
    let mut labels = texts(&member.labels);
    labels.entry("alertname").or_insert(&member.rule);
    labels.entry("severity").or_insert(match member.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    });
    labels
}

/// The states that Alertmanager does not know are told here.
fn annotations<'a>(notice: &'a Notice, member: &'a Member) -> Notes<'a> {
    // Those of the notice are common to all; one of them is the link that acknowledges.
    let own = member.annotations.iter().chain(&notice.annotations);
    let mut annotations = Notes::new();
    for (name, value) in own {
        annotations.entry(name).or_insert_with(|| value.clone());
    }
    let mut add = |name, value: String| _ = annotations.entry(name).or_insert(value);
    add("summary", member.title.clone());
    add("description", member.body.clone());
    add("alert_id", member.id.clone());
    if let Some(value) = member.value {
        add("value", value.to_string());
    }
    match member.state {
        State::Acknowledged => add("state", "acknowledged".to_owned()),
        State::Stale => add("state", "stale".to_owned()),
        State::Firing | State::Resolved => {}
    }
    if notice.test {
        add("test", "true".to_owned());
    }
    annotations
}

/// Names the alert by its labels as Alertmanager does: FNV-1a over sorted names and values, 16 hexadecimal digits.
fn fingerprint(labels: &Texts) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, value) in labels {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    format!("{hash:016x}")
}

pub(crate) fn rfc3339(ns: i64) -> String {
    // Every i64 of nanoseconds is a time that can be written.
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| NEVER.to_owned(), |time| format!("{time:.3}"))
}
