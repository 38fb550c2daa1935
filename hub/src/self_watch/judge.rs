//! Facts and `now` in, findings out. Pure; it remembers since when something lasts, and lets go only by a margin.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde_json::{Map, Value, json};
use streamflow_model::{Account, AgentStatus, Instant, Span};

use super::{
    Options,
    check::Check,
    facts::{ChannelFact, Facts, LogFact, Room},
};

/// Places in the log that are remembered with their time; when there are more, every other one is forgotten.
const MOST_PLACES: usize = 1024;
/// A clock, and a store, must be better than the limit by this share of it before they count as good again.
const MARGIN: f64 = 0.8;
/// Per cent that a store must be below the limit.
const ROOM_MARGIN: f64 = 2.0;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// How much: seconds, events, per cent, days; what the check counts.
    pub value: f64,
    /// In words.
    pub account: Account,
}

/// What is remembered between two looks.
#[derive(Debug)]
pub struct Judge {
    options: Options,
    agents: HashMap<String, AgentMemory>,
    channels: HashMap<String, ChannelMemory>,
    /// Places of the log that are not evaluated, each with when it was seen first.
    backlog: VecDeque<(i64, u64)>,
    full: bool,
    lagging: bool,
    /// Alerts that were open when the hub started: check and what it is about.
    open: BTreeSet<(Check, String)>,
}

#[derive(Debug)]
struct AgentMemory {
    seen: Option<Instant>,
    /// Since when `seen` is what it is.
    since: i64,
    dropped: Option<u64>,
    losses: Growth,
    clock_off: bool,
}

#[derive(Debug, Default)]
struct ChannelMemory {
    given_up: u64,
    /// What it was sent last was given up. Its end is told through the channel too, so it must work before.
    failing: bool,
    losses: Growth,
}

/// A count that grows now and then.
#[derive(Debug, Default)]
struct Growth {
    /// When it grew last.
    at: Option<i64>,
    /// By how much since it was quiet.
    by: u64,
}

impl Growth {
    fn add(&mut self, by: u64, now: i64) {
        if by > 0 {
            self.by += by;
            self.at = Some(now);
        }
    }

    /// By how much it has grown, while it is not quiet.
    fn lasting(&mut self, quiet: Span, now: i64) -> Option<u64> {
        if self.at.is_some_and(|at| now - at >= quiet.ms()) {
            *self = Self::default();
        }
        self.at.map(|_| self.by)
    }
}

impl Judge {
    /// `open` are alerts that go on from before the start: the check, and the agent or channel that it is about.
    pub fn new(options: Options, open: BTreeSet<(Check, String)>) -> Self {
        let has = |check| open.iter().any(|(own, _)| *own == check);
        Self {
            full: has(Check::StoreFull),
            lagging: has(Check::LogLag),
            options,
            agents: HashMap::new(),
            channels: HashMap::new(),
            backlog: VecDeque::new(),
            open,
        }
    }

    /// Everything that is not as it should be.
    pub fn judge(&mut self, facts: &Facts) -> Vec<Finding> {
        let mut found = Vec::new();
        let known: HashSet<&str> = facts.agents.iter().map(|agent| agent.id.as_str()).collect();
        self.agents.retain(|id, _| known.contains(id.as_str()));
        for agent in facts.agents.iter().filter(|agent| !agent.revoked) {
            self.agent(agent, facts, &mut found);
        }
        found.extend(facts.quarantined.iter().map(|(name, reason)| Finding {
            check: Check::PluginQuarantined,
            labels: labels([("plugin", name)]),
            value: 1.0,
            account: account(
                name.clone(),
                format!("Plugin {name} is not called any more: {reason}.\nLet it out with POST /api/v1/plugins/{name}/enable once its cause is mended."),
                json!({"reason": reason}),
            ),
        }));
        self.channels
            .retain(|name, _| facts.channels.iter().any(|channel| channel.name == *name));
        for channel in &facts.channels {
            found.extend(self.channel(channel, facts.now));
        }
        found.extend(self.room(facts));
        if let Some(log) = facts.log {
            self.follow(log, facts.now);
        }
        found.extend(self.lag(facts));
        for (name, end) in &facts.certificates {
            let names = labels([("certificate", name)]);
            found.extend(self.certificate(names, name, *end, self.options.certificate_before, facts.wall));
        }
        found.retain(|finding| self.options.wants(finding.check));
        found
    }

