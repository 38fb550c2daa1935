//! Rules, channels and verdicts for tests.

use std::collections::BTreeMap;

use serde_json::json;
use streamflow_model::{Channel, Completeness, Rule, RuleDraft, Signal};

use crate::{book::Book, options::Options};

/// Tests begin at this time, ms.
pub(crate) const T0: i64 = 1_700_000_000_000;
/// One minute, ms.
pub(crate) const MINUTE: i64 = 60_000;

/// A rule `errors` that tells channel `ops`; `fields` replace others.
pub(crate) fn rule(fields: serde_json::Value) -> Rule {
    let mut draft = json!({"name": "errors", "threshold": 50, "window": "1m", "group_by": ["source"],
        "level": "warning", "channels": ["ops"]});
    draft
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let draft: RuleDraft = serde_json::from_value(draft).unwrap();
    Rule {
        id: "r1".to_owned(),
        draft,
        version: 1,
        created_at: Default::default(),
        updated_at: Default::default(),
    }
}

/// Channel `ops`, for alerts from `info`.
pub(crate) fn channel(name: &str) -> Channel {
    serde_json::from_value(json!({"name": name, "plugin": "webhook", "config": {"url": "https://example.org"}}))
        .unwrap()
}

/// A book with these rules and channel `ops`.
pub(crate) fn book(rules: Vec<Rule>) -> Book {
    Book::load(
        Options::default(),
        "https://hub.example",
        rules,
        vec![channel("ops")],
        Vec::new(),
        T0,
    )
}

/// Verdict on the closed, complete window number `window` of source `web-1`.
pub(crate) fn signal(window: i64, value: f64) -> Signal {
    Signal {
        rule_id: "r1".to_owned(),
        rule_version: 1,
        labels: BTreeMap::from([("source".to_owned(), "web-1".to_owned())]),
        value: Some(value),
        met: value > 50.0,
        running: false,
        window_start: T0 + window * MINUTE,
        window_end: T0 + (window + 1) * MINUTE,
        revision: 0,
        watermark: T0 + (window + 1) * MINUTE,
        completeness: Completeness {
            complete: true,
            reported: 1,
            missing: Vec::new(),
        },
        stored_at: T0,
        account: None,
    }
}

/// The same with an agent missing.
pub(crate) fn incomplete(window: i64, value: f64) -> Signal {
    let completeness = Completeness {
        complete: false,
        reported: 0,
        missing: vec!["agent-7".to_owned()],
    };
    Signal {
        completeness,
        ..signal(window, value)
    }
}
