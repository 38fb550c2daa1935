//! Groups as they are stored and shown.

use super::Book;
use crate::{grouping::Group, id::AlertId, ranked::HasId};

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
        self.bundles.get(key).is_some_and(|bundle| !bundle.open.is_empty())
    }

    /// The ids of a group's alerts: those that go on, and those that are over.
    pub(crate) fn members(&self, key: &str) -> impl Iterator<Item = AlertId> {
        let bundle = self.bundles.get(key).into_iter();
        bundle.flat_map(|bundle| bundle.open.iter().map(HasId::id).chain(bundle.over.keys().copied()))
    }
}
