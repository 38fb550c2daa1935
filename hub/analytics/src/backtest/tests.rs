use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use streamflow_proto::build::BatchBuilder;

use super::*;

/// Event time at which the tests' data begins: a boundary of all their windows.
const T0: i64 = 1_699_999_200_000;
const NEVER: i64 = i64::MAX;

fn rule(change: serde_json::Value) -> Rule {
    let mut draft =
        json!({"name": "r", "match": "type == 'a'", "window": "10s", "threshold": 3, "group_by": ["source"]});
    draft
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    unsaved(serde_json::from_value(draft).unwrap())
}

/// Event time in ms after `T0`, source, number.
type Sample = (i64, &'static str, f64);

fn log(samples: &[Sample]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for (at, source, value) in samples {
        let event = json!({"type": "a", "source": source, "timestamp": T0 + at, "data": {"x": value}});
        builder.push_json(event.to_string().as_bytes(), T0).unwrap();
    }
    let batch = Arc::new(builder.finish(1).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    // Stored long after it happened, by a host of which nothing else is known.
    let spans = vec![RowSpan {
        position: 1,
        agent: "h".into(),
        stored_at: T0 + 90 * 86_400_000,
        start: 0,
        end,
    }];
    LogBatch { batch, spans }
}

/// Replays frames as the store would: the one that begins earliest first.
fn replay(rule: &Rule, from: i64, to: i64, now: i64, frames: &[Vec<Sample>]) -> Vec<Verdict> {
    let mut backtest = Backtest::new(Options::default(), rule, T0 + from, T0 + to, now).unwrap();
    let begin = |frame: &Vec<Sample>| frame.iter().map(|(at, ..)| *at).min().unwrap_or(0);
    let mut frames: Vec<&Vec<Sample>> = frames.iter().filter(|frame| !frame.is_empty()).collect();
    frames.sort_by_key(|frame| begin(frame));
    let mut verdicts = Vec::new();
    for (place, frame) in frames.iter().enumerate() {
        let floor = frames.get(place + 1).map_or(i64::MAX, |next| T0 + begin(next));
        let step = backtest.feed(&log(frame), floor).unwrap();
        assert!(step.verdicts.iter().all(|verdict| verdict.at <= step.until));
        verdicts.extend(step.verdicts);
    }
    verdicts.extend(backtest.finish().verdicts);
    assert!(
        verdicts.is_sorted_by_key(|verdict| verdict.at),
        "later steps come later"
    );
    verdicts
}

#[test]
fn a_window_that_runs_is_judged_when_the_deciding_event_has_come() {
    let frame = vec![
        (1000, "s", 0.),
        (2000, "s", 0.),
        (3000, "t", 0.),
        (4000, "s", 0.),
        (5500, "s", 0.),
        (6000, "s", 0.),
    ];
    let verdicts = replay(&rule(json!({})), 0, 60_000, NEVER, &[frame]);
    let shown: Vec<_> = verdicts
        .iter()
        .map(|v| {
            (
                v.at - T0,
                v.signal.labels["source"].as_str(),
                v.signal.value,
                v.signal.met,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (5500, "s", Some(4.0), true),
            (10_000, "s", Some(5.0), true),
            (10_000, "t", Some(1.0), false),
            (20_000, "s", None, false)
        ]
    );
}

#[test]
fn windows_are_judged_whole_and_those_that_have_not_ended_are_not() {
    let on_close = rule(json!({"evaluate": "on_close", "condition": "value >= 1", "threshold": null}));
    let frame = vec![(1000, "s", 0.), (11_000, "s", 0.), (21_000, "s", 0.), (29_000, "s", 0.)];
    let ends = |from, to, now| -> Vec<(i64, Option<f64>)> {
        replay(&on_close, from, to, now, std::slice::from_ref(&frame))
            .into_iter()
            .filter(|v| v.signal.met)
            .map(|v| ((v.signal.window_end - T0) / 1000, v.signal.value))
            .collect()
    };
    assert_eq!(
        ends(0, 30_000, NEVER),
        [(10, Some(1.0)), (20, Some(1.0)), (30, Some(2.0))]
    );
    // The range cuts the second and the third window; both count all of their events.
    assert_eq!(ends(11_500, 22_000, NEVER), [(20, Some(1.0)), (30, Some(2.0))]);
    assert_eq!(ends(0, 30_000, T0 + 29_500), [(10, Some(1.0)), (20, Some(1.0))]);
    assert!(Backtest::new(Options::default(), &on_close, T0, T0, NEVER).is_err());
    assert!(matches!(
        Backtest::new(Options::default(), &rule(json!({"match": "typ == 1"})), T0, T0 + 1, NEVER),
        Err(BacktestError::Rule(errors)) if errors[0].field == "match"
    ));
    let mut of_plugin = on_close;
    (of_plugin.draft.kind, of_plugin.draft.plugin) = (streamflow_model::RuleKind::Plugin, Some("hot".to_owned()));
    assert!(matches!(
        Backtest::new(Options::default(), &of_plugin, T0, T0 + 1, NEVER),
        Err(BacktestError::Plugin(_))
    ));
}

#[test]
fn a_session_that_is_known_already_does_not_hide_the_pause_before_it() {
    let frame = vec![(0, "s", 0.), (1000, "s", 0.), (60_000, "s", 0.), (61_000, "s", 0.)];
    for evaluate in ["auto", "on_close"] {
        let rule = rule(json!({"window": {"session_gap": "5s"}, "threshold": 1, "evaluate": evaluate}));
        let verdicts = replay(&rule, 0, 120_000, NEVER, std::slice::from_ref(&frame));
        let ended = verdicts.iter().filter(|v| !v.signal.met).map(|v| v.at - T0);
        assert_eq!(ended.collect::<Vec<_>>(), [11_000, 71_000], "{evaluate}");
    }
}

#[test]
fn absences_and_patterns_are_judged_over_history() {
    let beats = vec![(0, "s", 0.), (10_000, "s", 0.), (200_000, "s", 0.), (210_000, "s", 0.)];
    let mut absence = rule(json!({}));
    absence.draft = serde_json::from_value(
        json!({"name": "r", "kind": "absence", "match": "type == 'a'", "group_by": ["source"],
        "absence": {"silent_for": "60s"}}),
    )
    .unwrap();
    let shown: Vec<(i64, bool)> = replay(&absence, 0, 240_000, NEVER, std::slice::from_ref(&beats))
        .iter()
        .map(|v| (v.at - T0, v.signal.met))
        .collect();
    assert_eq!(shown.first(), Some(&(70_000, true)), "{shown:?}");
    assert!(shown.contains(&(200_001, false)), "{shown:?}");
    let mut pattern = absence;
    pattern.draft = serde_json::from_value(
        json!({"name": "r", "kind": "pattern", "group_by": ["source"], "pattern": {"within": "30s", "steps": [
        {"name": "a", "match": "type == 'a'", "count": 2}]}}),
    )
    .unwrap();
    let met: Vec<i64> = replay(&pattern, 0, 240_000, NEVER, &[beats])
        .iter()
        .filter(|v| v.signal.met && !v.signal.running)
        .map(|v| v.signal.window_end - T0)
        .collect();
    assert_eq!(met, [10_001, 210_001]);
}

#[test]
fn a_rule_that_is_off_or_new_is_tried_all_the_same() {
    let mut off = rule(json!({"enabled": false, "threshold": 0}));
    off.updated_at = Instant(T0 + 365 * 86_400_000);
    let verdicts = replay(&off, 0, 10_000, NEVER, &[vec![(1, "s", 0.)]]);
    assert!(verdicts.iter().any(|v| v.signal.met), "{verdicts:?}");
}

/// Start, end and sum of a source's session.
type Session = (&'static str, i64, i64, f64);

/// Sessions, and the pauses after them that are as long as the gap: the gap's rule read aloud.
fn sessions(samples: &[(i64, &'static str, u8)], gap: i64) -> (Vec<Session>, Vec<(&'static str, i64)>) {
    let (mut all, mut pauses) = (Vec::new(), Vec::new());
    for source in ["a", "b", "c"] {
        let mut own: Vec<(i64, u8)> = samples.iter().filter(|s| s.1 == source).map(|s| (s.0, s.2)).collect();
        own.sort_unstable();
        let mut found: Vec<Session> = Vec::new();
        for (at, x) in own {
            match found.last_mut() {
                Some((_, _, end, sum)) if at < *end => (*end, *sum) = (at + gap, *sum + f64::from(x)),
                _ => found.push((source, at, at + gap, f64::from(x))),
            }
        }
        for (number, session) in found.iter().enumerate() {
            let quiet = session.2 + gap;
            if found.get(number + 1).is_none_or(|next| next.1 >= quiet) {
                pauses.push((source, quiet));
            }
        }
        all.extend(found);
    }
    (all, pauses)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_session_of_the_range_is_that_of_a_naive_computation(
        samples in prop::collection::vec((0i64..300_000, prop::sample::select(&["a", "b", "c"][..]), 0u8..10), 1..60),
        cuts in prop::collection::vec(1usize..30, 1..20),
        (from, length) in (0i64..200_000, 1i64..300_000),
    ) {
        const GAP: i64 = 5000;
        let (mut frames, mut rest) = (Vec::new(), samples.as_slice());
        for size in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (frame, more) = rest.split_at((*size).min(rest.len()));
            frames.push(frame.iter().map(|(at, source, x)| (*at, *source, f64::from(*x))).collect::<Vec<Sample>>());
            rest = more;
        }
        let (all, pauses) = sessions(&samples, GAP);
        let to = from + length;
        for evaluate in ["auto", "on_close"] {
            let rule = rule(json!({"window": {"session_gap": "5s"}, "aggregate": "sum(data.x)", "condition": "value >= 0", "threshold": null, "evaluate": evaluate}));
            let verdicts = replay(&rule, from, to, NEVER, &frames);
            let source = |v: &Verdict| v.signal.labels["source"].clone();
            let mut got: Vec<(String, i64, i64, f64)> = verdicts
                .iter()
                .filter(|v| !v.signal.running)
                .filter_map(|v| Some((source(v), v.signal.window_start - T0, v.signal.window_end - T0, v.signal.value?)))
                .collect();
            got.sort_by_key(|session| (session.0.clone(), session.1));
            let touched = |start: i64, end: i64| end > from && start < to;
            let wanted: Vec<(String, i64, i64, f64)> = all
                .iter()
                .filter(|(_, start, end, _)| touched(*start, *end))
                .map(|(source, start, end, sum)| ((*source).to_owned(), *start, *end, *sum))
                .collect();
            prop_assert_eq!(got, wanted, "{}", evaluate);
            let quiet: Vec<(String, i64)> =
                verdicts.iter().filter(|v| v.signal.value.is_none()).map(|v| (source(v), v.at - T0)).collect();
            let mut quiet: Vec<(String, i64)> = quiet;
            quiet.sort();
            let mut due: Vec<(String, i64)> = pauses
                .iter()
                .filter(|(_, at)| touched(at - GAP, *at))
                .map(|(source, at)| ((*source).to_owned(), *at))
                .collect();
            due.sort();
            prop_assert_eq!(quiet, due, "{}", evaluate);
        }
    }

    #[test]
    fn every_window_of_the_range_is_that_of_a_naive_computation(
        samples in prop::collection::vec((0i64..90_000, prop::sample::select(&["a", "b", "c"][..]), 0u8..10), 1..150),
        cuts in prop::collection::vec(1usize..30, 1..20),
        shuffled in any::<bool>(),
        (from, length) in (0i64..80_000, 1i64..90_000),
    ) {
        // However the log holds them: in the order of time or not, in frames of any size.
        let mut samples = samples;
        if !shuffled {
            samples.sort_by_key(|sample| sample.0);
        }
        let (mut frames, mut rest) = (Vec::new(), samples.as_slice());
        for size in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (frame, more) = rest.split_at((*size).min(rest.len()));
            frames.push(frame.iter().map(|(at, source, x)| (*at, *source, f64::from(*x))).collect::<Vec<Sample>>());
            rest = more;
        }
        let to = from + length;
        for (aggregate, evaluate) in [("count()", "auto"), ("sum(data.x)", "on_close"), ("max(data.x)", "auto")] {
            let rule = rule(json!({"aggregate": aggregate, "evaluate": evaluate, "condition": "value >= 0", "threshold": null}));
            let verdicts = replay(&rule, from, to, NEVER, &frames);
            let got: BTreeMap<(i64, String), f64> = verdicts
                .iter()
                .filter(|v| !v.signal.running)
                .filter_map(|v| Some(((v.signal.window_start - T0, v.signal.labels["source"].clone()), v.signal.value?)))
                .collect();
            let mut wanted: BTreeMap<(i64, String), f64> = BTreeMap::new();
            for (at, source, x) in &samples {
                let start = at / 10_000 * 10_000;
                if start + 10_000 > from && start < to {
                    let cell = wanted.entry((start, (*source).to_owned())).or_insert(0.0);
                    *cell = match aggregate {
                        "count()" => *cell + 1.0,
                        "max(data.x)" => cell.max(f64::from(*x)),
                        _ => *cell + f64::from(*x),
                    };
                }
            }
            prop_assert_eq!(got, wanted, "{}", aggregate);
        }
    }
}

#[test]
fn rows_of_no_span_are_no_events() {
    let rule = rule(json!({"threshold": 2}));
    let judged = |spans: &[(u32, u32)]| {
        let mut log = log(&[(1000, "s", 0.), (2000, "s", 0.), (3000, "s", 0.)]);
        let whole = log.spans[0].clone();
        log.spans = spans
            .iter()
            .map(|(start, end)| RowSpan {
                start: *start,
                end: *end,
                ..whole.clone()
            })
            .collect();
        let mut backtest = Backtest::new(Options::default(), &rule, T0, T0 + 10_000, NEVER).unwrap();
        let step = backtest.feed(&log, i64::MAX).unwrap();
        (step.events, event_runs(&log))
    };
    assert_eq!(
        judged(&[(0, 1), (1, 1), (2, 3)]),
        (2, vec![0..1, 2..3]),
        "the middle one was a drill's"
    );
    assert_eq!(judged(&[(0, 0), (1, 2), (2, 3)]), (2, std::iter::once(1..3).collect()));
    assert_eq!(judged(&[(0, 0)]), (0, vec![]));
}
