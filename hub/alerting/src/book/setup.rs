//! A copy of everything that users have written down, for a book that lives in another time.

use super::{Book, Stored};
use crate::route::Compiled;

impl Book {
    /// Rules, channels, policies, schedules, routing, silences and maintenance windows as they are; no alert.
    pub(crate) fn setup(&self) -> Stored {
        let register = &self.register;
        let compiled = Compiled {
            tree: self.tree.clone(),
            inhibit: self.mutes.inhibition(),
        };
        Stored {
            rules: register.rules().values().map(|rule| (**rule).clone()).collect(),
            channels: register
                .channels()
                .values()
                .map(|channel| (**channel).clone())
                .collect(),
            escalations: register.escalations().values().cloned().collect(),
            rosters: register.rosters().values().cloned().collect(),
            mutes: self.mutes.without_inhibition(),
            routing: Some((self.routing.clone(), compiled)),
            ..Stored::default()
        }
    }
}
