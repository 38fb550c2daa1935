//! Groups as they are stored and shown.

use super::Book;
use crate::grouping::Group;

impl Book {
    /// A group's document.
    pub(crate) fn group(&self, key: &str) -> Option<&Group> {
        self.bundles.get(key).map(|bundle| &bundle.group)
    }

    /// Groups that are told of together.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.bundles.values().map(|bundle| &bundle.group)
    }

    /// The ids of a group's alerts.
    pub(crate) fn members(&self, key: &str) -> impl Iterator<Item = &String> {
        self.bundles
            .get(key)
            .into_iter()
            .flat_map(|bundle| bundle.members.keys())
    }
}
