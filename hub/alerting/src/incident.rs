//! One incident's life as a pure state machine: verdicts, time and people in, a new state and what to tell out.
//!
//! ```text
//!            met, for > 0          held long enough            person
//! (nothing) ───────────► pending ───────────────► firing ───────────► acknowledged
//!     │                     │ not met                │ not met for        │ not met for
//!     │ met, for = 0        ▼                        ▼ keep_firing_for    ▼ keep_firing_for
//!     └──► firing       forgotten                resolved             resolved
//! ```
//! An incomplete window that no longer meets the condition makes any open state `stale`, which ends where it began or in
//! `resolved`, but only by complete data. A verdict not newer than the last one seen changes nothing. While a group flaps,
//! its incident stays open until it has been quiet.

mod document;
mod escalate;
mod expiry;
mod flap;
mod membership;
mod restart;
mod seen;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{
    Alert, AlertState, Completeness, Escalation, Instant, OpenGroup, Rule, Signal, Span, TimelineEntry,
};
use uuid::Uuid;

use crate::text;
use escalate::Escalated;
use flap::Flips;
use membership::Membership;
use seen::Seen;

pub(crate) use flap::FlapLimit;

/// Who does what nobody did.
pub(crate) const SYSTEM: &str = "streamflow";
/// Lines of history kept; the first half stays, the newest replace the rest.
const TIMELINE: usize = 200;

/// An alert and what must be remembered to go on with it; one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Since when the condition no longer holds, while the alert is kept firing all the same.
    pub(crate) unmet_since: Option<i64>,
    /// When the group's condition began or ceased to hold.
    flips: Flips,
    /// Last notification that it fires.
    pub(crate) notified_at: Option<i64>,
    /// A notification is held back, by the rule's suppression or by what mutes the alert.
    waiting: bool,
    /// Groups in which it is told of.
    routed: Vec<Membership>,
    /// Channels that know that it fires.
    pub(crate) told: Vec<String>,
    /// Notifications made; part of their idempotency keys.
    pub(crate) notices: u32,
    /// Escalations by level, since `level_from` or since it fires.
    escalated: u32,
    level_from: Option<i64>,
    /// Somebody else mentions it again until then.
    expires_at: Option<i64>,
    /// Its escalation policy, from when it was told of.
    policy: Option<Escalated>,
    /// When the newest event behind the last verdict was stored.
    pub(crate) stored_at: i64,
}

/// What decides about an incident besides verdicts and time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Its rule.
    pub(crate) rule: &'a Rule,
    /// Fingerprint of what the rule asks.
    pub(crate) asks: u64,
    /// When its group counts as flapping.
    pub(crate) flap: FlapLimit,
    /// An alert whose window ended longer ago than this fires late.
    pub(crate) late_after: Span,
    /// Escalation policies by name.
    pub(crate) policies: &'a BTreeMap<String, Escalation>,
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
    /// It must be written, and this step of its escalation policy be taken.
    Page(usize),
    /// It was pending and is over: forget it.
    Gone,
}

