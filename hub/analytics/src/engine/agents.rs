//! How far each agent has reported, and what follows from that for everybody's windows.
//!
//! An agent has passed a point in event time when its events have, or when it was heard with an empty backlog at that time: whatever it had is stored then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{Completeness, completeness::MAX_NAMES};

use crate::Options;

/// The log's own doors, such as `@http`, are no hosts: nobody misses them.
const DOOR: char = '@';
/// Forgotten agents are remembered for this long, ms: as long as a pattern may wait.
const REMEMBER_GONE: i64 = 7 * 86_400_000;
/// Forgotten agents remembered; beyond that those that were forgotten first go.
const MAX_GONE: usize = 1000;

/// What an agent's heartbeat says of its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The agent.
    pub agent: String,
    /// When it arrived, hub's wall clock ms.
    pub at: i64,
    /// How far the agent's clock is ahead of the hub's, ms; negative when it is behind.
    pub skew_ms: i64,
    /// Everything that the agent had read was stored.
    pub drained: bool,
}

/// One agent's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Largest event time, less what may be out of order.
    watermark: i64,
    /// When its last batch was stored.
    stored_at: i64,
    /// Event time that it has passed by its heartbeats.
    passed: i64,
    /// When it last said so.
    drained_at: i64,
    /// When its last heartbeat arrived.
    heard_at: i64,
}

impl Progress {
    const NOTHING: Self = Self {
        watermark: i64::MIN,
        stored_at: i64::MIN,
        passed: i64::MIN,
        drained_at: i64::MIN,
        heard_at: i64::MIN,
    };

    fn last_sign(&self) -> i64 {
        self.stored_at.max(self.heard_at)
    }

    fn passed_until(&self) -> i64 {
        self.watermark.max(self.passed)
    }

    /// How long its events take to be stored, as far as its newest one tells.
    fn lag(&self) -> i64 {
        self.stored_at.saturating_sub(self.watermark)
    }
}

/// An agent that was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Gone {
    /// Event time that it had passed.
    passed: i64,
    /// When it was forgotten.
    at: i64,
}

/// Whether an agent has passed a point in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It has.
    Passed,
    /// It has not, but it is heard.
    Behind,
    /// It has not, and nothing was heard of it lately.
    Silent,
}

/// Progress of all agents. The watermark never goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agents {
    known: BTreeMap<String, Progress>,
    /// Hosts of which nothing was heard for so long that they are no longer missed.
    gone: BTreeMap<String, Gone>,
    watermark: i64,
    now: i64,
    /// An agent of which nothing was heard for this long is silent.
    idle: i64,
    /// Whoever replays the past moves the watermark, not the agents and not the clock.
    #[serde(skip)]
    driven: bool,
}

impl Agents {
    /// Nobody yet; nothing before `watermark` is waited for.
    pub(crate) const fn new(watermark: i64) -> Self {
        Self {
            known: BTreeMap::new(),
            gone: BTreeMap::new(),
            watermark,
            now: i64::MIN,
            idle: i64::MAX,
            driven: false,
        }
    }

    /// From now on the watermark is moved by [`Self::drive`] alone.
    pub(super) fn driven(self) -> Self {
        Self { driven: true, ..self }
    }

    /// Whether it is a replay's.
    pub(super) const fn is_driven(&self) -> bool {
        self.driven
    }

    /// Raises the watermark of a replay.
    pub(super) fn drive(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(watermark);
        self.now = self.now.max(watermark);
    }

    pub(crate) const fn watermark(&self) -> i64 {
        self.watermark
    }

    /// The latest time that was seen, wall clock ms.
    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    fn progress(&mut self, agent: &str) -> &mut Progress {
        if !self.known.contains_key(agent) {
            self.known.insert(agent.to_owned(), Progress::NOTHING);
            self.gone.remove(agent);
        }
        self.known.entry(agent.to_owned()).or_insert(Progress::NOTHING)
    }

