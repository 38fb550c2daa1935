//! Incidents that somebody else keeps alive by mentioning them again: when that stops they are stale, and much later over.

use streamflow_model::{AlertState, Instant};

use super::{Incident, SYSTEM, Step, Terms};
use crate::external::GIVEN_UP_AFTER;

/// Who is missed when nobody mentions an alert any more.
const SENDER: &str = "the sender of this alert";

impl Incident {
    /// It was mentioned, and will be again until then.
    pub(crate) fn heard(&mut self, terms: &Terms<'_>, until: i64, now: i64) -> Step {
        self.memory.expires_at = Some(until);
        if self.alert.state != AlertState::Stale {
            // It is written now and then, not with every mention.
            return Step::Touched;
        }
        (self.alert.completeness.complete, self.alert.completeness.missing) = (true, Vec::new());
        self.hold_on(terms, now)
    }

    /// When it is missed.
    pub(super) fn expiry_due(&self) -> Option<i64> {
        let expires = self.memory.expires_at?;
        Some(match self.alert.state {
            AlertState::Stale => expires.saturating_add(GIVEN_UP_AFTER.ms()),
            _ => expires,
        })
    }

    /// Nobody has mentioned it in time.
    pub(super) fn expire(&mut self, now: i64) -> Step {
        if self.alert.state == AlertState::Stale {
            let since = Instant(self.memory.expires_at.unwrap_or(now));
            return self.close(SYSTEM, &format!("nobody has mentioned it since {since}"), now);
        }
        (self.alert.completeness.complete, self.alert.completeness.missing) = (false, vec![SENDER.to_owned()]);
        self.go_stale(now)
    }
}