    fn agent(&mut self, agent: &AgentStatus, facts: &Facts, found: &mut Vec<Finding>) {
        let now = facts.now;
        let (options, open) = (&self.options, &self.open);
        let was_open = |check| open.contains(&(check, agent.id.clone()));
        let memory = self.agents.entry(agent.id.clone()).or_insert_with(|| AgentMemory {
            seen: agent.last_seen,
            // A hub that starts has heard of nobody yet, and must not take that for their silence, nor for the end of it.
            since: if was_open(Check::AgentSilent) && !agent.connected {
                now - options.agent_silent_after.ms()
            } else {
                now
            },
            dropped: None,
            losses: Growth {
                at: was_open(Check::AgentDropping).then_some(now),
                by: 0,
            },
            clock_off: was_open(Check::AgentClock),
        });
        let names = labels([("agent", &agent.id), ("host", &agent.name)]);
        let host = if agent.name.is_empty() { &agent.id } else { &agent.name };
        if memory.seen != agent.last_seen {
            (memory.seen, memory.since) = (agent.last_seen, now);
        }
        let silent_ms = now - memory.since;
        if let Some(last) = agent.last_seen.filter(|_| silent_ms >= options.agent_silent_after.ms()) {
            found.push(Finding {
                check: Check::AgentSilent,
                labels: names.clone(),
                value: seconds(facts.wall.0.saturating_sub(last.0).max(silent_ms)),
                account: account(
                    format!("nothing heard of {host} since {last}"),
                    format!(
                        "The agent on {host} is on the allow-list, and nothing was heard of it since {last}.\n\
                         Its last address was {}. What it reads meanwhile waits in its spool.\n\
                         If the host is gone for good: streamflow-hub agent revoke {}",
                        agent.remote.as_deref().unwrap_or("unknown"),
                        agent.id
                    ),
                    json!({"last_seen": last, "remote": agent.remote}),
                ),
            });
        }
        if agent.heartbeat_at.is_some() {
            // Counted since the agent's own start: smaller than before means that it has started again.
            let total = agent.dropped_total;
            if let Some(before) = memory.dropped.replace(total) {
                memory.losses.add(total.checked_sub(before).unwrap_or(total), now);
            }
        }
        if let Some(lost) = memory.losses.lasting(options.quiet_after, now) {
            found.push(Finding {
                check: Check::AgentDropping,
                labels: names.clone(),
                value: float(lost),
                account: account(
                    format!("{host} loses events"),
                    format!(
                        "The agent on {host} has dropped {lost} more events, {} since it started; {} wait in its spool.\n\
                         `streamflow-agent status` on the host names the reasons.",
                        agent.dropped_total, agent.spool_events
                    ),
                    json!({"dropped": lost, "dropped_total": agent.dropped_total, "spool_events": agent.spool_events}),
                ),
            });
        }
        if let Some(ahead) = agent.clock_skew_ms.filter(|_| agent.connected) {
            memory.clock_off = beyond(ahead, options.agent_clock_off, memory.clock_off);
        }
        if memory.clock_off {
            let ahead = agent.clock_skew_ms.unwrap_or_default();
            let way = if ahead < 0 { "behind" } else { "ahead" };
            found.push(Finding {
                check: Check::AgentClock,
                labels: names.clone(),
                value: seconds(ahead),
                account: account(
                    format!("the clock of {host} is off"),
                    format!(
                        "The clock of {host} is {:.1} s {way} of the hub's. Its events are judged by their own time, so windows \
                         miss them or wait for them.\nCheck the time synchronisation of the host, and of the hub.",
                        seconds(ahead.saturating_abs())
                    ),
                    json!({"ahead_ms": ahead}),
                ),
            });
        }
        if let Some(end) = agent.certificate_expires_at {
            let before = facts
                .agent_certificate_before
                .map_or(self.options.certificate_before, |own| {
                    own.min(self.options.certificate_before)
                });
            let names = labels([("certificate", "agent"), ("agent", &agent.id), ("host", &agent.name)]);
            let whose = format!("agent on {host}");
            found.extend(self.certificate(names, &whose, end, before, facts.wall));
        }
    }

    fn channel(&mut self, channel: &ChannelFact, now: i64) -> Option<Finding> {
        let was_open = self.open.contains(&(Check::ChannelFailing, channel.name.clone()));
        let memory = self
            .channels
            .entry(channel.name.clone())
            .or_insert_with(|| ChannelMemory {
                given_up: 0,
                failing: was_open,
                losses: Growth {
                    at: was_open.then_some(now),
                    by: 0,
                },
            });
        memory.losses.add(channel.given_up.saturating_sub(memory.given_up), now);
        memory.given_up = channel.given_up;
        memory.failing = channel.failing.unwrap_or(memory.failing);
        let failing = memory.failing;
        let lost = memory.losses.lasting(self.options.quiet_after, now);
        if channel.works && !failing && lost.is_none() {
            return None;
        }
        let ChannelFact {
            name,
            works,
            failures,
            waiting,
            ..
        } = channel;
        let lost = lost.unwrap_or_default();
        let (summary, state) = if *works && failing {
            (
                format!("notifications to {name} are given up"),
                format!(
                    "What was sent to channel {name} last was given up. POST /api/v1/channels/{name}/test shows whether it works again."
                ),
            )
        } else if *works {
            (
                format!("notifications to {name} were given up"),
                format!("Channel {name} works, but {lost} notifications to it were given up."),
            )
        } else {
            (
                format!("{name} does not work"),
                format!(
                    "The last {failures} attempts to send to channel {name} have failed. {waiting} notifications wait, \
                     {lost} were given up."
                ),
            )
        };
        Some(Finding {
            check: Check::ChannelFailing,
            labels: labels([("channel", name)]),
            value: float(u64::from(*failures).max(lost)),
            account: account(
                summary,
                format!(
                    "{state}\nGET /api/v1/deliveries?channel={name} says why; POST /api/v1/deliveries/retry sends dead letters again."
                ),
                json!({"failures": failures, "waiting": waiting, "given_up": lost}),
            ),
        })
    }