    /// Takes note of a batch whose newest event in time is `newest`.
    pub(crate) fn report(&mut self, agent: &str, newest: i64, stored_at: i64, options: &Options) {
        let watermark = newest.saturating_sub(options.out_of_orderness.ms());
        let progress = self.progress(agent);
        progress.watermark = progress.watermark.max(watermark);
        progress.stored_at = progress.stored_at.max(stored_at);
    }

    /// Takes note of a heartbeat. Everything that the agent had sent before must have been reported.
    ///
    /// The agent's events bear its own clock, so its clock says what it has passed; but a clock that is wrong by more than the allowed lag makes its events late
    /// whatever is waited for, and then the hub's clock counts.
    pub(crate) fn hear(&mut self, heard: &Heard, options: &Options) {
        let progress = self.progress(&heard.agent);
        progress.heard_at = progress.heard_at.max(heard.at);
        if heard.drained {
            let behind = heard.skew_ms.saturating_neg().max(0);
            let behind = if behind > options.max_lag.ms() { 0 } else { behind };
            let passed = heard
                .at
                .saturating_sub(behind)
                .saturating_sub(options.out_of_orderness.ms());
            progress.passed = progress.passed.max(passed);
            progress.drained_at = progress.drained_at.max(heard.at);
        }
    }

    /// Lets time pass and raises the watermark as far as the agents allow.
    ///
    /// Agents that sent something lately hold it back, and so do quiet ones that were heard with an empty backlog. Agents whose events arrive late by more than
    /// the allowed lag hold it back only when there are no others: one wrong clock must not stop everybody's windows. When nobody is heard, the clock moves it.
    pub(crate) fn advance(&mut self, now: i64, options: &Options) {
        self.now = self.now.max(now);
        self.idle = options.idle_timeout.ms();
        if self.driven {
            return;
        }
        let now = self.now;
        self.forget(options);
        let sends = |p: &&Progress| now.saturating_sub(p.stored_at) < options.idle_timeout.ms();
        let reached = |p: &Progress| {
            if !sends(&p) {
                let waits = now.saturating_sub(p.drained_at) < options.idle_timeout.ms();
                return waits.then_some(p.passed);
            }
            // Its next events may be as old as its last ones were.
            let usual = p.lag().saturating_sub(options.out_of_orderness.ms()).max(0);
            (p.lag() <= options.max_lag.ms()).then_some(p.watermark.max(p.passed.saturating_sub(usual)))
        };
        let prompt = self.known.values().filter_map(reached).min();
        let slow = || self.known.values().filter(sends).map(|p| p.watermark).min();
        let reached = match prompt.or_else(slow) {
            Some(watermark) => watermark,
            None if self.watermark == i64::MIN => return,
            None => now.saturating_sub(options.out_of_orderness.ms()),
        };
        self.watermark = self.watermark.max(reached);
    }

    fn forget(&mut self, options: &Options) {
        let (now, gone) = (self.now, &mut self.gone);
        self.known.retain(|name, p| {
            let missed = now.saturating_sub(p.last_sign()) <= options.forget_agents.ms();
            if !missed && !name.starts_with(DOOR) {
                let passed = p.passed_until();
                gone.insert(name.clone(), Gone { passed, at: now });
            }
            missed
        });
        gone.retain(|_, gone| now.saturating_sub(gone.at) <= REMEMBER_GONE);
        while gone.len() > MAX_GONE {
            let first = gone
                .iter()
                .min_by_key(|(_, gone)| gone.at)
                .map(|(name, _)| name.clone());
            let Some(first) = first else { break };
            gone.remove(&first);
        }
    }

    /// Hosts that are no longer missed, but were at or after `since`, and had not passed `at`: what they had to say of the time before it has never come.
    pub(crate) fn gone(&self, since: i64, at: i64) -> Vec<String> {
        let unheard = self
            .gone
            .iter()
            .filter(|(_, gone)| gone.at >= since && gone.passed < at);
        unheard.map(|(name, _)| name.clone()).take(MAX_NAMES).collect()
    }

