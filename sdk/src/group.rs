//! The alerts behind a notice, for channels that tell of each by itself.
//!
//! ```
//! # use streamflow_sdk::{group, testing};
//! let notice = testing::notice();
//! let listing = group::members(&notice, u32::MAX);
//! assert_eq!((listing.members[0].id.as_str(), listing.omitted), (notice.id.as_str(), 0), "an alert of its own is a group of one");
//! ```

use crate::{Level, Notice, State, host};

/// One alert as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The alert's id.
    pub id: String,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's name.
    pub rule: String,
    /// The incident: one rule and one group of labels.
    pub key: String,
    /// Where the incident stands.
    pub state: State,
    /// Severity.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// When the incident began, ns since 1970.
    pub starts_at: i64,
    /// When it ended; none while it goes on.
    pub ends_at: Option<i64>,
    /// The last value of the rule's aggregate.
    pub value: Option<f64>,
    /// All labels of the alert.
    pub labels: Vec<(String, String)>,
    /// Further texts, such as a link to a runbook.
    pub annotations: Vec<(String, String)>,
    /// Link to the alert in the hub; may be empty.
    pub url: String,
}

/// Alerts of a notice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// Those that go on first, and then those that are over; never empty.
    pub members: Vec<Member>,
    /// Alerts of the notice that are not listed.
    pub omitted: u32,
}

/// The alerts that a notice tells of, at most `most` (and at least one). Only inside [`crate::Channel::deliver`], with the notice
/// that is being delivered. A notice that tells of one alert, or is a test, gives that one.
#[must_use]
pub fn members(notice: &Notice, most: u32) -> Listing {
    let listing = host::members(most.max(1));
    if !listing.members.is_empty() {
        return listing;
    }
    Listing {
        members: vec![Member::of(notice)],
        omitted: 0,
    }
}

impl Member {
    /// What a notice says of its one alert.
    #[must_use]
    pub fn of(notice: &Notice) -> Self {
        Self {
            id: notice.id.clone(),
            rule_id: notice.rule_id.clone(),
            rule: notice.rule.clone(),
            key: notice.key.clone(),
            state: notice.state,
            level: notice.level,
            title: notice.title.clone(),
            body: notice.body.clone(),
            starts_at: notice.starts_at,
            ends_at: notice.ends_at,
            value: notice.value,
            labels: notice.labels.clone(),
            annotations: notice.annotations.clone(),
            url: notice.url.clone(),
        }
    }
}
