//! What a drill is made of: the rule that lives for it, and the event that it is about. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamflow_model::{
    Evaluate, Instant, Level, Rule, RuleDraft, RuleKind, Span, WindowSpec,
    drill::{DRILL_LABEL, drill_rule_id},
};
use streamflow_proto::{build::BatchBuilder, filter::Filter, frame::Frame, wire::DRILL_MARK};
use uuid::Uuid;

/// A copy of a rule that sees nothing but the drill's event. It keeps the rule's expression (if `exercised`), groups, level, labels and texts; one event is enough for it, at
/// once, since a drill tries the way and not the threshold.
pub fn private_rule(drill: &str, rule: &RuleDraft, exercised: bool, channels: Vec<String>, page: bool) -> Rule {
    let marked = format!("metadata.{DRILL_MARK} == '{drill}'");
    let matches = if exercised {
        format!("({}) && {marked}", rule.matches)
    } else {
        marked
    };
    let window = match &rule.window {
        WindowSpec::Tumbling(size) => WindowSpec::Tumbling(*size),
        _ => WindowSpec::Tumbling(Span::from_secs(300)),
    };
    let mut labels = rule.labels.clone();
    labels.insert(DRILL_LABEL.to_owned(), drill.to_owned());
    let mut annotations = rule.annotations.clone();
    let words = "This is a fire drill: nothing is wrong. Acknowledge it as you would a real alert.";
    annotations.insert(DRILL_LABEL.to_owned(), words.to_owned());
    let draft = RuleDraft {
        kind: RuleKind::Threshold,
        matches,
        aggregate: "count()".to_owned(),
        window,
        allowed_lateness: Span::ZERO,
        condition: "value >= threshold".to_owned(),
        threshold: Some(1.0),
        hold: Span::ZERO,
        keep_firing_for: Span::ZERO,
        evaluate: Evaluate::Eager,
        pattern: None,
        absence: None,
        anomaly: None,
        plugin: None,
        config: Map::new(),
        labels,
        annotations,
        channels,
        suppression_minutes: 0,
        escalation_minutes: if page { rule.escalation_minutes } else { 0 },
        escalation: rule.escalation.clone().filter(|_| page),
        flap_detection: false,
        enabled: true,
        group_by: if rule.kind == RuleKind::Plugin {
            Vec::new()
        } else {
            rule.group_by.clone()
        },
        ..rule.clone()
    };
    Rule {
        id: drill_rule_id(drill),
        draft,
        version: 1,
        created_at: Instant::now(),
        // It has always been there.
        updated_at: Instant(i64::MIN),
        provisioned: None,
    }
}

/// The rule behind a drill of a route: labels and a level.
///
/// # Errors
/// Never with labels that are texts.
pub fn route_rule(mut labels: BTreeMap<String, String>, level: Level) -> Result<RuleDraft, serde_json::Error> {
    let name = labels.remove("alertname").unwrap_or_else(|| "fire drill".to_owned());
    labels.remove("level");
    serde_json::from_value(json!({"name": name, "threshold": 1, "level": level, "labels": labels}))
}

/// Whether a rule's own expression can be tried with one event.
pub fn has_expression(rule: &RuleDraft) -> bool {
    matches!(rule.kind, RuleKind::Threshold | RuleKind::Anomaly)
}

/// The event of a drill as JSON, without a time: it happens when it is emitted.
pub fn event(drill: &str, id: Uuid, source: &str, fields: Option<Map<String, Value>>) -> String {
    let mut event = fields.unwrap_or_default();
    event.remove("timestamp");
    event.insert("id".to_owned(), json!(id));
    event.entry("type").or_insert_with(|| json!("streamflow.drill"));
    event.entry("source").or_insert_with(|| json!(source));
    let metadata = event.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert(DRILL_MARK.to_owned(), json!(drill));
    }
    Value::Object(event).to_string()
}

/// The event as the one of a frame.
///
/// # Errors
/// What is wrong with it.
pub fn frame(event: &str, now: i64, seq: u64) -> Result<Frame, String> {
    let mut builder = BatchBuilder::new();
    builder
        .push_json(event.as_bytes(), now)
        .map_err(|rejection| rejection.to_string())?;
    Ok(builder.finish(seq))
}

