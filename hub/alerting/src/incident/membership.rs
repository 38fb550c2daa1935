//! The groups in which an incident is told of, as the incident remembers them.

use serde::{Deserialize, Serialize};

use super::Memory;

/// An incident's place in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Membership {
    group: String,
    /// Whether its group has told the newest of it.
    told: bool,
    /// Whether its group has ever told of it.
    #[serde(default)]
    known: bool,
}

impl Memory {
    /// It is to be told of in this group, again if it was before.
    pub(crate) fn join(&mut self, group: &str) {
        match self.routed.iter_mut().find(|one| one.group == group) {
            Some(one) => one.told = false,
            None => self.routed.push(Membership {
                group: group.to_owned(),
                told: false,
                known: false,
            }),
        }
    }

    /// It is over: groups that have never told of it need not tell of its end; answers those.
    pub(crate) fn leave(&mut self) -> Vec<String> {
        let untold = self.routed.extract_if(.., |one| !one.known);
        untold.map(|one| one.group).collect()
    }

    /// Its groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.routed.iter().map(|one| one.group.as_str())
    }

    /// Its groups, and whether they have told of it.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = (&str, bool)> {
        self.routed.iter().map(|one| (one.group.as_str(), one.told))
    }

    /// The group has told of it.
    pub(crate) fn group_told(&mut self, group: &str) {
        if let Some(one) = self.routed.iter_mut().find(|one| one.group == group) {
            (one.told, one.known) = (true, true);
        }
    }

    /// The group has nothing more to tell of it.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.routed.retain(|one| one.group != group);
    }
}
