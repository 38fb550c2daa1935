//! Metrics: aggregates over events that the hub keeps continuously, as users declare them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use streamflow_proto::{aggregate::AggregateSpec, filter::Filter, wire::MetricDefinition};

pub use streamflow_proto::metric::{Ask as CompiledMetric, GroupKey};

use crate::{Instant, RuleError, Span};

/// One minute, ms: every window of a minute and more is made of these.
pub const MINUTE: i64 = 60_000;
/// One hour, ms.
pub const HOUR: i64 = 3_600_000;
/// One day, ms.
pub const DAY: i64 = 86_400_000;
/// Most attributes of `group_by`.
pub const MAX_GROUP_BY: usize = 8;

/// Names that stand for something else in paths of the API.
const RESERVED: [&str; 2] = ["realtime", "historical"];

/// Where a metric is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// On the hosts when all connected agents can compute it there, else at the hub.
    #[default]
    Auto,
    /// From the log.
    Hub,
    /// On the hosts; events of agents that cannot compute it, and those that come in by HTTP, are counted at the hub.
    Edge,
}

/// A metric as a user declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricDraft {
    /// Unique, also when every character but letters, digits, `_` and `:` is written `_`, as in PromQL.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// CEL over an event's attributes: which events count.
    #[serde(default = "everything", rename = "match")]
    pub matches: String,
    /// What is computed, for example `count()` or `p99(data.ms)`.
    #[serde(default = "count")]
    pub aggregate: String,
    /// One series for each combination of these attributes. `device(data.user_agent)` stands for the kind of device.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// Length of the windows whose values the metric has: 1s to 30s when they divide a minute, or whole minutes up to a day.
    #[serde(default = "one_minute")]
    #[schema(value_type = String)]
    pub window: Span,
    /// Where it is computed.
    #[serde(default)]
    pub placement: Placement,
    /// With `placement: edge`: whether agents send the events that it counts all the same. When not, such events are in no query, and no rule and no other metric
    /// of the hub sees them.
    #[serde(default = "yes")]
    pub keep_events: bool,
}

/// A metric that the hub keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Metric {
    /// The name as in PromQL; what the API's paths call it.
    pub id: String,
    /// What the user declared.
    #[serde(flatten)]
    pub draft: MetricDraft,
    /// It comes with the hub and cannot be changed.
    #[serde(default)]
    pub builtin: bool,
    /// Whose windows the stored ones are: another one when the metric asks something else.
    pub series_id: String,
    /// Events stored from here on count.
    pub since: Instant,
    /// 1 for the first.
    pub version: i64,
    /// When it was made.
    pub created_at: Instant,
    /// Last change.
    pub updated_at: Instant,
}

impl MetricDraft {
    /// The metric's name in PromQL and in paths of the API.
    #[must_use]
    pub fn id(&self) -> String {
        prometheus_name(&self.name)
    }

    /// Names of the labels of its series, in the order of `group_by`: as written, and `device` for a device.
    #[must_use]
    pub fn label_names(&self) -> Vec<String> {
        let name = |text: &String| {
            if text.starts_with("device(") {
                "device".to_owned()
            } else {
                text.clone()
            }
        };
        self.group_by.iter().map(name).collect()
    }

    /// Whether windows of this one may stand beside windows of the other: both ask the same.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let asks = |draft: &Self| (draft.matches.clone(), draft.aggregate.clone(), draft.group_by.clone());
        asks(self) == asks(other) && self.base() == other.base()
    }

    /// Length of the smallest windows that are kept, ms.
    #[must_use]
    pub fn base(&self) -> i64 {
        self.window.ms().clamp(1, MINUTE)
    }

    /// Lengths of all windows that are kept, ms, the smallest first.
    #[must_use]
    pub fn resolutions(&self) -> Vec<i64> {
        let mut all = vec![self.base(), MINUTE, HOUR, DAY];
        all.dedup();
        all
    }

    /// Checks everything at once.
    ///
    /// # Errors
    /// Every mistake, with its field and, for an expression, its position.
    pub fn compile(&self) -> Result<CompiledMetric, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, reason: String, place: Option<(u32, u32)>| {
            errors.push(RuleError {
                field: field.to_owned(),
                reason,
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
            });
        };
        if self.name.trim().is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            refuse(
                "name",
                "must have 1 to 128 bytes and no control characters".to_owned(),
                None,
            );
        }
        if RESERVED.contains(&self.id().as_str()) {
            refuse("name", format!("`{}` is the name of a route", self.name), None);
        }
        let window = self.window.ms();
        let fits = match window {
            1000..MINUTE => MINUTE % window == 0,
            MINUTE..=DAY => window % MINUTE == 0,
            _ => false,
        };
        if !fits {
            let reason = format!(
                "`{}` must divide a minute (1s, 5s, 10s, 30s …) or be whole minutes, at most 1d",
                self.window
            );
            refuse("window", reason, None);
        }
        if !self.keep_events && self.placement != Placement::Edge {
            let reason = "only agents can leave events out: it needs `\"placement\": \"edge\"`".to_owned();
            refuse("keep_events", reason, None);
        }
        let filter = Filter::compile(&self.matches)
            .map_err(|e| refuse("match", e.message, Some((e.line, e.column))))
            .ok();
        let aggregate = AggregateSpec::parse(&self.aggregate)
            .map_err(|e| refuse("aggregate", e.to_string(), None))
            .ok();
        if self.group_by.len() > MAX_GROUP_BY {
            refuse("group_by", format!("at most {MAX_GROUP_BY} attributes"), None);
        }
        let mut labels = BTreeSet::new();
        for name in self.label_names() {
            if !labels.insert(prometheus_name(&name)) {
                refuse(
                    "group_by",
                    format!("two attributes have the label `{}`", prometheus_name(&name)),
                    None,
                );
            }
        }
        let mut group_by = Vec::with_capacity(self.group_by.len());
        for text in &self.group_by {
            match GroupKey::parse(text) {
                Ok(key) => group_by.push(key),
                Err(reason) => refuse("group_by", reason, None),
            }
        }
        let (Some(filter), Some(aggregate), true) = (filter, aggregate, errors.is_empty()) else {
            return Err(errors);
        };
        let compiled = CompiledMetric {
            filter,
            aggregate,
            group_by,
            base: self.base(),
        };
        match compiled.edge_objection() {
            Some(reason) if self.placement == Placement::Edge => Err(vec![RuleError {
                field: "placement".to_owned(),
                reason: format!("it cannot be computed on hosts: {reason}; use `hub` or `auto`"),
                line: None,
                column: None,
            }]),
            _ => Ok(compiled),
        }
    }
}

