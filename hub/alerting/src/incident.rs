//! One incident's life as a pure state machine: verdicts, time and people in, a new state and what to tell out.
//!
//! ```text
//!            met, for > 0          held long enough            person
//! (nothing) ───────────► pending ───────────────► firing ───────────► acknowledged
//!     │                     │ not met                │ not met            │ not met
//!     │ met, for = 0        ▼                        ▼                    ▼
//!     └──► firing       forgotten                resolved             resolved
//! ```
//! An incomplete window that no longer meets the condition makes any open state `stale`, which ends where it began or in
//! `resolved`, but only by complete data. A verdict not newer than the last one seen changes nothing.

use serde::{Deserialize, Serialize};
use streamflow_model::{Alert, AlertState, Completeness, Instant, Level, OpenGroup, Rule, Signal, TimelineEntry};
use uuid::Uuid;

use crate::text;

/// Who does what nobody did.
pub(crate) const SYSTEM: &str = "streamflow";
/// Lines of history kept; the first half stays, the newest replace the rest.
const TIMELINE: usize = 200;

/// An alert and what must be remembered to go on with it; one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// What people see.
    #[serde(flatten)]
    pub(crate) alert: Alert,
    /// What they do not.
    pub(crate) memory: Memory,
}

/// What an incident remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// The newest verdict that was taken in.
    pub(crate) seen: Seen,
    /// The state before `stale`.
    resume: Option<AlertState>,
    /// When `for` began to run, of the shell's clock.
    pub(crate) held_from: i64,
    /// Last notification that it fires.
    pub(crate) notified_at: Option<i64>,
    /// A notification is held back by the rule's suppression.
    waiting: bool,
    /// Channels that know that it fires.
    pub(crate) told: Vec<String>,
    /// Notifications made; part of their idempotency keys.
    pub(crate) notices: u32,
    /// Escalations made.
    escalated: u32,
    /// When the newest event behind the last verdict was stored.
    pub(crate) stored_at: i64,
}

/// Order of verdicts about one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    rule_version: i64,
    window_end: i64,
    revision: u32,
    /// A closed window outranks the same one while it runs, and the end of all windows outranks both.
    rank: u8,
}

impl Seen {
    fn of(signal: &Signal) -> Self {
        let rank = if signal.value.is_none() {
            2
        } else {
            u8::from(!signal.running)
        };
        let Signal {
            rule_version,
            window_end,
            revision,
            ..
        } = *signal;
        Self {
            rule_version,
            window_end,
            revision,
            rank,
        }
    }

    /// As if this window had been seen to its very end.
    const fn to_the_end(self) -> Self {
        Self {
            revision: u32::MAX,
            rank: u8::MAX,
            ..self
        }
    }
}

/// What became of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Ignored,
    /// Only its value moved, which need not be durable at once.
    Touched,
    /// It must be written.
    Changed,
    /// It must be written, and its channels be told.
    Tell,
    /// It was pending and is over: forget it.
    Gone,
}

impl Incident {
    /// The first verdict of a group whose condition holds. `last_told` is when the group's incident before was told of.
    pub(crate) fn open(
        rule: &Rule,
        group_key: String,
        last_told: Option<i64>,
        signal: &Signal,
        now: i64,
    ) -> (Self, Step) {
        let mut labels = signal.labels.clone();
        labels.insert("alertname".to_owned(), rule.draft.name.clone());
        labels.insert("level".to_owned(), rule.draft.level.name().to_owned());
        let alert = Alert {
            id: Uuid::now_v7().to_string(),
            rule_id: rule.id.clone(),
            rule_name: rule.draft.name.clone(),
            state: AlertState::Pending,
            level: rule.draft.level,
            title: String::new(),
            message: String::new(),
            value: 0.0,
            labels,
            group_key,
            pending_at: Some(Instant(now)),
            fired_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            resolved_by: None,
            data: serde_json::Map::new(),
            completeness: Completeness::default(),
            timeline: Vec::new(),
        };
        let memory = Memory {
            held_from: now,
            notified_at: last_told,
            ..Memory::default()
        };
        let mut incident = Self { alert, memory };
        incident.take_in(rule, signal);
        if rule.draft.hold.ms() == 0 {
            let step = incident.fire(rule, now);
            return (incident, step);
        }
        incident.note(
            now,
            "pending",
            SYSTEM,
            &format!("waiting for {} before it fires", rule.draft.hold),
        );
        (incident, Step::Changed)
    }

