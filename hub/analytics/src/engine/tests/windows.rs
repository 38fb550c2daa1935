//! Sliding and session windows, late corrections, heartbeats.

use super::*;

/// Window in seconds after `T0`, value, met, revision.
fn told(signals: &[Signal]) -> Vec<(i64, i64, Option<f64>, bool, u32)> {
    let seconds = |at: i64| (at - T0) / 1000;
    signals
        .iter()
        .map(|s| {
            (
                seconds(s.window_start),
                seconds(s.window_end),
                s.value,
                s.met,
                s.revision,
            )
        })
        .collect()
}

fn heard(agent: &str, at: i64) -> Heard {
    Heard {
        agent: agent.to_owned(),
        at: T0 + at,
        skew_ms: 0,
        drained: true,
    }
}

#[test]
fn a_sliding_window_fires_over_the_border_that_tumbling_ones_miss() {
    let mut engine = engine(&[
        rule("tumbling", json!({"window": "10s", "evaluate": "auto"})),
        rule("sliding", json!({"window": {"size": "10s", "slide": "5s"}})),
    ]);
    assert!(engine.status().rules.iter().all(|rule| rule.eager));
    let mut feed = |position, at, samples: &[Sample]| -> Vec<Signal> {
        let signals = engine.ingest(&log(position, "h", at, samples)).signals;
        signals.into_iter().filter(|s| s.rule_id == "sliding").collect()
    };
    assert!(feed(1, 8000, &[(8000, "s", 0.), (8100, "s", 0.)]).is_empty());
    let fired = feed(2, 12_000, &[(11_000, "s", 0.), (12_000, "s", 0.)]);
    assert_eq!(
        (told(&fired), fired[0].running),
        (vec![(5, 15, Some(4.0), true, 0)], true)
    );
    // The next window holds its newer half and two more. What was said of it is newer than the end of the window before.
    let next = feed(3, 17_500, &[(14_000, "s", 0.), (17_500, "s", 0.)]);
    assert_eq!(
        (told(&next), next[0].running),
        (vec![(10, 20, Some(4.0), true, 0)], true)
    );
    let closed = feed(4, 22_500, &[(22_500, "s", 0.)]);
    assert_eq!(told(&closed), [(10, 20, Some(4.0), true, 1)]);
}

#[test]
fn sliding_windows_end_when_the_last_one_has_emptied() {
    let mut engine = engine(&[rule(
        "r",
        json!({"window": {"size": "10s", "slide": "5s"}, "threshold": 1, "evaluate": "on_close"}),
    )]);
    engine.ingest(&log(1, "@http", 6000, &[(6000, "s", 0.), (6100, "s", 0.)]));
    let all = engine.tick(T0 + 100_000);
    assert_eq!(
        told(&all.signals),
        [
            (0, 10, Some(2.0), true, 0),
            (5, 15, Some(2.0), true, 0),
            (10, 20, None, false, 0)
        ]
    );
    assert_eq!(engine.status().rules[0].groups, 0);
}

#[test]
fn sessions_join_close_and_empty() {
    let mut engine = engine(&[rule(
        "r",
        json!({"window": {"session_gap": "10s", "by": ["source"]}, "threshold": 2, "evaluate": "on_close"}),
    )]);
    engine.ingest(&log(
        1,
        "@http",
        20_000,
        &[(0, "s", 0.), (11_000, "s", 0.), (11_500, "t", 0.)],
    ));
    // Late but in time for its session: it joins both.
    let joined = engine.ingest(&log(2, "@http", 20_100, &[(6_000, "s", 0.)]));
    assert!(joined.late.is_empty() && joined.signals.is_empty());
    let all = engine.tick(T0 + 100_000);
    let of = |source: &str| -> Vec<Signal> {
        all.signals
            .iter()
            .filter(|s| s.labels["source"] == source)
            .cloned()
            .collect()
    };
    assert_eq!(told(&of("s")), [(0, 21, Some(3.0), true, 0), (21, 31, None, false, 0)]);
    assert_eq!(told(&of("t")), [(11, 21, Some(1.0), false, 0)]);
    assert_eq!(engine.status().rules[0].groups, 0);
}

#[test]
fn a_session_fires_while_it_runs() {
    let mut engine = engine(&[rule("r", json!({"window": {"session_gap": "10s"}}))]);
    engine.ingest(&log(1, "h", 1000, &[(0, "s", 0.), (1000, "s", 0.)]));
    let fired = engine.ingest(&log(2, "h", 9000, &[(8000, "s", 0.), (9000, "s", 0.)]));
    assert_eq!(told(&fired.signals), [(0, 19, Some(4.0), true, 0)]);
    assert!(
        engine
            .ingest(&log(3, "h", 12_000, &[(12_000, "s", 0.)]))
            .signals
            .is_empty()
    );
    let closed = engine.ingest(&log(4, "h", 40_000, &[(40_000, "s", 0.)]));
    // The next one begins later than a gap after it, so this one's alert is over.
    assert_eq!(
        told(&closed.signals),
        [(0, 22, Some(5.0), true, 1), (22, 32, None, false, 0)]
    );
}

