//! Rules, channels and verdicts for tests.

use std::collections::BTreeMap;

use serde_json::json;
use streamflow_model::{Channel, Completeness, Escalation, Instant, Routing, RoutingDraft, Rule, RuleDraft, Signal};

use crate::{
    book::{Book, Stored},
    incident::{FlapLimit, Terms},
    options::Options,
    question,
    route::{Compiled, Known},
};

static NO_POLICIES: BTreeMap<String, Escalation> = BTreeMap::new();
/// Tests begin at this time, ms.
pub(crate) const T0: i64 = 1_700_000_000_000;
/// One minute, ms.
pub(crate) const MINUTE: i64 = 60_000;

/// A rule `errors` that tells channel `ops`; `fields` replace others.
pub(crate) fn rule(fields: serde_json::Value) -> Rule {
    let mut draft = json!({"name": "errors", "threshold": 50, "window": "1m", "group_by": ["source"],
        "level": "warning", "channels": ["ops"], "flap_detection": false});
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
        provisioned: None,
    }
}

/// What decides about this rule's incidents; nothing flaps.
pub(crate) fn terms(rule: &Rule) -> Terms<'_> {
    Terms {
        rule,
        asks: question::fingerprint(&rule.draft),
        flap: FlapLimit::OFF,
        late_after: Options::default().late_after,
        policies: &NO_POLICIES,
    }
}

/// Channel `ops`, for alerts from `info`.
pub(crate) fn channel(name: &str) -> Channel {
    serde_json::from_value(json!({"name": name, "plugin": "webhook", "config": {"url": "https://example.org"}}))
        .unwrap()
}

/// A book with these rules and channel `ops`.
pub(crate) fn book(rules: Vec<Rule>) -> Book {
    let stored = Stored {
        rules,
        channels: vec![channel("ops")],
        ..Stored::default()
    };
    Book::load(Options::default(), "https://hub.example", stored, Vec::new(), T0)
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
            ..Completeness::default()
        },
        top: Vec::new(),
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
        ..Completeness::default()
    };
    Signal {
        completeness,
        ..signal(window, value)
    }
}

/// A routing tree as it is written, and ready to work.
pub(crate) fn routing(draft: serde_json::Value) -> (Routing, Compiled) {
    let draft: RoutingDraft = serde_json::from_value(draft).unwrap();
    let known = Known {
        channel: &|_| Ok(()),
        escalation: &|_| true,
    };
    let compiled = Compiled::compile(&draft, &known).unwrap();
    let routing = Routing {
        draft,
        version: 1,
        updated_at: Instant(T0),
        provisioned: None,
    };
    (routing, compiled)
}