    /// Whether the incident goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.alert.state != AlertState::Resolved
    }

    /// Its group, and how far it has been heard of.
    pub(crate) fn group(&self) -> OpenGroup {
        OpenGroup {
            rule_id: self.alert.rule_id.clone(),
            labels: self.alert.labels.clone(),
            told_until: self.memory.seen.window_end,
        }
    }

    /// Whether this verdict was taken in before.
    pub(crate) fn has_seen(&self, signal: &Signal) -> bool {
        Seen::of(signal) <= self.memory.seen
    }

    /// The next verdict about an open incident.
    pub(crate) fn signal(&mut self, rule: &Rule, signal: &Signal, now: i64) -> Step {
        if self.has_seen(signal) {
            return Step::Ignored;
        }
        let over = !signal.met && (signal.value.is_none() || !signal.running);
        self.take_in(rule, signal);
        if signal.met {
            return self.resume(now);
        }
        match (over, signal.completeness.complete) {
            (false, _) => Step::Touched,
            (true, false) => self.go_stale(now),
            (true, true) if self.alert.fired_at.is_none() => Step::Gone,
            (true, true) => self.close(SYSTEM, &text::over(signal), now),
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, rule: &Rule, now: i64) -> Step {
        if self.due(rule).is_none_or(|due| due > now) {
            return Step::Ignored;
        }
        match self.alert.state {
            AlertState::Pending => self.fire(rule, now),
            AlertState::Firing if self.memory.waiting => {
                self.tell_firing(now, "notified", "still firing after the suppression")
            }
            AlertState::Firing => self.escalate(now),
            _ => Step::Ignored,
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self, rule: &Rule) -> Option<i64> {
        match self.alert.state {
            AlertState::Pending => Some(self.memory.held_from + rule.draft.hold.ms()),
            AlertState::Firing if self.memory.waiting => Some(self.suppressed_until(rule)),
            AlertState::Firing if rule.draft.escalation_minutes > 0 => {
                let every = i64::from(rule.draft.escalation_minutes) * 60_000;
                self.alert
                    .fired_at
                    .map(|at| at.0 + every * i64::from(self.memory.escalated + 1))
            }
            _ => None,
        }
    }

    /// A person takes it; answers whether that is new.
    pub(crate) fn acknowledge(&mut self, by: &str, comment: &str, now: i64) -> bool {
        if self.alert.acknowledged_at.is_some() {
            return false;
        }
        self.alert.acknowledged_at = Some(Instant(now));
        self.alert.acknowledged_by = Some(by.to_owned());
        self.memory.waiting = false;
        match self.alert.state {
            AlertState::Stale => self.memory.resume = Some(AlertState::Acknowledged),
            _ => self.alert.state = AlertState::Acknowledged,
        }
        self.note(now, "acknowledged", by, comment);
        true
    }

    /// A person, or the end of its rule, closes it. The window that raised it does not raise it again.
    pub(crate) fn resolve(&mut self, by: &str, reason: &str, now: i64) -> Step {
        self.memory.seen = self.memory.seen.to_the_end();
        self.close(by, reason, now)
    }

    /// Adds a line of history.
    pub(crate) fn note(&mut self, now: i64, what: &str, by: &str, detail: &str) {
        if self.alert.timeline.len() >= TIMELINE {
            self.alert.timeline.remove(TIMELINE / 2);
        }
        let entry = TimelineEntry {
            at: Instant(now),
            what: what.into(),
            by: by.into(),
            detail: detail.into(),
        };
        self.alert.timeline.push(entry);
    }

    fn take_in(&mut self, rule: &Rule, signal: &Signal) {
        self.memory.seen = Seen::of(signal);
        self.memory.stored_at = signal.stored_at;
        if let Some(value) = signal.value.filter(|value| value.is_finite()) {
            self.alert.value = value;
        }
        self.alert.completeness = signal.completeness.clone();
        text::describe(&mut self.alert, rule, signal);
    }

    fn resume(&mut self, now: i64) -> Step {
        if self.alert.state != AlertState::Stale {
            return Step::Touched;
        }
        self.alert.state = self.memory.resume.take().unwrap_or(AlertState::Firing);
        self.note(
            now,
            self.alert.state.name(),
            SYSTEM,
            "the data is back and the condition holds",
        );
        Step::Changed
    }

    fn go_stale(&mut self, now: i64) -> Step {
        if self.alert.state == AlertState::Stale {
            return Step::Touched;
        }
        self.memory.resume = Some(self.alert.state);
        self.alert.state = AlertState::Stale;
        let missing = self.alert.completeness.missing.join(", ");
        self.note(
            now,
            "stale",
            SYSTEM,
            &format!("the data is incomplete; not heard from: {missing}"),
        );
        Step::Changed
    }

    fn fire(&mut self, rule: &Rule, now: i64) -> Step {
        self.alert.state = AlertState::Firing;
        self.alert.fired_at = Some(Instant(now));
        let title = self.alert.title.clone();
        self.note(now, "firing", SYSTEM, &title);
        if self.suppressed_until(rule) > now {
            self.memory.waiting = true;
            self.note(
                now,
                "suppressed",
                SYSTEM,
                &format!("told less than {} minutes ago", rule.draft.suppression_minutes),
            );
            return Step::Changed;
        }
        self.memory.notified_at = Some(now);
        Step::Tell
    }

    fn tell_firing(&mut self, now: i64, what: &str, detail: &str) -> Step {
        self.memory.waiting = false;
        self.memory.notified_at = Some(now);
        self.note(now, what, SYSTEM, detail);
        Step::Tell
    }

    fn escalate(&mut self, now: i64) -> Step {
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

    fn close(&mut self, by: &str, reason: &str, now: i64) -> Step {
        self.alert.state = AlertState::Resolved;
        self.alert.resolved_at = Some(Instant(now));
        self.alert.resolved_by = Some(by.to_owned());
        self.memory.waiting = false;
        self.note(now, "resolved", by, reason);
        if self.memory.told.is_empty() {
            Step::Changed
        } else {
            Step::Tell
        }
    }

    fn suppressed_until(&self, rule: &Rule) -> i64 {
        let minutes = i64::from(rule.draft.suppression_minutes);
        self.memory.notified_at.map_or(i64::MIN, |at| at + minutes * 60_000)
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
