//! Every way that a drill can take behind the rule.

use serde_json::{Value, json};
use streamflow_model::{DrillState, Instant};

use super::*;

fn drill() -> Drill {
    let mut drill: Drill = serde_json::from_value(
        json!({"id": "d1", "state": "running", "by": "eva", "target": "r", "request": {},
        "agent": "web-1", "channels": ["ops"], "would_tell": ["ops"], "started_at": 1000, "hops": []}),
    )
    .unwrap();
    for hop in [
        HopName::Asked,
        HopName::Emitted,
        HopName::Spooled,
        HopName::Sent,
        HopName::Stored,
        HopName::Matched,
    ] {
        drill.reach(hop, Instant(1000), "");
    }
    drill
}

fn alert(fields: Value) -> Alert {
    let mut alert = json!({"id": "a1", "rule_id": "drill:d1", "rule_name": "r", "state": "firing", "level": "critical", "title": "DRILL: r",
        "message": "", "value": 1.0, "labels": {}, "group_key": "k", "pending_at": 1000, "fired_at": 1010, "acknowledged_at": null,
        "acknowledged_by": null, "resolved_at": null, "resolved_by": null, "data": {},
        "completeness": {"complete": true, "reported": 1, "missing": []}, "timeline": []});
    alert
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(alert).unwrap()
}

fn delivery(channel: &str, fields: Value) -> Delivery {
    let mut delivery = json!({"id": "n1", "alert_id": "a1", "channel": channel, "status": "firing", "idempotency_key": "k", "state": "pending",
        "attempts": 0, "next_attempt_at": null, "error": null, "reference": null, "created_at": 1020, "delivered_at": null});
    delivery
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(delivery).unwrap()
}

#[test]
fn from_the_alert_to_a_person_s_answer() {
    let mut drill = drill();
    assert_eq!(follow(&mut drill, &alert(json!({})), &[]), Course::Waits);
    assert_eq!(drill.waits_for(), Some(HopName::Notified));
    assert_eq!(
        follow(&mut drill, &alert(json!({})), &[delivery("ops", json!({}))]),
        Course::Waits
    );
    assert_eq!(drill.waits_for(), Some(HopName::Accepted));
    let done = delivery(
        "ops",
        json!({"state": "delivered", "delivered_at": 1050, "reference": "200 OK"}),
    );
    assert_eq!(
        follow(&mut drill, &alert(json!({})), std::slice::from_ref(&done)),
        Course::Accepted
    );
    let taken = alert(json!({"state": "acknowledged", "acknowledged_at": 9000, "acknowledged_by": "eva"}));
    let over = delivery("ops", json!({"status": "resolved"}));
    assert_eq!(follow(&mut drill, &taken, &[done, over]), Course::Answered);
    drill.pass(Instant(9001));
    assert_eq!(
        (drill.state, drill.waits_for(), drill.took_ms()),
        (DrillState::Passed, None, 8000)
    );
    let last = drill.hops.last().unwrap();
    assert_eq!((last.detail.as_str(), last.took_ms), ("eva", 7950));
}

#[test]
fn every_channel_must_accept_and_a_refusal_is_named() {
    let mut drill = drill();
    drill.channels = vec!["ops".into(), "sms".into()];
    let done = |channel: &str| delivery(channel, json!({"state": "delivered", "delivered_at": 1050}));
    let waits = delivery("sms", json!({"attempts": 2, "error": "answered 503"}));
    let both = [done("ops"), waits];
    assert_eq!(follow(&mut drill, &alert(json!({})), &both), Course::Waits);
    let late = late(&drill, drill.waits_for().unwrap(), &both);
    assert!(late.contains("sms after 2 attempts: answered 503"), "{late}");
    let refused = delivery("sms", json!({"state": "failed", "error": "answered 404"}));
    assert_eq!(
        follow(&mut drill, &alert(json!({})), &[done("ops"), refused]),
        Course::Lost(HopName::Accepted, "sms: answered 404".to_owned())
    );
}

#[test]
fn a_silence_loses_it_and_who_closes_it_has_answered() {
    let muted = alert(json!({"muted_by": ["silence:s1"]}));
    assert_eq!(
        follow(&mut drill(), &muted, &[]),
        Course::Lost(HopName::Notified, "muted by silence:s1".to_owned())
    );
    let done = [delivery("ops", json!({"state": "delivered", "delivered_at": 1050}))];
    let closed = alert(json!({"state": "resolved", "resolved_at": 2000, "resolved_by": "max"}));
    assert_eq!(follow(&mut drill(), &closed, &done), Course::Answered);
    let ended = alert(json!({"state": "resolved", "resolved_at": 2000, "resolved_by": "streamflow"}));
    assert!(matches!(
        follow(&mut drill(), &ended, &done),
        Course::Lost(HopName::Acknowledged, _)
    ));
}
