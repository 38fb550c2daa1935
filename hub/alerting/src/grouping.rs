//! When a group of alerts is told of: the timers of a group as values, with `now` from outside.
//!
//! ```text
//! first alert ── group_wait ──► told ── news, not before group_interval ──► told ── no news for repeat_interval ──► told
//! ```
//! A group ends when none of its alerts fires any more and everybody has been told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::route::Target;

/// A group of alerts that share notifications; one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// UUIDv7; part of its notifications' idempotency keys.
    pub(crate) id: String,
    /// Route and labels: its identity.
    pub(crate) key: String,
    /// What its alerts have in common by `group_by`.
    pub(crate) labels: BTreeMap<String, String>,
    /// Where it goes; as the routing is now.
    pub(crate) target: Target,
    /// The route is gone: its end is told, and nothing else.
    #[serde(default)]
    pub(crate) orphan: bool,
    /// When it is looked at next, of the shell's clock.
    next: Option<i64>,
    /// When it was told of last.
    last: Option<i64>,
    /// Notifications made.
    pub(crate) notices: u32,
    /// Channels that were told that it fires.
    pub(crate) told: Vec<String>,
}

/// What a group has when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Somebody is still to be told of the beginning or the end of an alert.
    pub(crate) news: bool,
    /// An alert fires that nobody has acknowledged and nothing mutes.
    pub(crate) firing: bool,
    /// An alert goes on, whatever its state.
    pub(crate) open: bool,
}

/// What to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is not time, or there is nothing to say.
    Nothing,
    /// Tell everybody.
    Tell,
    /// It is over.
    End,
}

impl Group {
    pub(crate) fn new(id: String, key: String, labels: BTreeMap<String, String>, target: Target) -> Self {
        Self {
            id,
            key,
            labels,
            target,
            orphan: false,
            next: None,
            last: None,
            notices: 0,
            told: Vec::new(),
        }
    }

    /// An alert of the group began, ended, or may be told of again.
    pub(crate) fn news(&mut self, now: i64) {
        let at = match self.last {
            None => now + self.target.group_wait.ms(),
            Some(last) => now.max(last + self.target.group_interval.ms()),
        };
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// When [`Self::look`] has something to do.
    pub(crate) const fn due(&self) -> Option<i64> {
        self.next
    }

    /// The time has come: what to do, and when it is looked at again.
    pub(crate) fn look(&mut self, now: i64, contents: Contents) -> Look {
        if self.next.is_none_or(|next| next > now) {
            return Look::Nothing;
        }
        let repeat_at = self.last.map(|last| last + self.target.repeat_interval.ms());
        let repeat = contents.firing && !self.orphan && repeat_at.is_some_and(|at| at <= now);
        let tell = contents.news || repeat;
        if tell {
            self.last = Some(now);
            self.notices += 1;
        }
        self.next = match self.last {
            Some(last) if contents.firing && !self.orphan => Some(last + self.target.repeat_interval.ms()),
            _ => None,
        };
        match (tell, contents.open) {
            (true, _) => Look::Tell,
            (false, true) => Look::Nothing,
            (false, false) => Look::End,
        }
    }

    /// The routing has changed: the group goes where its route goes now, or its route is gone.
    pub(crate) fn follow(&mut self, target: Option<&Target>, now: i64) {
        self.orphan = target.is_none();
        if let Some(target) = target {
            self.target = target.clone();
        }
        if self.last.is_some() {
            // The new intervals count from the last notification.
            self.next = Some(self.next.unwrap_or(now).min(now));
        }
    }

    /// After a start: what was due meanwhile is due now, and a group that was looked at without a next time is looked at once.
    pub(crate) fn restarted(&mut self, now: i64) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)));
    }
}

#[cfg(test)]
mod tests;