/// Whether an expression matches the event.
///
/// # Errors
/// What is wrong with the event or the expression.
pub fn is_matched(expression: &str, event: &str, now: i64) -> Result<bool, String> {
    let batch = frame(event, now, 1)?.decode().map_err(|error| error.to_string())?;
    let filter = Filter::compile(expression).map_err(|error| error.to_string())?;
    let rows = filter.eval(&batch).map_err(|error| error.to_string())?;
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(fields: Value) -> RuleDraft {
        let mut draft = json!({"name": "api errors", "match": "type == 'api' && data.status >= 500", "threshold": 50, "window": "5m", "for": "1m",
            "group_by": ["source"], "level": "critical", "labels": {"team": "web"}, "channels": ["ops"], "suppression_minutes": 10,
            "escalation_minutes": 15, "escalation": "page"});
        draft
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        serde_json::from_value(draft).unwrap()
    }

    #[test]
    fn the_copy_sees_the_drill_alone_and_pages_nobody_unless_told_so() {
        let rule = private_rule("d1", &draft(json!({})), true, vec!["drill".into()], false);
        rule.draft.compile().unwrap();
        let of = |status: u16, drill: &str| {
            let fields =
                json!({"type": "api", "source": "web-1", "data": {"status": status}, "timestamp": 5, "id": "x"});
            event(drill, Uuid::now_v7(), "agent", fields.as_object().cloned())
        };
        let matched = |event: &str| is_matched(&rule.draft.matches, event, 0).unwrap();
        assert!(matched(&of(500, "d1")));
        assert!(!matched(&of(500, "d2")), "another drill");
        assert!(!matched(&of(200, "d1")), "what the rule would not match");
        assert_eq!(
            (rule.draft.name.as_str(), rule.draft.channels.as_slice()),
            ("api errors", &["drill".to_owned()][..])
        );
        assert_eq!((rule.draft.escalation, rule.draft.escalation_minutes), (None, 0));
        assert_eq!(rule.draft.labels["drill"], "d1");
        assert_eq!(rule.draft.labels["team"], "web");
        let paging = private_rule("d1", &draft(json!({})), true, vec!["ops".into()], true);
        assert_eq!(
            (paging.draft.escalation.as_deref(), paging.draft.escalation_minutes),
            (Some("page"), 15)
        );
    }

    #[test]
    fn every_kind_of_rule_has_a_copy_that_compiles() {
        for fields in [
            json!({"kind": "pattern", "match": "true", "group_by": ["user_id"], "pattern": {"within": "5m",
                "steps": [{"name": "a", "match": "type == 'a'"}, {"name": "b", "match": "type == 'b'"}]}}),
            json!({"kind": "plugin", "plugin": "p", "match": "true", "group_by": []}),
            json!({"window": {"session_gap": "30s", "by": ["session_id"]}}),
            json!({"window": {"size": "10m", "slide": "1m"}, "aggregate": "p99(data.ms)"}),
        ] {
            let draft = draft(fields);
            let exercised = has_expression(&draft);
            let rule = private_rule("d1", &draft, exercised, vec!["drill".into()], false);
            rule.draft.compile().unwrap();
        }
        route_rule(BTreeMap::from([("alertname".to_owned(), "x".to_owned())]), Level::Error).unwrap();
    }

    #[test]
    fn an_event_keeps_what_is_given_and_is_refused_with_its_reason() {
        let text = event("d1", Uuid::nil(), "web-1", None);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&read["type"], &read["source"]),
            (&json!("streamflow.drill"), &json!("web-1"))
        );
        assert_eq!(read["metadata"]["streamflow_drill"], "d1");
        assert_eq!(frame(&text, 7, 1).unwrap().header().min_ts, 7);
        let wrong = json!({"type": "", "data": 5});
        let text = event("d1", Uuid::nil(), "web-1", wrong.as_object().cloned());
        assert!(frame(&text, 0, 1).is_err());
    }
}