impl Incident {
    /// The first verdict of a group whose condition holds. `before` is what the group's last incident remembers.
    pub(crate) fn open(
        terms: &Terms<'_>,
        group_key: String,
        before: Option<&Memory>,
        signal: &Signal,
        now: i64,
    ) -> (Self, Step) {
        let draft = &terms.rule.draft;
        let mut labels = draft.labels.clone();
        labels.extend(signal.labels.clone());
        labels.insert("alertname".to_owned(), draft.name.clone());
        labels.insert("level".to_owned(), draft.level.name().to_owned());
        let alert = Alert {
            id: Uuid::now_v7().to_string(),
            rule_id: terms.rule.id.clone(),
            rule_name: draft.name.clone(),
            state: AlertState::Pending,
            level: draft.level,
            title: String::new(),
            message: String::new(),
            value: 0.0,
            labels,
            annotations: draft.annotations.clone(),
            group_key,
            pending_at: Some(Instant(now)),
            fired_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            resolved_by: None,
            flapping: false,
            muted_by: Vec::new(),
            data: serde_json::Map::new(),
            completeness: Completeness::default(),
            timeline: Vec::new(),
        };
        let memory = Memory {
            held_from: now,
            notified_at: before.and_then(|before| before.notified_at),
            flips: before.map(|before| before.flips.clone()).unwrap_or_default(),
            ..Memory::default()
        };
        let mut incident = Self { alert, memory };
        incident.take_in(terms, signal);
        if draft.hold.ms() == 0 {
            let step = incident.fire(terms, now);
            return (incident, step);
        }
        incident.note(
            now,
            "pending",
            SYSTEM,
            &format!("waiting for {} before it fires", draft.hold),
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
    pub(crate) fn has_seen(&self, signal: &Signal, asks: u64) -> bool {
        self.memory.seen.covers(Seen::of(signal, asks))
    }

    /// The next verdict about an open incident.
    pub(crate) fn signal(&mut self, terms: &Terms<'_>, signal: &Signal, now: i64) -> Step {
        if self.has_seen(signal, terms.asks) {
            return Step::Ignored;
        }
        let over = !signal.met && (signal.value.is_none() || !signal.running);
        self.take_in(terms, signal);
        if signal.met {
            return self.hold_on(terms, now);
        }
        match (over, signal.completeness.complete) {
            (false, _) => Step::Touched,
            (true, false) => self.go_stale(now),
            (true, true) if self.alert.fired_at.is_none() => Step::Gone,
            (true, true) => self.ease(terms, signal, now),
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, terms: &Terms<'_>, now: i64) -> Step {
        if self.due(terms).is_none_or(|due| due > now) {
            return Step::Ignored;
        }
        if self.alert.state == AlertState::Pending {
            return self.fire(terms, now);
        }
        if self.expiry_due().is_some_and(|due| due <= now) {
            return self.expire(now);
        }
        if self.kept_until(terms).is_some_and(|end| end <= now) {
            let kept = self.keep_for(terms);
            self.alert.flapping = false;
            return self.close(SYSTEM, &format!("the condition has not held for {kept}"), now);
        }
        if self.quiet_at(terms).is_some_and(|at| at <= now) {
            self.alert.flapping = false;
            self.note(now, "settled", SYSTEM, "the condition no longer comes and goes");
            return Step::Changed;
        }
        if self.lapse_due(terms).is_some_and(|due| due <= now) {
            return self.lapse(now);
        }
        if self.alert.state != AlertState::Firing || !self.alert.muted_by.is_empty() {
            return Step::Ignored;
        }
        if self.memory.waiting {
            self.tell_firing(now, "released", "still firing, and nothing holds it back any more")
        } else {
            self.escalate(terms, now)
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self, terms: &Terms<'_>) -> Option<i64> {
        let firing = match self.alert.state {
            AlertState::Pending => return Some(self.memory.held_from + terms.rule.draft.hold.ms()),
            AlertState::Resolved => return None,
            AlertState::Stale => return self.expiry_due(),
            AlertState::Acknowledged => self.lapse_due(terms),
            AlertState::Firing if !self.alert.muted_by.is_empty() => None,
            AlertState::Firing if self.memory.waiting => Some(self.suppressed_until(terms)),
            AlertState::Firing => self.escalation_due(terms),
        };
        let timers = [firing, self.kept_until(terms), self.quiet_at(terms), self.expiry_due()];
        timers.into_iter().flatten().min()
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
        self.alert.flapping = false;
        self.close(by, reason, now)
    }

    /// Whether a notification is held back.
    pub(crate) const fn waits(&self) -> bool {
        self.memory.waiting
    }

    /// Somebody is told that it fires.
    pub(crate) const fn told_of(&mut self, now: i64) {
        self.memory.notified_at = Some(now);
    }

    /// Nobody is told: it waits until nothing mutes it any more.
    pub(crate) fn hold_back(&mut self, reasons: Vec<String>, now: i64) {
        self.memory.waiting = true;
        self.mute(reasons, now);
    }

    /// What mutes it has changed.
    pub(crate) fn mute(&mut self, reasons: Vec<String>, now: i64) {
        if reasons == self.alert.muted_by {
            return;
        }
        if reasons.is_empty() {
            self.note(now, "unmuted", SYSTEM, "nothing mutes it any more");
        } else {
            self.note(now, "muted", SYSTEM, &reasons.join(", "));
        }
        self.alert.muted_by = reasons;
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
            value: Some(self.alert.value),
            detail: detail.into(),
        };
        self.alert.timeline.push(entry);
    }

    fn take_in(&mut self, terms: &Terms<'_>, signal: &Signal) {
        self.memory.seen = Seen::of(signal, terms.asks);
        self.memory.stored_at = signal.stored_at;
        if let Some(value) = signal.value.filter(|value| value.is_finite()) {
            self.alert.value = value;
        }
        self.alert.completeness = signal.completeness.clone();
        text::describe(&mut self.alert, terms.rule, signal);
    }

    /// The condition holds.
    fn hold_on(&mut self, terms: &Terms<'_>, now: i64) -> Step {
        let stale = self.alert.state == AlertState::Stale;
        let eased = self.memory.unmet_since.take().is_some();
        if stale {
            self.alert.state = self.memory.resume.take().unwrap_or(AlertState::Firing);
            self.note(
                now,
                self.alert.state.name(),
                SYSTEM,
                "the data is back and the condition holds",
            );
        } else if eased {
            self.note(now, "holds", SYSTEM, "the condition holds again");
        }
        if eased {
            self.flip(terms, now);
        }
        if stale || eased { Step::Changed } else { Step::Touched }
    }

    /// The condition no longer holds, and the data is complete.
    fn ease(&mut self, terms: &Terms<'_>, signal: &Signal, now: i64) -> Step {
        let stale = self.alert.state == AlertState::Stale;
        if stale {
            self.alert.state = self.memory.resume.take().unwrap_or(AlertState::Firing);
        }
        if self.memory.unmet_since.is_some() {
            return if stale { Step::Changed } else { Step::Touched };
        }
        self.flip(terms, now);
        let keep = self.keep_for(terms);
        if keep == Span::ZERO {
            return self.close(SYSTEM, &text::over(signal), now);
        }
        self.memory.unmet_since = Some(now);
        let detail = format!("{}; kept firing for {keep} more", text::over(signal));
        self.note(now, "eased", SYSTEM, &detail);
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

    fn fire(&mut self, terms: &Terms<'_>, now: i64) -> Step {
        self.alert.state = AlertState::Firing;
        self.alert.fired_at = Some(Instant(now));
        self.flip(terms, now);
        let window_end = self.memory.seen.window_end;
        let late = now.saturating_sub(window_end) > terms.late_after.ms();
        if late {
            text::late(&mut self.alert, window_end, now);
        }
        let title = self.alert.title.clone();
        self.note(now, "firing", SYSTEM, &title);
        if late {
            let detail = format!("its window ended at {}: the data came late", Instant(window_end));
            self.note(now, "late", SYSTEM, &detail);
        }
        if self.suppressed_until(terms) > now {
            self.memory.waiting = true;
            self.note(
                now,
                "suppressed",
                SYSTEM,
                &format!("told less than {} minutes ago", terms.rule.draft.suppression_minutes),
            );
            return Step::Changed;
        }
        Step::Tell
    }

    fn tell_firing(&mut self, now: i64, what: &str, detail: &str) -> Step {
        self.memory.waiting = false;
        self.note(now, what, SYSTEM, detail);
        Step::Tell
    }

    fn close(&mut self, by: &str, reason: &str, now: i64) -> Step {
        self.alert.state = AlertState::Resolved;
        self.alert.resolved_at = Some(Instant(now));
        self.alert.resolved_by = Some(by.to_owned());
        self.memory.waiting = false;
        self.memory.unmet_since = None;
        self.note(now, "resolved", by, reason);
        self.alert.muted_by.clear();
        if self.memory.told.is_empty() && self.memory.routed.is_empty() {
            Step::Changed
        } else {
            Step::Tell
        }
    }

    /// The condition began or ceased to hold.
    fn flip(&mut self, terms: &Terms<'_>, now: i64) {
        let too_many = self.memory.flips.add(now, terms.flap);
        if too_many && !self.alert.flapping {
            self.alert.flapping = true;
            let (count, within) = (self.memory.flips.count(), terms.flap.within);
            let detail = format!("{count} changes within {within}: it stays open until it has been quiet for as long");
            self.note(now, "flapping", SYSTEM, &detail);
            text::flapping(&mut self.alert);
        }
    }

    /// How long the alert goes on after the condition has ceased to hold.
    fn keep_for(&self, terms: &Terms<'_>) -> Span {
        let quiet = if self.alert.flapping {
            terms.flap.within
        } else {
            Span::ZERO
        };
        terms.rule.draft.keep_firing_for.max(quiet)
    }

    fn kept_until(&self, terms: &Terms<'_>) -> Option<i64> {
        self.memory.unmet_since.map(|since| since + self.keep_for(terms).ms())
    }

    /// When an alert whose condition goes on to hold no longer flaps.
    fn quiet_at(&self, terms: &Terms<'_>) -> Option<i64> {
        let steady = self.alert.flapping && self.memory.unmet_since.is_none();
        self.memory.flips.quiet_at(terms.flap).filter(|_| steady)
    }

    fn suppressed_until(&self, terms: &Terms<'_>) -> i64 {
        let minutes = i64::from(terms.rule.draft.suppression_minutes);
        self.memory.notified_at.map_or(i64::MIN, |at| at + minutes * 60_000)
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
