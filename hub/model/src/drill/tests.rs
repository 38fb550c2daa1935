//! Hops in order, whatever the order in which they are heard of.

use super::*;

fn drill(from_hub: bool) -> Drill {
    Drill {
        id: "d".into(),
        state: DrillState::Running,
        by: "eva".into(),
        schedule: None,
        target: "r".into(),
        request: DrillRequest {
            from_hub,
            ..DrillRequest::default()
        },
        agent: "web-1".into(),
        event_id: None,
        alert_id: None,
        channels: Vec::new(),
        would_tell: Vec::new(),
        started_at: Instant(1000),
        ended_at: None,
        hops: Vec::new(),
        lost_at: None,
        reason: None,
        notes: Vec::new(),
    }
}

#[test]
fn hops_stand_in_their_order_and_are_timed_from_one_to_the_next() {
    let mut drill = drill(false);
    drill.reach(HopName::Asked, Instant(1000), "");
    drill.reach(HopName::Stored, Instant(1040), "");
    assert_eq!(drill.waits_for(), Some(HopName::Matched));
    drill.reach(HopName::Emitted, Instant(1010), "heard of after the event itself");
    drill.reach(HopName::Emitted, Instant(9999), "twice");
    let seen: Vec<_> = drill.hops.iter().map(|hop| (hop.hop.name(), hop.took_ms)).collect();
    assert_eq!(seen, [("asked", 0), ("emitted", 10), ("stored", 30)]);
    assert_eq!(drill.took_ms(), 40);
}

#[test]
fn it_waits_for_what_has_not_happened_and_a_drill_without_an_agent_for_nothing_of_one() {
    let mut with_agent = drill(false);
    assert_eq!(with_agent.waits_for(), Some(HopName::Asked));
    with_agent.reach(HopName::Asked, Instant(1000), "");
    assert_eq!(with_agent.waits_for(), Some(HopName::Emitted));
    let mut from_hub = drill(true);
    from_hub.reach(HopName::Asked, Instant(1000), "");
    assert_eq!(from_hub.waits_for(), Some(HopName::Stored));
    from_hub.reach(HopName::Acknowledged, Instant(1001), "");
    assert_eq!(from_hub.waits_for(), None);
}

#[test]
fn the_rule_of_a_drill_is_told_from_others_by_its_id() {
    assert!(is_drill_rule(&drill_rule_id("x")));
    assert!(!is_drill_rule("x"));
}
