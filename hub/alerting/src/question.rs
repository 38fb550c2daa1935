//! What a rule asks, apart from whom it tells: alerts and verdicts belong to a question, not to a version of a rule.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use streamflow_model::RuleDraft;

/// Fields that change who hears of it, when and in which words, how late events count or how many groups there may be, and
/// nothing about what is asked.
const NOT_ASKED: [&str; 16] = [
    "name",
    "allowed_lateness",
    "max_groups",
    "for",
    "keep_firing_for",
    "level",
    "labels",
    "annotations",
    "channels",
    "suppression_minutes",
    "escalation_minutes",
    "escalation",
    "flap_detection",
    "enabled",
    "tags",
    "metadata",
];

/// Fingerprint of the question, the same over restarts; never 0. A field that this file does not know belongs to the question.
pub(crate) fn fingerprint(draft: &RuleDraft) -> u64 {
    let fields = match serde_json::to_value(draft) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    // Optional fields that a later version adds leave old rules' fingerprints as they are.
    let asked: BTreeMap<String, Value> = fields
        .into_iter()
        .filter(|(name, value)| !value.is_null() && !NOT_ASKED.contains(&name.as_str()))
        .collect();
    let text = serde_json::to_string(&asked).unwrap_or_default();
    let hash = digest(&SHA256, text.as_bytes());
    let first = hash.as_ref().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_le_bytes(first).max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(fields: Value) -> u64 {
        let mut draft = json!({"name": "x", "threshold": 5});
        draft
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        fingerprint(&serde_json::from_value(draft).unwrap())
    }

    #[test]
    fn only_what_is_asked_counts() {
        let asked = of(json!({}));
        for same in [
            json!({"name": "y"}),
            json!({"channels": ["ops"], "level": "critical", "for": "5m"}),
            json!({"allowed_lateness": "1m", "max_groups": 7}),
            json!({"suppression_minutes": 3, "tags": ["a"], "enabled": false, "keep_firing_for": "1m"}),
        ] {
            assert_eq!(of(same.clone()), asked, "{same}");
        }
        for other in [
            json!({"threshold": 6}),
            json!({"match": "type == 'a'"}),
            json!({"window": "1m"}),
            json!({"window": {"size": "5m", "slide": "1m"}}),
            json!({"kind": "anomaly"}),
            json!({"pattern": {"steps": [{"name": "a", "match": "true"}], "within": "1m"}}),
            json!({"absence": {"silent_for": "1m"}}),
            json!({"anomaly": {}}),
            json!({"group_by": ["source"]}),
            json!({"condition": "value >= threshold"}),
            json!({"evaluate": "on_close"}),
            json!({"plugin": "hot"}),
            json!({"config": {"above": 5}}),
        ] {
            assert_ne!(of(other.clone()), asked, "{other}");
        }
    }
}
