//! Metrics that come with the hub: what the ready-made views are made of.

use streamflow_model::{Instant, Metric, MetricDraft, Placement, Span, metric::MINUTE};

/// Events by their type.
pub(crate) const BY_TYPE: &str = "events_by_type";
/// Events by their source.
pub(crate) const BY_SOURCE: &str = "events_by_source";
/// Events by their severity.
pub(crate) const BY_SEVERITY: &str = "events_by_severity";
/// Events with a user agent by kind of device.
pub(crate) const BY_DEVICE: &str = "events_by_device";
/// Different users by kind of device.
pub(crate) const USERS_BY_DEVICE: &str = "users_by_device";
/// Different users.
pub(crate) const USERS: &str = "active_users";

/// All of them. They have seen all of the log.
pub(super) fn metrics() -> Vec<Metric> {
    let device = "device(data.user_agent)";
    vec![
        metric(BY_TYPE, "Events by type", "true", "count()", &["type"]),
        metric(BY_SOURCE, "Events by source", "true", "count()", &["source"]),
        metric(BY_SEVERITY, "Events by severity", "true", "count()", &["severity"]),
        metric(
            BY_DEVICE,
            "Events with a user agent by kind of device",
            "has(data.user_agent)",
            "count()",
            &[device],
        ),
        metric(
            USERS_BY_DEVICE,
            "Different users by kind of device",
            "has(data.user_agent)",
            "distinct(user_id)",
            &[device],
        ),
        metric(USERS, "Different users", "user_id != ''", "distinct(user_id)", &[]),
    ]
}

fn metric(name: &str, description: &str, matches: &str, aggregate: &str, group_by: &[&str]) -> Metric {
    Metric {
        id: name.to_owned(),
        draft: MetricDraft {
            name: name.to_owned(),
            description: description.to_owned(),
            matches: matches.to_owned(),
            aggregate: aggregate.to_owned(),
            group_by: group_by.iter().map(|text| (*text).to_owned()).collect(),
            window: Span::from_ms(MINUTE),
            placement: Placement::Hub,
            keep_events: true,
        },
        builtin: true,
        // Another number when a release asks something else under the same name.
        series_id: format!("builtin-1:{name}"),
        since: Instant(0),
        version: 1,
        created_at: Instant(0),
        updated_at: Instant(0),
    }
}