impl Metric {
    /// The metric as agents are told.
    #[must_use]
    pub fn definition(&self) -> MetricDefinition {
        MetricDefinition {
            series: self.series_id.clone(),
            name: self.draft.name.clone(),
            matches: self.draft.matches.clone(),
            aggregate: self.draft.aggregate.clone(),
            group_by: self.draft.group_by.clone(),
            base_ms: self.draft.base(),
            keep_events: self.draft.keep_events,
        }
    }
}

/// A name as PromQL takes it: what it does not allow becomes `_`.
#[must_use]
pub fn prometheus_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut text: String = name.trim().chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text
}

fn everything() -> String {
    "true".to_owned()
}
const fn yes() -> bool {
    true
}
fn count() -> String {
    "count()".to_owned()
}
const fn one_minute() -> Span {
    Span::from_ms(MINUTE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_proto::path::Path;

    use super::*;

    fn errors(change: serde_json::Value) -> Vec<(String, String)> {
        let mut body = json!({"name": "m"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let draft: MetricDraft = serde_json::from_value(body).unwrap();
        let errors = draft.compile().err().unwrap_or_default();
        errors.into_iter().map(|e| (e.field, e.reason)).collect()
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        assert!(errors(json!({})).is_empty());
        for window in ["1s", "10s", "30s", "1m", "5m", "7m", "1h", "1d"] {
            assert!(errors(json!({"window": window})).is_empty(), "{window}");
        }
        for window in ["0s", "500ms", "7s", "90s", "2d", "365000d"] {
            assert_eq!(errors(json!({"window": window}))[0].0, "window", "{window}");
        }
        let all = errors(json!({
            "name": " ", "match": "type ==", "aggregate": "p99()", "group_by": ["nope", "data.a.b", "data.a_b"], "placement": "edge",
        }));
        let fields: Vec<&str> = all.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["name", "match", "aggregate", "group_by", "group_by"]);
        for (change, reason) in [
            (
                json!({"match": "data.a + 1 == data.b"}),
                "not answered on columns alone",
            ),
            (json!({"aggregate": "topk(3, data.path)"}), "error bound of `topk`"),
        ] {
            assert!(errors(change.clone()).is_empty(), "the hub takes {change}");
            let mut change = change;
            change["placement"] = json!("edge");
            let refused = errors(change);
            assert_eq!(refused[0].0, "placement");
            assert!(refused[0].1.contains(reason), "{refused:?}");
        }
        assert_eq!(errors(json!({"keep_events": false}))[0].0, "keep_events");
        assert!(errors(json!({"keep_events": false, "placement": "edge"})).is_empty());
    }

    #[test]
    fn devices_are_labels() {
        let draft: MetricDraft =
            serde_json::from_value(json!({"name": "x.y z", "group_by": ["device(data.user_agent)", "source"]}))
                .unwrap();
        let compiled = draft.compile().unwrap();
        assert_eq!(
            compiled.group_by[0],
            GroupKey::Device(Path::parse("data.user_agent").unwrap())
        );
        assert_eq!(draft.label_names(), ["device", "source"]);
        assert_eq!(draft.id(), "x_y_z");
        assert_eq!(draft.resolutions(), [MINUTE, HOUR, DAY]);
    }
}
