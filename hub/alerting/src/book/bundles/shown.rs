//! Groups as they are stored and shown.

use super::{Book, Member};
use crate::{grouping::Group, id::AlertId};

impl Book {
    /// A group's document.
    pub(crate) fn group(&self, key: &str) -> Option<&Group> {
        self.bundles.get(key).map(|bundle| &bundle.group)
    }

    /// Groups that are told of together.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.bundles.values().map(|bundle| &bundle.group)
    }

    /// Whether an alert of a group goes on.
    pub(crate) fn fires_in(&self, key: &str) -> bool {
        let members = self
            .bundles
            .get(key)
            .into_iter()
            .flat_map(|bundle| bundle.members.values());
        members.into_iter().any(|member| matches!(member, Member::Open { .. }))
    }

    /// The ids of a group's alerts.
    pub(crate) fn members(&self, key: &str) -> impl Iterator<Item = AlertId> {
        self.bundles
            .get(key)
            .into_iter()
            .flat_map(|bundle| bundle.members.keys().copied())
    }
}
