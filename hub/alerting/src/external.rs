//! Alerts that others decide, in the form in which Prometheus sends them to an Alertmanager.
//!
//! An alert that its sender ends is resolved. One that its sender no longer mentions is *stale*: silence is no good news.

use std::collections::BTreeMap;

use serde::Deserialize;
use streamflow_model::{Completeness, Instant, Level, Rule, RuleError, Signal, Span};

use crate::matchers::wrong;

/// Stands for the rule of alerts that others decide.
pub const RULE_ID: &str = "external";
/// An alert without an end is expected again within this time.
pub(crate) const AGAIN_WITHIN: Span = Span::from_secs(300);
/// A stale alert is over when its sender has not mentioned it for this long.
pub(crate) const GIVEN_UP_AFTER: Span = Span::from_secs(86_400);
/// Labels, and annotations, of one alert.
const MOST: usize = 64;
/// Bytes of a name and of a value.
const LONGEST: (usize, usize) = (256, 4096);

/// An alert as Prometheus sends it.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct PostedAlert {
    /// Its identity.
    pub labels: BTreeMap<String, String>,
    /// Texts.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    #[serde(default, rename = "startsAt")]
    pub starts_at: Option<Instant>,
    /// When it ended, or, in the future, until when its sender will have mentioned it again.
    #[serde(default, rename = "endsAt")]
    pub ends_at: Option<Instant>,
    /// Where it comes from.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
}

/// What a posted alert means.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    /// The verdict.
    pub(crate) signal: Signal,
    /// Its rule, with the name, level and texts of this alert.
    pub(crate) rule: Rule,
    /// Until when it will be mentioned again, ms; `None` when it is over.
    pub(crate) again_until: Option<i64>,
}

/// The rule under which all of them stand, with the name, level and texts of one.
pub(crate) fn rule(name: &str, level: Level, annotations: &BTreeMap<String, String>) -> Option<Rule> {
    // Every other field has a default.
    let draft = serde_json::json!({"name": name, "level": level, "annotations": annotations, "threshold": 0});
    Some(Rule {
        id: RULE_ID.to_owned(),
        draft: serde_json::from_value(draft).ok()?,
        version: 1,
        created_at: Instant(0),
        updated_at: Instant(0),
        provisioned: None,
    })
}

/// Checks an alert and says what it means at `now`; `field` is its place in the request.
pub(crate) fn read(field: &str, posted: PostedAlert, now: i64) -> Result<Posted, Vec<RuleError>> {
    let mut errors = Vec::new();
    if posted.labels.is_empty() {
        errors.push(wrong(format!("{field}.labels"), "an alert needs a label"));
    }
    for (part, texts) in [("labels", &posted.labels), ("annotations", &posted.annotations)] {
        let too_long =
            |(name, value): (&String, &String)| name.is_empty() || name.len() > LONGEST.0 || value.len() > LONGEST.1;
        if texts.len() > MOST || texts.iter().any(too_long) {
            let reason = format!(
                "at most {MOST}, names of {} and values of {} bytes",
                LONGEST.0, LONGEST.1
            );
            errors.push(wrong(format!("{field}.{part}"), reason));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let PostedAlert {
        mut labels,
        mut annotations,
        starts_at,
        ends_at,
        generator_url,
    } = posted;
    // Prometheus' zero time, and a label without a value, mean nothing.
    let known = |at: Option<Instant>| at.map(|at| at.0).filter(|at| *at > 0);
    labels.retain(|_, value| !value.is_empty());
    if !generator_url.is_empty() {
        annotations.entry("generator_url".to_owned()).or_insert(generator_url);
    }
    let name = labels.get("alertname").cloned().unwrap_or_else(|| "alert".to_owned());
    let level = labels.get("level").or(labels.get("severity"));
    let level = level.map_or(Level::Warning, |text| level_of(text));
    let began = known(starts_at).unwrap_or(now);
    let end = known(ends_at);
    let over = end.is_some_and(|end| end <= now);
    let signal = Signal {
        rule_id: RULE_ID.to_owned(),
        rule_version: 1,
        labels,
        value: (!over).then_some(1.0),
        met: !over,
        running: false,
        window_start: began,
        window_end: began,
        revision: 0,
        watermark: now,
        completeness: Completeness {
            complete: true,
            reported: 1,
            ..Completeness::default()
        },
        top: Vec::new(),
        stored_at: now,
        account: None,
    };
    let unreadable = || vec![wrong(field, "is no alert")];
    let rule = rule(&name, level, &annotations).ok_or_else(unreadable)?;
    let again_until = (!over).then(|| end.unwrap_or(now + AGAIN_WITHIN.ms()));
    Ok(Posted {
        signal,
        rule,
        again_until,
    })
}

fn level_of(text: &str) -> Level {
    match text.to_ascii_lowercase().as_str() {
        "critical" | "page" | "emergency" | "alert" | "fatal" => Level::Critical,
        "error" | "major" | "high" => Level::Error,
        "info" | "information" | "none" | "low" | "debug" => Level::Info,
        _ => Level::Warning,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::T0;

    fn posted(change: Value) -> Result<Posted, Vec<RuleError>> {
        let mut alert = json!({"labels": {"alertname": "HostDown", "severity": "page", "instance": "a", "empty": ""},
            "annotations": {"summary": "down"}, "startsAt": Instant(T0 - 1000), "endsAt": Instant(T0 + 240_000),
            "generatorURL": "http://prometheus/graph"});
        alert
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        read("[0]", serde_json::from_value(alert).unwrap(), T0)
    }

    #[test]
    fn what_prometheus_sends_is_a_verdict() {
        let firing = posted(json!({})).unwrap();
        assert_eq!((firing.signal.met, firing.again_until), (true, Some(T0 + 240_000)));
        assert_eq!(
            (firing.rule.draft.name.as_str(), firing.rule.draft.level),
            ("HostDown", Level::Critical)
        );
        assert_eq!(
            firing.rule.draft.annotations["generator_url"],
            "http://prometheus/graph"
        );
        assert!(!firing.signal.labels.contains_key("empty"));
        let over = posted(json!({"endsAt": Instant(T0)})).unwrap();
        assert_eq!(
            (over.signal.met, over.signal.value, over.again_until),
            (false, None, None)
        );
        let bare = posted(json!({"startsAt": "0001-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"})).unwrap();
        assert_eq!(
            (bare.signal.window_end, bare.again_until),
            (T0, Some(T0 + AGAIN_WITHIN.ms()))
        );
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let errors = posted(json!({"labels": {}, "annotations": {"": "x"}})).unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["[0].labels", "[0].annotations"]);
    }
}