    fn hosts(&self) -> impl Iterator<Item = (&String, &Progress)> {
        self.known.iter().filter(|(name, _)| !name.starts_with(DOOR))
    }

    fn standing(&self, progress: &Progress, end: i64) -> Standing {
        if progress.passed_until() >= end {
            Standing::Passed
        } else if self.now.saturating_sub(progress.last_sign()) < self.idle {
            Standing::Behind
        } else {
            Standing::Silent
        }
    }

    /// Whether a host has passed a point in event time. One that is not known has not.
    pub(super) fn passed(&self, agent: &str, at: i64) -> bool {
        self.known
            .get(agent)
            .is_some_and(|progress| progress.passed_until() >= at)
    }

    /// Who has passed `end`, who is silent, and who is behind; and the stretch of ends, without its begin, of which the same is true.
    pub(crate) fn completeness(&self, end: i64) -> (Completeness, (i64, i64)) {
        let mut found = Completeness::default();
        let (mut same_from, mut same_to) = (i64::MIN, i64::MAX);
        for (name, progress) in self.hosts() {
            let (until, standing) = (progress.passed_until(), self.standing(progress, end));
            found.agents += 1;
            let list = match standing {
                Standing::Passed => {
                    found.reported += 1;
                    same_to = same_to.min(until);
                    &mut found.passed
                }
                Standing::Behind => &mut found.behind,
                Standing::Silent => &mut found.silent,
            };
            if list.len() < MAX_NAMES {
                list.push(name.clone());
            }
            if standing != Standing::Passed {
                same_from = same_from.max(until);
                if found.missing.len() < MAX_NAMES {
                    found.missing.push(name.clone());
                }
            }
        }
        found.complete = found.reported == found.agents;
        (found, (same_from, same_to))
    }

    /// Each host, the event time that it has passed, its last sign of life, and where it stands to the watermark.
    pub(super) fn progresses(&self) -> impl Iterator<Item = (&str, i64, i64, Standing)> {
        self.hosts().map(|(name, progress)| {
            let standing = self.standing(progress, self.watermark);
            (name.as_str(), progress.passed_until(), progress.last_sign(), standing)
        })
    }

