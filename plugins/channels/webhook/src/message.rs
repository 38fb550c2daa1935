//! The Alertmanager webhook message, version 4, with the one alert that a notice tells of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use streamflow_sdk::{Level, Notice, State};

type Texts<'a> = BTreeMap<&'a str, &'a str>;

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
    common_annotations: BTreeMap<&'a str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: [Alert<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Texts<'a>,
    annotations: BTreeMap<&'a str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> Message<'a> {
    pub(crate) fn of(notice: &'a Notice) -> Self {
        let status = if notice.state == State::Resolved {
            "resolved"
        } else {
            "firing"
        };
        let labels = labels(notice);
        let annotations = annotations(notice);
        Self {
            version: "4",
            group_key: &notice.key,
            truncated_alerts: 0,
            status,
            receiver: &notice.channel,
            group_labels: texts(&notice.group_labels),
            common_labels: labels.clone(),
            common_annotations: annotations.clone(),
            external_url: &notice.external_url,
            alerts: [Alert {
                status,
                fingerprint: fingerprint(&labels),
                labels,
                annotations,
                starts_at: rfc3339(notice.starts_at),
                ends_at: notice.ends_at.map_or_else(|| NEVER.to_owned(), rfc3339),
                generator_url: &notice.url,
            }],
        }
    }
}

fn texts(pairs: &[(String, String)]) -> Texts<'_> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// `alertname` and `severity` are what receivers route by; a label of the same name that the rule set itself wins.
fn labels(notice: &Notice) -> Texts<'_> {
    let mut labels = texts(&notice.labels);
    labels.entry("alertname").or_insert(&notice.rule);
    labels.entry("severity").or_insert(match notice.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    });
    labels
}

/// Alertmanager knows only firing and resolved: the other states of an incident are told here.
fn annotations(notice: &Notice) -> BTreeMap<&str, String> {
    let mut annotations: BTreeMap<&str, String> = notice
        .annotations
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let mut add = |name, value: String| _ = annotations.entry(name).or_insert(value);
    add("summary", notice.title.clone());
    add("description", notice.body.clone());
    add("alert_id", notice.id.clone());
    if let Some(value) = notice.value {
        add("value", value.to_string());
    }
    match notice.state {
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

fn rfc3339(ns: i64) -> String {
    // Every i64 of nanoseconds is a time that can be written.
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| NEVER.to_owned(), |time| format!("{time:.3}"))
}
