//! The hub starts, and knows nothing yet of what happened meanwhile.

use super::{Incident, Terms};
use crate::external::AGAIN_WITHIN;

impl Incident {
    /// After a start, what is due waits until analytics has caught up: the next verdict may say something else. Answers whether that changes anything.
    pub(crate) fn restarted(&mut self, terms: &Terms<'_>, until: i64) -> bool {
        let keep = self.keep_for(terms).ms();
        // `for` is over for good once it has fired.
        let holds = self.alert.fired_at.is_none();
        let memory = &mut self.memory;
        let held_from = holds.then_some((&mut memory.held_from, until - terms.rule.draft.hold.ms()));
        let expires_at = memory.expires_at.as_mut().map(|at| (at, until + AGAIN_WITHIN.ms()));
        let unmet_since = memory.unmet_since.as_mut().map(|at| (at, until - keep));
        let mut changed = false;
        for (at, earliest) in [held_from, expires_at, unmet_since].into_iter().flatten() {
            changed |= *at < earliest;
            *at = earliest.max(*at);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        book::Book,
        sample::{MINUTE, T0, book, rule, signal, terms},
    };

    fn incident(book: &mut Book) -> crate::incident::Incident {
        book.incident("r1{source=web-1}").unwrap().clone()
    }

    #[test]
    fn only_what_is_due_soon_waits_after_a_start() {
        let rule = rule(json!({"for": "5m", "keep_firing_for": "5m"}));
        let (terms, mut book) = (terms(&rule), book(vec![rule.clone()]));
        book.signals(&[signal(0, 60.0)], T0);
        let mut pending = incident(&mut book);
        assert!(
            !pending.restarted(&terms, T0 + 5 * MINUTE),
            "it waits for as long anyway"
        );
        assert!(pending.restarted(&terms, T0 + 6 * MINUTE));
        assert_eq!(pending.due(&terms), Some(T0 + 6 * MINUTE));
        book.tick(T0 + 5 * MINUTE);
        let mut firing = incident(&mut book);
        let before = firing.clone();
        assert!(
            !firing.restarted(&terms, T0 + 60 * MINUTE),
            "there is nothing that it waits for"
        );
        assert_eq!(firing, before);
        book.signals(&[signal(6, 1.0)], T0 + 7 * MINUTE);
        let mut eased = incident(&mut book);
        assert_eq!(eased.due(&terms), Some(T0 + 12 * MINUTE));
        assert!(eased.restarted(&terms, T0 + 20 * MINUTE));
        assert_eq!(eased.due(&terms), Some(T0 + 20 * MINUTE));
    }
}