    /// Everything before this has been reported by all hosts and judged.
    pub(super) fn complete_until(&self) -> i64 {
        let slowest = self.hosts().map(|(_, progress)| progress.passed_until()).min();
        slowest.map_or(self.watermark, |slowest| slowest.min(self.watermark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(agent: &str, at: i64, skew_ms: i64, drained: bool) -> Heard {
        Heard {
            agent: agent.to_owned(),
            at,
            skew_ms,
            drained,
        }
    }

    fn missing(agents: &Agents, end: i64) -> (Vec<String>, Vec<String>) {
        let (found, _) = agents.completeness(end);
        assert_eq!(found.missing.len(), found.silent.len() + found.behind.len());
        assert_eq!(found.complete, found.missing.is_empty());
        (found.silent, found.behind)
    }

    #[test]
    fn the_slowest_active_and_prompt_agent_decides() {
        let options = Options::default();
        let mut agents = Agents::new(i64::MIN);
        agents.advance(0, &options);
        assert_eq!(agents.watermark(), i64::MIN);
        agents.report("a", 100_000, 100_000, &options);
        agents.report("b", 95_000, 100_000, &options);
        agents.advance(100_000, &options);
        assert_eq!(agents.watermark(), 93_000);
        // A clock that is an hour behind holds nobody back.
        agents.report("slow", 0, 100_500, &options);
        agents.report("b", 100_000, 100_500, &options);
        agents.advance(100_500, &options);
        assert_eq!(agents.watermark(), 98_000);
        let (found, same) = agents.completeness(98_000);
        assert_eq!(
            (
                found.complete,
                found.reported,
                found.agents,
                found.behind.as_slice(),
                same
            ),
            (false, 2, 3, &["slow".to_owned()][..], (-2000, 98_000))
        );
        // b falls silent and stops holding back; later everybody has, and the clock goes on.
        agents.report("slow", 1000, 101_000, &options);
        agents.report("a", 130_000, 130_500, &options);
        agents.advance(130_500, &options);
        assert_eq!(agents.watermark(), 128_000);
        assert_eq!(
            missing(&agents, 128_000),
            (vec!["b".to_owned()], vec!["slow".to_owned()])
        );
        agents.advance(161_000, &options);
        assert_eq!(agents.watermark(), 159_000);
        agents.advance(150_000, &options);
        assert_eq!(agents.watermark(), 159_000);
    }

    #[test]
    fn a_quiet_agent_with_an_empty_backlog_has_passed_and_is_waited_for() {
        let options = Options::default();
        let mut agents = Agents::new(i64::MIN);
        agents.report("quiet", 0, 100, &options);
        agents.report("@http", 60_000, 60_000, &options);
        agents.hear(&heard("quiet", 55_000, 0, true), &options);
        agents.advance(60_000, &options);
        assert_eq!(agents.watermark(), 53_000, "windows wait for its next heartbeat");
        assert_eq!(missing(&agents, 53_000), (vec![], vec![]));
        assert_eq!(agents.complete_until(), 53_000);
        // It is cut off: it is waited for as long as for any agent, and missed afterwards.
        agents.report("@http", 85_000, 85_000, &options);
        agents.advance(84_000, &options);
        assert_eq!(agents.watermark(), 53_000);
        agents.advance(85_000, &options);
        assert_eq!(agents.watermark(), 83_000);
        assert_eq!(missing(&agents, 83_000), (vec!["quiet".to_owned()], vec![]));
        // It is back and has a backlog: heard, but behind. Windows do not wait for it.
        agents.hear(&heard("quiet", 90_000, 0, false), &options);
        agents.report("@http", 90_000, 90_000, &options);
        agents.advance(90_000, &options);
        assert_eq!(agents.watermark(), 88_000);
        assert_eq!(missing(&agents, 88_000), (vec![], vec!["quiet".to_owned()]));
    }

    #[test]
    fn wrong_clocks_do_not_make_windows_incomplete() {
        let options = Options::default();
        let mut agents = Agents::new(i64::MIN);
        let now = 10_000_000;
        agents.report("right", now, now, &options);
        agents.report("hour-behind", now - 3_600_000, now, &options);
        agents.report("ahead", now + 300_000, now, &options);
        agents.report("little-behind", now - 20_000, now, &options);
        agents.hear(&heard("hour-behind", now, -3_600_000, true), &options);
        agents.hear(&heard("ahead", now, 300_000, true), &options);
        agents.hear(&heard("little-behind", now, -20_000, true), &options);
        agents.advance(now, &options);
        assert_eq!(
            agents.watermark(),
            now - 22_000,
            "events of a clock that is a little behind still count"
        );
        assert_eq!(missing(&agents, now - 22_000), (vec![], vec![]));
    }

    #[test]
    fn events_that_usually_come_late_are_waited_for_in_spite_of_heartbeats() {
        let options = Options::default();
        let mut agents = Agents::new(i64::MIN);
        agents.report("batch-job", 70_000, 100_000, &options);
        agents.hear(&heard("batch-job", 102_000, 0, true), &options);
        agents.advance(102_000, &options);
        assert_eq!(agents.watermark(), 70_000);
        // An old file that is read for the first time moves its own windows alone.
        let mut agents = Agents::new(i64::MIN);
        agents.report("replay", 1000, 90_000_000, &options);
        agents.hear(&heard("replay", 90_000_500, 0, true), &options);
        agents.advance(90_000_500, &options);
        assert_eq!(agents.watermark(), -1000);
    }
}
