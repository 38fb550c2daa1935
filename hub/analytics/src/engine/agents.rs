//! How far each agent has reported, and what follows from that for everybody's windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::Completeness;

use crate::Options;

/// The log's own doors, such as `@http`, are no hosts: nobody misses them.
const DOOR: char = '@';

/// One agent's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Largest event time, less what may be out of order.
    watermark: i64,
    /// When its last batch was stored.
    stored_at: i64,
}

/// Progress of all agents. The watermark never goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agents {
    known: BTreeMap<String, Progress>,
    watermark: i64,
    now: i64,
}

impl Agents {
    /// Nobody yet; nothing before `watermark` is waited for.
    pub(crate) const fn new(watermark: i64) -> Self {
        Self {
            known: BTreeMap::new(),
            watermark,
            now: i64::MIN,
        }
    }

    pub(crate) const fn watermark(&self) -> i64 {
        self.watermark
    }

    /// The latest time that was seen, wall clock ms.
    pub(crate) const fn now(&self) -> i64 {
        self.now
    }

    /// Takes note of a batch whose newest event in time is `newest`.
    pub(crate) fn report(&mut self, agent: &str, newest: i64, stored_at: i64, options: &Options) {
        let watermark = newest.saturating_sub(options.out_of_orderness.ms());
        if let Some(progress) = self.known.get_mut(agent) {
            progress.watermark = progress.watermark.max(watermark);
            progress.stored_at = progress.stored_at.max(stored_at);
        } else {
            self.known.insert(agent.to_owned(), Progress { watermark, stored_at });
        }
    }

    /// Lets time pass and raises the watermark as far as the agents allow.
    ///
    /// Agents that sent something lately hold it back. Of those, agents whose events arrive late by more than the allowed lag hold it back only when there
    /// are no others: one wrong clock must not stop everybody's windows. When nobody sent anything lately, the clock moves it.
    pub(crate) fn advance(&mut self, now: i64, options: &Options) {
        self.now = self.now.max(now);
        let now = self.now;
        self.known
            .retain(|_, p| now.saturating_sub(p.stored_at) <= options.forget_agents.ms());
        let active = || {
            self.known
                .values()
                .filter(|p| now.saturating_sub(p.stored_at) < options.idle_timeout.ms())
        };
        let prompt = active()
            .filter(|p| p.stored_at.saturating_sub(p.watermark) <= options.max_lag.ms())
            .map(|p| p.watermark)
            .min();
        let reached = match prompt.or_else(|| active().map(|p| p.watermark).min()) {
            Some(watermark) => watermark,
            None if self.watermark == i64::MIN => return,
            None => now.saturating_sub(options.out_of_orderness.ms()),
        };
        self.watermark = self.watermark.max(reached);
    }

    /// Who has reported past `end`, and who not.
    pub(crate) fn completeness(&self, end: i64) -> Completeness {
        let hosts = || self.known.iter().filter(|(name, _)| !name.starts_with(DOOR));
        let missing: Vec<String> = hosts()
            .filter(|(_, p)| p.watermark < end)
            .map(|(name, _)| name.clone())
            .collect();
        let reported = u32::try_from(hosts().count() - missing.len()).unwrap_or(u32::MAX);
        Completeness {
            complete: missing.is_empty(),
            reported,
            missing,
        }
    }

    /// Everything before this has been reported by all hosts and judged.
    pub(crate) fn complete_until(&self) -> i64 {
        let slowest = self
            .known
            .iter()
            .filter(|(name, _)| !name.starts_with(DOOR))
            .map(|(_, p)| p.watermark)
            .min();
        slowest.map_or(self.watermark, |slowest| slowest.min(self.watermark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            agents.completeness(98_000),
            Completeness {
                complete: false,
                reported: 2,
                missing: vec!["slow".to_owned()]
            }
        );
        // b falls silent and stops holding back; later everybody has, and the clock goes on.
        agents.report("a", 130_000, 130_500, &options);
        agents.advance(130_500, &options);
        assert_eq!(agents.watermark(), 128_000);
        agents.advance(161_000, &options);
        assert_eq!(agents.watermark(), 159_000);
        agents.advance(150_000, &options);
        assert_eq!(agents.watermark(), 159_000);
    }
}