#[test]
fn a_late_event_corrects_what_was_said_and_a_later_one_is_counted() {
    let mut engine = engine(&[rule(
        "r",
        json!({"group_by": ["source"], "evaluate": "on_close", "threshold": 1, "allowed_lateness": "20s"}),
    )]);
    engine.ingest(&log(1, "h", 1000, &[(1000, "s", 0.)]));
    let closed = engine.ingest(&log(2, "h", 13_000, &[(13_000, "x", 0.)]));
    assert_eq!(told(&closed.signals), [(0, 10, Some(1.0), false, 0)]);
    let corrected = engine.ingest(&log(3, "h", 14_000, &[(2000, "s", 0.), (3000, "s", 0.)]));
    assert_eq!(told(&corrected.signals), [(0, 10, Some(3.0), true, 1)]);
    assert!(!corrected.signals[0].running);
    assert_eq!(corrected.corrections, 1);
    let again = engine.ingest(&log(4, "h", 15_000, &[(4000, "s", 0.)]));
    assert_eq!(told(&again.signals), [(0, 10, Some(4.0), true, 2)]);
    // The next window closes empty, which ends the alert; the first is final when the watermark reaches 30 s.
    let moved = engine.ingest(&log(5, "h", 33_000, &[(33_000, "x", 0.)]));
    let of_s: Vec<Signal> = moved
        .signals
        .into_iter()
        .filter(|s| s.labels["source"] == "s")
        .collect();
    assert_eq!(told(&of_s), [(10, 20, None, false, 0)]);
    let late = engine.ingest(&log(6, "h", 33_500, &[(5000, "s", 0.)]));
    assert!(late.signals.is_empty());
    assert_eq!((late.late[0].source.as_str(), late.late[0].events), ("s", 1));
    let status = &engine.status().rules[0];
    assert_eq!((status.late_events, status.corrections), (1, 2));
}

#[test]
fn a_late_event_reopens_a_session() {
    let mut engine = engine(&[rule(
        "r",
        json!({"window": {"session_gap": "5s", "by": ["source"]}, "evaluate": "on_close", "threshold": 1, "allowed_lateness": "30s"}),
    )]);
    engine.ingest(&log(1, "h", 1000, &[(1000, "s", 0.)]));
    let closed = engine.ingest(&log(2, "h", 13_000, &[(13_000, "x", 0.)]));
    assert_eq!(told(&closed.signals), [(1, 6, Some(1.0), false, 0)]);
    // At 11 s the watermark is 2 s short of the new end.
    let reopened = engine.ingest(&log(3, "h", 13_500, &[(5500, "s", 0.), (9000, "s", 0.)]));
    assert_eq!(reopened.corrections, 0);
    let closed = engine.ingest(&log(4, "h", 17_000, &[(17_000, "x", 0.)]));
    assert_eq!(told(&closed.signals), [(1, 14, Some(3.0), true, 1)]);
    let corrected = engine.ingest(&log(5, "h", 17_500, &[(4000, "s", 0.)]));
    assert_eq!(told(&corrected.signals), [(1, 14, Some(4.0), true, 2)]);
}

#[test]
fn a_quiet_agent_that_is_heard_makes_no_window_incomplete() {
    let rules = [rule(
        "r",
        json!({"group_by": ["source"], "evaluate": "on_close", "threshold": 0}),
    )];
    for listens in [true, false] {
        let mut engine = engine(&rules);
        engine.ingest(&log(1, "quiet", 500, &[(500, "q", 0.)]));
        let mut signals = Vec::new();
        for second in 1..60 {
            let at = second * 1000;
            if listens {
                engine.hear(&[heard("quiet", at)]);
            }
            signals.extend(
                engine
                    .ingest(&log(second as u64 + 1, "busy", at, &[(at, "s", 0.)]))
                    .signals,
            );
        }
        let of = |source: &str| -> Vec<(i64, bool)> {
            let mine = signals.iter().filter(|s| s.labels["source"] == source);
            mine.map(|s| ((s.window_end - T0) / 1000, s.completeness.complete))
                .collect()
        };
        if listens {
            assert_eq!(of("s"), [(10, true), (20, true), (30, true), (40, true), (50, true)]);
            assert_eq!(of("q"), [(10, true), (20, true)], "it fired and was over");
        } else {
            assert!(of("s").iter().all(|(_, complete)| !complete), "{:?}", of("s"));
            let last = &signals.last().unwrap().completeness;
            assert_eq!(
                (last.silent.as_slice(), last.passed.as_slice()),
                (&["quiet".to_owned()][..], &["busy".to_owned()][..])
            );
        }
    }
}

