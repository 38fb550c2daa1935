use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use streamflow_proto::{build::BatchBuilder, chunk};

use super::*;
use crate::checkpoint;

mod naive;
mod properties;
mod watches;
mod windows;

/// A window's value as it was concluded, whether alerting was told or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Concluded {
    pub(crate) rule: String,
    pub(crate) labels: Vec<String>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) value: Option<f64>,
    pub(crate) met: bool,
    pub(crate) revision: u32,
    pub(crate) top: Vec<streamflow_proto::aggregate::Frequent>,
}

/// A window boundary for every window that the tests use.
pub(crate) const T0: i64 = 1_699_999_200_000;

pub(crate) fn rule(id: &str, change: serde_json::Value) -> Rule {
    let mut body = json!({
        "id": id, "name": id, "match": "type == 'a'", "aggregate": "count()", "window": "10s", "threshold": 3, "version": 1,
        "created_at": 0, "updated_at": 0,
    });
    for (key, value) in change.as_object().unwrap() {
        body[key] = value.clone();
    }
    serde_json::from_value(body).unwrap()
}

/// Event time in ms after `T0`, source, number.
pub(crate) type Sample = (i64, &'static str, f64);

pub(crate) fn log(position: u64, agent: &str, stored_at: i64, samples: &[Sample]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for (at, source, value) in samples {
        let event = json!({"type": "a", "source": source, "timestamp": T0 + at, "data": {"x": value}});
        builder.push_json(event.to_string().as_bytes(), T0 + stored_at).unwrap();
    }
    let batch = Arc::new(builder.finish(position).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    LogBatch {
        batch,
        spans: vec![RowSpan {
            position,
            agent: agent.into(),
            stored_at: T0 + stored_at,
            start: 0,
            end,
        }],
    }
}

/// The same frames merged as storage merges them.
fn merged(parts: &[LogBatch]) -> LogBatch {
    let batches: Vec<_> = parts.iter().map(|part| &*part.batch).collect();
    let batch = Arc::new(chunk::open(chunk::encode(&batches, 1).unwrap().body.into()).unwrap());
    let mut start = 0;
    let spans = parts.iter().map(|part| {
        let span = RowSpan {
            start,
            end: start + part.spans[0].end,
            ..part.spans[0].clone()
        };
        start = span.end;
        span
    });
    LogBatch {
        spans: spans.collect(),
        batch,
    }
}

fn engine(rules: &[Rule]) -> Engine {
    engine_with(Options::default(), rules)
}

fn engine_with(options: Options, rules: &[Rule]) -> Engine {
    let mut engine = Engine::new(options, i64::MIN);
    assert!(engine.set_rules(rules).is_empty());
    engine
}

/// Window start after `T0` in seconds, first label, value, met, running.
fn shown(signals: &[Signal]) -> Vec<(i64, String, Option<f64>, bool, bool)> {
    let label = |signal: &Signal| signal.labels.values().next().cloned().unwrap_or_default();
    signals
        .iter()
        .map(|s| ((s.window_start - T0) / 1000, label(s), s.value, s.met, s.running))
        .collect()
}

#[test]
fn fires_at_once_and_says_the_last_word_when_the_window_closes() {
    let mut engine = engine(&[rule("r", json!({"group_by": ["source"]}))]);
    assert!(
        engine
            .ingest(&log(
                1,
                "h",
                100,
                &[(0, "s", 0.), (1, "s", 0.), (2, "t", 0.), (3, "s", 0.)]
            ))
            .signals
            .is_empty()
    );
    let fired = engine.ingest(&log(2, "h", 200, &[(100, "s", 0.), (101, "s", 0.)]));
    assert_eq!(shown(&fired.signals), [(0, "s".into(), Some(5.0), true, true)]);
    assert_eq!(
        (
            fired.signals[0].revision,
            fired.signals[0].stored_at,
            fired.signals[0].window_end
        ),
        (0, T0 + 200, T0 + 10_000)
    );
    assert!(engine.ingest(&log(3, "h", 300, &[(200, "s", 0.)])).signals.is_empty());
    let closed = engine.ingest(&log(4, "h", 12_500, &[(12_500, "s", 0.)]));
    assert_eq!(
        shown(&closed.signals),
        [
            (0, "s".into(), Some(6.0), true, false),
            (0, "t".into(), Some(1.0), false, false)
        ]
    );
    assert_eq!(closed.signals[0].revision, 1);
    assert!(closed.signals[0].completeness.complete);
}

#[test]
fn windows_that_have_emptied_are_told_once() {
    let mut engine = engine(&[rule("r", json!({"group_by": ["source"], "threshold": 0}))]);
    engine.ingest(&log(1, "@http", 0, &[(0, "s", 0.)]));
    let closed = engine.tick(T0 + 100_000);
    assert_eq!(
        shown(&closed.signals),
        [
            (0, "s".into(), Some(1.0), true, false),
            (10, "s".into(), None, false, false)
        ]
    );
    assert!(engine.tick(T0 + 200_000).signals.is_empty());
    // It starts anew when events come again.
    let again = engine.ingest(&log(2, "h", 200_000, &[(200_000, "s", 0.)]));
    assert_eq!(shown(&again.signals), [(200, "s".into(), Some(1.0), true, true)]);
}

#[test]
fn an_idle_system_closes_by_the_clock_and_not_before() {
    let mut engine = engine(&[rule("r", json!({"evaluate": "on_close", "threshold": 0}))]);
    assert!(engine.ingest(&log(1, "h", 500, &[(500, "s", 0.)])).signals.is_empty());
    assert!(engine.tick(T0 + 30_000).signals.is_empty());
    assert_eq!(
        shown(&engine.tick(T0 + 31_000).signals)[0],
        (0, String::new(), Some(1.0), true, false)
    );
}

#[test]
fn a_silent_host_makes_results_incomplete() {
    let mut engine = engine(&[rule("r", json!({"evaluate": "on_close", "threshold": 0}))]);
    engine.ingest(&log(1, "host-1", 0, &[(0, "s", 0.)]));
    engine.ingest(&log(2, "host-2", 0, &[(0, "s", 0.)]));
    engine.ingest(&log(3, "@http", 0, &[(0, "s", 0.)]));
    engine.ingest(&log(4, "host-2", 20_000, &[(20_000, "s", 0.)]));
    let closed = engine.ingest(&log(5, "host-2", 35_000, &[(35_000, "s", 0.)]));
    assert_eq!(closed.signals[0].value, Some(3.0));
    let completeness = &closed.signals[0].completeness;
    assert_eq!(
        (
            completeness.complete,
            completeness.reported,
            completeness.missing.as_slice()
        ),
        (false, 1, &["host-1".to_owned()][..])
    );
}

#[test]
fn late_and_future_events_are_counted_and_in_no_window() {
    let mut engine = engine(&[rule("r", json!({"evaluate": "on_close", "threshold": 0}))]);
    engine.ingest(&log(1, "h", 0, &[(0, "s", 0.)]));
    engine.ingest(&log(2, "h", 15_000, &[(15_000, "s", 0.)]));
    let outcome = engine.ingest(&log(
        3,
        "late",
        15_100,
        &[
            (9_000, "s", 0.),
            (9_500, "s", 0.),
            (14_000, "s", 0.),
            (3_600_000, "s", 0.),
        ],
    ));
    let late = Late {
        agent: "late".to_owned(),
        source: "s".to_owned(),
        events: 2,
    };
    assert_eq!((outcome.late, outcome.future, outcome.events), (vec![late], 1, 4));
    assert_eq!(engine.status().rules[0].late_events, 2);
    let closed = engine.tick(T0 + 100_000);
    assert_eq!(shown(&closed.signals)[0], (10, String::new(), Some(2.0), true, false));
}

#[test]
fn surplus_groups_share_one_and_the_total_stays_exact() {
    let options = Options {
        max_groups: 2,
        ..Options::default()
    };
    let mut engine = engine_with(
        options,
        &[rule(
            "r",
            json!({"group_by": ["source"], "evaluate": "on_close", "threshold": 0}),
        )],
    );
    let outcome = engine.ingest(&log(
        1,
        "@http",
        0,
        &[
            (0, "a", 0.),
            (1, "b", 0.),
            (2, "c", 0.),
            (3, "d", 0.),
            (4, "c", 0.),
            (5, "a", 0.),
        ],
    ));
    let surplus = Surplus {
        rule: "r".to_owned(),
        attribute: "source".to_owned(),
        groups: 2,
    };
    assert_eq!(outcome.surplus, [surplus]);
    let closed = engine.tick(T0 + 100_000);
    let first: Vec<_> = shown(&closed.signals)
        .into_iter()
        .filter(|s| s.0 == 0)
        .map(|s| (s.1, s.2))
        .collect();
    assert_eq!(
        first,
        [
            ("a".into(), Some(2.0)),
            ("b".into(), Some(1.0)),
            ("other".into(), Some(3.0))
        ]
    );
    // The groups have gone, so others have room.
    let outcome = engine.ingest(&log(2, "@http", 100_000, &[(100_000, "x", 0.), (100_001, "y", 0.)]));
    assert!(outcome.surplus.is_empty());
}

#[test]
fn rules_change_while_windows_are_open() {
    let kept = rule("kept", json!({"threshold": 2}));
    let mut engine = engine(&[kept, rule("changed", json!({"threshold": 5}))]);
    engine.ingest(&log(1, "h", 0, &[(0, "s", 0.), (1, "s", 0.)]));
    let later = T0 + 1000;
    let kept = rule(
        "kept",
        json!({"threshold": 2, "version": 2, "updated_at": later, "channels": ["ops"]}),
    );
    let changed = rule("changed", json!({"threshold": 1, "version": 2, "updated_at": later}));
    let broken = rule("broken", json!({"match": "nonsense"}));
    let off = rule("off", json!({"enabled": false}));
    let refused = engine.set_rules(&[kept, changed, broken, off]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, "broken");
    let seen = |outcome: Outcome| -> Vec<(String, i64, Option<f64>)> {
        outcome
            .signals
            .iter()
            .map(|s| (s.rule_id.clone(), s.rule_version, s.value))
            .collect()
    };
    // Stored before the rules changed: the one that asks something else does not count it, the other goes on.
    let outcome = engine.ingest(&log(2, "h", 500, &[(500, "s", 0.), (501, "s", 0.)]));
    assert_eq!(seen(outcome), [("kept".to_owned(), 2, Some(4.0))]);
    let outcome = engine.ingest(&log(3, "h", 1500, &[(1500, "s", 0.), (1501, "s", 0.)]));
    assert_eq!(seen(outcome), [("changed".to_owned(), 2, Some(2.0))]);
}

#[test]
fn partial_windows_do_not_look_like_silence() {
    let below = json!({"condition": "value < 5", "updated_at": T0 + 4000, "threshold": null});
    let mut engine = engine(&[rule("r", below)]);
    engine.ingest(&log(1, "h", 5000, &[(5000, "s", 0.)]));
    let closed = engine.ingest(&log(2, "h", 22_100, &[(12_000, "s", 0.), (22_100, "s", 0.)]));
    assert_eq!(shown(&closed.signals), [(10, String::new(), Some(1.0), true, false)]);
}

#[test]
fn verdicts_of_a_group_never_go_back_in_time() {
    let mut engine = engine(&[rule("r", json!({"threshold": 1}))]);
    engine.ingest(&log(1, "h", 9000, &[(9000, "s", 0.)]));
    let fired = engine.ingest(&log(2, "h", 10_500, &[(10_400, "s", 0.), (10_500, "s", 0.)]));
    assert_eq!(shown(&fired.signals), [(10, String::new(), Some(2.0), true, true)]);
    // The first window closes as not met, after the second was reported as met.
    assert!(
        engine
            .ingest(&log(3, "h", 13_000, &[(13_000, "s", 0.)]))
            .signals
            .is_empty()
    );
}

#[test]
fn a_group_that_emptied_while_a_host_was_missing_is_told_of_until_the_data_is_complete() {
    let mut engine = engine(&[rule("r", json!({"group_by": ["source"], "threshold": 0}))]);
    engine.ingest(&log(1, "host-1", 0, &[(0, "s", 0.)]));
    engine.ingest(&log(2, "host-2", 0, &[(0, "t", 0.)]));
    // host-1 falls silent: nothing about `s`, but that may be because it is not heard.
    engine.ingest(&log(3, "host-2", 35_000, &[(35_000, "t", 0.)]));
    let told: Vec<(i64, bool, bool)> = engine
        .tick(T0 + 100_000)
        .signals
        .iter()
        .filter(|s| s.labels["source"] == "s")
        .map(|s| ((s.window_start - T0) / 1000, s.met, s.completeness.complete))
        .collect();
    assert!(
        told.iter().all(|(_, met, complete)| !met && !complete) && !told.is_empty(),
        "{told:?}"
    );
    // It is back and says something else.
    engine.ingest(&log(4, "host-1", 100_500, &[(100_500, "u", 0.)]));
    engine.ingest(&log(5, "host-2", 100_500, &[(100_500, "u", 0.)]));
    engine.ingest(&log(6, "host-1", 122_500, &[(122_500, "u", 0.)]));
    let closed = engine.ingest(&log(7, "host-2", 122_500, &[(122_500, "u", 0.)]));
    let last = closed.signals.iter().rfind(|s| s.labels["source"] == "s").unwrap();
    assert_eq!((last.value, last.met, last.completeness.complete), (None, false, true));
    let later = engine.tick(T0 + 400_000).signals;
    assert!(later.iter().all(|s| s.labels["source"] != "s"), "told once");
}

#[test]
fn an_alert_of_which_no_state_is_left_ends_with_its_first_empty_window() {
    let open = |source: &str, until: i64| OpenGroup {
        rule_id: "r".to_owned(),
        labels: [("source", source), ("level", "critical"), ("alertname", "r")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        told_until: T0 + until,
    };
    for origin in [i64::MIN, T0] {
        let mut engine = Engine::new(Options::default(), origin);
        assert!(
            engine
                .set_rules(&[rule("r", json!({"group_by": ["source"], "threshold": 0}))])
                .is_empty()
        );
        engine.owe(&[open("gone", 20_000), open("there", 20_000), open(groups::OTHER, 20_000)]);
        engine.ingest(&log(1, "h", 5_000, &[(5_000, "gone", 0.)]));
        let mut told = engine.ingest(&log(2, "h", 25_000, &[(25_000, "there", 0.)])).signals;
        told.extend(engine.ingest(&log(3, "h", 42_500, &[(42_500, "new", 0.)])).signals);
        told.extend(engine.tick(T0 + 60_000).signals);
        let shown = shown(&told);
        let ended = |source: &str, window: i64| (window, source.to_owned(), None, false, false);
        assert_eq!(
            shown.iter().filter(|s| !s.3).collect::<Vec<_>>(),
            [&ended("gone", 20), &ended("other", 20), &ended("there", 30)],
            "{shown:?}"
        );
    }
}
