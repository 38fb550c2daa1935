//! An incident that nobody acknowledges: the steps of its escalation policy, and the rule's plain escalation by level.

use serde::{Deserialize, Serialize};
use streamflow_model::{AlertState, Escalation, Level};

use super::{Incident, SYSTEM, Step, Terms};

/// How far an incident has gone in its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Escalated {
    policy: String,
    /// Steps taken, over all rounds.
    taken: u32,
    /// When the last one was taken, or the alert was first told of.
    since: i64,
}

impl Escalated {
    /// The next step's place in the policy, and when it is due.
    fn next(&self, policy: &Escalation) -> Option<(usize, i64)> {
        let steps = u32::try_from(policy.steps.len()).ok()?;
        let all = steps.saturating_mul(policy.repeat.saturating_add(1));
        if self.taken >= all {
            return None;
        }
        let place = usize::try_from(self.taken % steps).ok()?;
        let after = policy.steps.get(place)?.after;
        Some((place, self.since.saturating_add(after.ms())))
    }
}

impl Incident {
    /// The alert was told of: its policy begins, unless it has begun.
    pub(crate) fn begin_policy(&mut self, policy: &str, now: i64) {
        if self.memory.policy.is_none() {
            self.memory.policy = Some(Escalated {
                policy: policy.to_owned(),
                taken: 0,
                since: now,
            });
        }
    }

    /// The policy that it follows.
    pub(crate) fn policy(&self) -> Option<&str> {
        self.memory.policy.as_ref().map(|one| one.policy.as_str())
    }

    /// When a firing incident is escalated next.
    pub(super) fn escalation_due(&self, terms: &Terms<'_>) -> Option<i64> {
        let by_level = self.level_due(terms);
        let by_policy = self.policy_step(terms).map(|(_, due)| due);
        by_level.into_iter().chain(by_policy).min()
    }

    /// When an acknowledgement lapses.
    pub(super) fn lapse_due(&self, terms: &Terms<'_>) -> Option<i64> {
        let policy = terms.policies.get(self.policy()?)?;
        let taken = self
            .alert
            .acknowledged_at
            .filter(|_| self.alert.state == AlertState::Acknowledged)?;
        Some(taken.0.saturating_add(policy.resume_after?.ms()))
    }

    /// Nobody has finished what somebody took: it fires again, and its policy begins anew.
    pub(super) fn lapse(&mut self, now: i64) -> Step {
        let by = self.alert.acknowledged_by.take().unwrap_or_default();
        self.alert.acknowledged_at = None;
        self.alert.state = AlertState::Firing;
        if let Some(policy) = &mut self.memory.policy {
            (policy.taken, policy.since) = (0, now);
        }
        (self.memory.escalated, self.memory.level_from) = (0, Some(now));
        let detail = format!("not resolved in time after {by} acknowledged it");
        self.tell_firing(now, "lapsed", &detail)
    }

    /// The step that is due.
    pub(super) fn escalate(&mut self, terms: &Terms<'_>, now: i64) -> Step {
        if let Some((place, _)) = self.policy_step(terms).filter(|(_, due)| *due <= now) {
            if let Some(policy) = &mut self.memory.policy {
                policy.taken += 1;
                policy.since = now;
                let detail = format!("nobody acknowledged it; step {} of `{}`", place + 1, policy.policy);
                self.note(now, "escalated", SYSTEM, &detail);
            }
            return Step::Page(place);
        }
        self.memory.escalated += 1;
        self.alert.level = match self.alert.level {
            Level::Info => Level::Warning,
            Level::Warning => Level::Error,
            Level::Error | Level::Critical => Level::Critical,
        };
        self.alert
            .labels
            .insert("level".to_owned(), self.alert.level.name().to_owned());
        let detail = format!("nobody acknowledged it; level {} now", self.alert.level.name());
        self.tell_firing(now, "escalated", &detail)
    }

    fn policy_step(&self, terms: &Terms<'_>) -> Option<(usize, i64)> {
        let run = self.memory.policy.as_ref()?;
        run.next(terms.policies.get(&run.policy)?)
    }

    fn level_due(&self, terms: &Terms<'_>) -> Option<i64> {
        let every = i64::from(terms.rule.draft.escalation_minutes) * 60_000;
        let from = self
            .memory
            .level_from
            .or(self.alert.fired_at.map(|at| at.0))
            .filter(|_| every > 0)?;
        Some(from + every * i64::from(self.memory.escalated + 1))
    }
}