    fn room(&mut self, facts: &Facts) -> Option<Finding> {
        let rooms = [("the disk of data_dir", facts.disk), ("storage.max_mib", facts.store)];
        let rooms = rooms.into_iter().filter_map(|(what, room)| Some((what, room?)));
        let (what, room) = rooms.max_by(|(_, a), (_, b)| a.percent().total_cmp(&b.percent()))?;
        let limit = f64::from(self.options.store_full_percent);
        let enough = if self.full { limit - ROOM_MARGIN } else { limit };
        self.full = facts.full || room.percent() >= enough;
        let Room { used, free } = room;
        let refusing = if facts.full {
            "\nThe store is full: events are refused until there is room."
        } else {
            ""
        };
        self.full.then(|| Finding {
            check: Check::StoreFull,
            labels: BTreeMap::new(),
            value: (room.percent() * 10.0).round() / 10.0,
            account: account(
                format!("{what} is nearly full"),
                format!(
                    "{what} is used to {:.1} per cent, {} MiB are left.{refusing}\n\
                     Make room, or lower storage.retention in hub.toml.",
                    room.percent(),
                    free >> 20
                ),
                json!({"used_bytes": used, "free_bytes": free, "refusing": facts.full}),
            ),
        })
    }

    /// Notes where the log is, and forgets what is evaluated.
    fn follow(&mut self, log: LogFact, now: i64) {
        while self.backlog.front().is_some_and(|(_, place)| *place <= log.evaluated) {
            self.backlog.pop_front();
        }
        let news = self.backlog.back().is_none_or(|(_, place)| *place < log.written);
        if news && log.written > log.evaluated {
            self.backlog.push_back((now, log.written));
        }
        if self.backlog.len() > MOST_PLACES {
            let mut nth = 0;
            self.backlog.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
    }

    fn lag(&mut self, facts: &Facts) -> Option<Finding> {
        let behind = self.backlog.front().map_or(0, |(since, _)| facts.now - since);
        let limit = self.options.log_lag_after.ms();
        self.lagging = behind >= if self.lagging { limit / 2 } else { limit };
        let batches = facts.log.map_or(0, |log| log.written.saturating_sub(log.evaluated));
        self.lagging.then(|| Finding {
            check: Check::LogLag,
            labels: BTreeMap::new(),
            value: seconds(behind),
            account: account(
                "rules are evaluated late".to_owned(),
                format!(
                    "The engine is {:.0} s and {batches} batches behind the log, so alerts come late by as much.\n\
                     Fewer or simpler rules, fewer groups, or more processor time help; GET /api/v1/analytics/status shows the rules at work.",
                    seconds(behind)
                ),
                json!({"behind_ms": behind, "batches": batches}),
            ),
        })
    }

    fn certificate(
        &self,
        labels: BTreeMap<String, String>,
        whose: &str,
        end: Instant,
        before: Span,
        wall: Instant,
    ) -> Option<Finding> {
        let left = end.0.saturating_sub(wall.0);
        (left < before.ms()).then(|| Finding {
            check: Check::Certificate,
            labels,
            value: (seconds(left) / 8640.0).round() / 10.0,
            account: account(
                format!("the certificate of the {whose} ends at {end}"),
                if left > 0 {
                    format!(
                        "The certificate of the {whose} ends at {end}. It should have been renewed by now; the log of the agent, or of the hub, says why it was not."
                    )
                } else {
                    format!("The certificate of the {whose} ended at {end}: it can no longer connect. Enrol the agent anew, or revoke it.")
                },
                json!({"expires_at": end}),
            ),
        })
    }
}

/// Whether a clock is off; one that was must come well below the limit.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a skew")]
fn beyond(ahead_ms: i64, limit: Span, was: bool) -> bool {
    let limit = limit.ms() as f64 * if was { MARGIN } else { 1.0 };
    ahead_ms.unsigned_abs() as f64 >= limit
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn account(summary: String, message: String, data: Value) -> Account {
    let data = match data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Account { summary, message, data }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds, shown as seconds")]
fn seconds(ms: i64) -> f64 {
    (ms as f64 / 100.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "a count that is shown")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