/// Events of which some have an empty attribute, and the others none.
fn empty_and_absent() -> LogBatch {
    let mut builder = BatchBuilder::new();
    for data in [json!({"tag": ""}), json!({})].iter().cycle().take(6) {
        let event = json!({"type": "a", "source": "s", "timestamp": T0 + 100, "data": data});
        builder.push_json(event.to_string().as_bytes(), T0 + 100).unwrap();
    }
    LogBatch {
        batch: Arc::new(builder.finish(1).decode().unwrap()),
        ..log(1, "h", 100, &[(100, "s", 0.); 6])
    }
}

#[test]
fn an_empty_attribute_is_none_and_both_are_told_of_once() {
    let mut engine = engine(&[rule("r", json!({"group_by": ["data.tag"]}))]);
    let fired = engine.ingest(&empty_and_absent());
    assert_eq!(told(&fired.signals), [(0, 10, Some(6.0), true, 0)]);
}

#[test]
fn surplus_names_the_attribute_that_exploded() {
    let mut engine = engine(&[rule(
        "r",
        json!({"group_by": ["type", "data.x"], "evaluate": "on_close", "threshold": 0, "max_groups": 3}),
    )]);
    let samples: Vec<Sample> = (0..10).map(|n| (i64::from(n), "s", f64::from(n))).collect();
    let outcome = engine.ingest(&log(1, "@http", 100, &samples));
    assert_eq!(outcome.surplus[0].attribute, "data.x");
    let status = engine.status().rules[0].clone();
    let surplus = status.surplus.unwrap();
    assert_eq!(
        (status.groups, status.max_groups, surplus.attribute.as_str()),
        (3, 3, "data.x")
    );
    assert!(surplus.values >= 3);
    let total: f64 = engine.tick(T0 + 100_000).signals.iter().filter_map(|s| s.value).sum();
    assert_eq!(total, 10.0, "the total stays exact");
}

#[test]
fn only_rules_that_a_batch_can_concern_are_asked() {
    let rules = [
        rule("by type", json!({"match": "type == 'a'", "threshold": 0})),
        rule("by other type", json!({"match": "type == 'b'", "threshold": 0})),
        rule(
            "by source",
            json!({"match": "type == 'a' && source == 's'", "threshold": 0}),
        ),
        rule(
            "by other source",
            json!({"match": "type == 'a' && source == 'other'", "threshold": 0}),
        ),
        rule("by attribute", json!({"match": "data.x > -1", "threshold": 0})),
        rule("by other attribute", json!({"match": "data.y > -1", "threshold": 0})),
        rule("by nothing", json!({"match": "severity >= 'low'", "threshold": 0})),
        rule("always", json!({"match": "true", "threshold": 0})),
    ];
    let mut engine = engine(&rules);
    let part = log(1, "h", 100, &[(100, "s", 0.)]);
    let asked = engine.index.candidates(&mut Columns::new(&part.batch)).unwrap();
    let names: Vec<&str> = asked.rules().map(|(n, _)| rules[n].id.as_str()).collect();
    let concerned = ["by type", "by source", "by attribute", "by nothing", "always"];
    assert_eq!(names, concerned);
    let mut fired: Vec<String> = engine.ingest(&part).signals.into_iter().map(|s| s.rule_id).collect();
    fired.sort_unstable();
    let mut all = concerned.map(str::to_owned);
    all.sort_unstable();
    assert_eq!(fired, all);
}

#[test]
fn hostile_times_and_values_neither_panic_nor_count_wrongly() {
    let mut engine = engine(&[
        rule(
            "sliding",
            json!({"window": {"size": "7d", "slide": "1h"}, "aggregate": "avg(data.x)", "condition": "value > threshold", "threshold": 0}),
        ),
        rule(
            "session",
            json!({"window": {"session_gap": "7d"}, "allowed_lateness": "1d"}),
        ),
        rule("late", json!({"window": "1s", "allowed_lateness": "20m"})),
    ]);
    let far = [-T0 + 1, -T0 + 86_400_000, 0, 500, 3_000_000_000_000];
    for (position, at) in far.iter().enumerate() {
        engine.ingest(&log(position as u64 + 1, "h", 1000, &[(*at, "s", 1.0)]));
        engine.ingest(&log(position as u64 + 10, "@http", 1000, &[(*at, "s", -1.0)]));
    }
    engine.tick(i64::MAX / 2);
    engine.tick(T0);
    engine.tick(i64::MAX);
    assert_eq!(engine.status().rules.iter().map(|rule| rule.groups).sum::<u64>(), 0);
}

/// Rules that people copy must work.
#[test]
fn every_rule_of_the_documentation_is_taken() {
    let text = include_str!("../../../../../docs/analytics.md");
    let blocks = text
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut taken = 0;
    for block in blocks {
        let draft: streamflow_model::RuleDraft = serde_json::from_str(block).unwrap_or_else(|e| panic!("{block}: {e}"));
        draft.compile().unwrap_or_else(|e| panic!("{block}: {e:?}"));
        taken += 1;
    }
    assert!(taken >= 4, "{taken} rules");
}
