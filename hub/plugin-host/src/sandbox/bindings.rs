//! The interface in `wit/` as the host sees it, generated once, and the way of our own types into it and back.

use std::collections::BTreeMap;

use streamflow_model::{AlertState, Level};

use crate::{Member, Notice};

wasmtime::component::bindgen!({
    // All worlds of the interface in one, so that their types are the same types; which exports a plugin must have, its kind decides.
    inline: "
        package streamflow:host;
        world hub {
            include streamflow:plugin/channel-plugin@0.1.0;
            include streamflow:plugin/rule-plugin@0.1.0;
            include streamflow:plugin/transform-plugin@0.1.0;
        }
    ",
    path: "../../wit",
    world: "streamflow:host/hub",
    imports: { "streamflow:plugin/http.send": async, "streamflow:plugin/mail.send": async },
    exports: { default: async },
});

use exports::streamflow::plugin::channel::State;
pub(crate) use exports::streamflow::plugin::{
    channel::{self, Failure, Notice as WitNotice},
    rule, transform,
};
use streamflow::plugin::group;
pub(crate) use streamflow::plugin::types;

/// A notice as plugins get it.
pub(crate) fn wit_notice(notice: &Notice, channel: &str) -> WitNotice {
    WitNotice {
        id: notice.id.clone(),
        rule_id: notice.rule_id.clone(),
        rule: notice.rule.clone(),
        key: notice.key.clone(),
        channel: channel.to_owned(),
        state: match notice.state {
            // Nobody is told of pending incidents; a channel that is told anyway treats it as begun.
            AlertState::Pending | AlertState::Firing => State::Firing,
            AlertState::Acknowledged => State::Acknowledged,
            AlertState::Resolved => State::Resolved,
            AlertState::Stale => State::Stale,
        },
        level: wit_level(notice.level),
        title: notice.title.clone(),
        body: notice.body.clone(),
        at: nanoseconds(notice.at_ms),
        starts_at: nanoseconds(notice.starts_at_ms),
        ends_at: notice.ends_at_ms.map(nanoseconds),
        value: notice.value,
        labels: pairs(&notice.labels),
        group_labels: pairs(&notice.group_labels),
        annotations: pairs(&notice.annotations),
        idempotency_key: notice.idempotency_key.clone(),
        external_url: notice.external_url.clone(),
        url: notice.url.clone(),
        test: notice.test,
    }
}

/// An alert of a group as plugins get it.
pub(crate) fn wit_member(member: &Member) -> group::Member {
    group::Member {
        id: member.id.clone(),
        rule_id: member.rule_id.clone(),
        rule: member.rule.clone(),
        key: member.key.clone(),
        state: match member.state {
            AlertState::Pending | AlertState::Firing => group::State::Firing,
            AlertState::Acknowledged => group::State::Acknowledged,
            AlertState::Resolved => group::State::Resolved,
            AlertState::Stale => group::State::Stale,
        },
        level: wit_level(member.level),
        title: member.title.clone(),
        body: member.body.clone(),
        starts_at: nanoseconds(member.starts_at_ms),
        ends_at: member.ends_at_ms.map(nanoseconds),
        value: member.value,
        labels: pairs(&member.labels),
        annotations: pairs(&member.annotations),
        url: member.url.clone(),
    }
}

const fn wit_level(level: Level) -> types::Level {
    match level {
        Level::Info => types::Level::Info,
        Level::Warning => types::Level::Warning,
        Level::Error => types::Level::Error,
        Level::Critical => types::Level::Critical,
    }
}

/// A level as the hub has it.
pub(crate) const fn level(level: types::Level) -> Level {
    match level {
        types::Level::Info => Level::Info,
        types::Level::Warning => Level::Warning,
        types::Level::Error => Level::Error,
        types::Level::Critical => Level::Critical,
    }
}

pub(crate) const fn nanoseconds(ms: i64) -> i64 {
    ms.saturating_mul(1_000_000)
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
