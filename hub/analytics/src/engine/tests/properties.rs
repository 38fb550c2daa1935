use proptest::prelude::*;
use streamflow_model::Span;

use super::*;

const SOURCES: [&str; 3] = ["a", "b", "c"];

/// Rules of every way to be evaluated.
fn rules(evaluate: &str) -> Vec<Rule> {
    [
        ("count", json!({"aggregate": "count()", "group_by": ["source"], "threshold": 2})),
        ("rate", json!({"aggregate": "rate()", "threshold": 0.4})),
        ("sum", json!({"aggregate": "sum(data.x)", "group_by": ["source"], "threshold": 20})),
        ("max", json!({"aggregate": "max(data.x)", "group_by": ["source"], "threshold": 8})),
        ("distinct", json!({"aggregate": "distinct(data.x)", "threshold": 3})),
        ("avg", json!({"aggregate": "avg(data.x)", "group_by": ["source"], "threshold": 5})),
        ("p90", json!({"aggregate": "p90(data.x)", "threshold": 5, "window": "30s"})),
        ("few", json!({"aggregate": "count()", "condition": "value < 3", "group_by": ["source", "type"]})),
        ("last", json!({"aggregate": "last(data.x)", "match": "data.x > 2 && source != 'b'", "condition": "value > threshold && labels.source != 'z'", "group_by": ["source"]})),
    ]
    .into_iter()
    .map(|(id, mut change)| {
        change["evaluate"] = evaluate.into();
        rule(id, change)
    })
    .collect()
}

/// Frames of two hosts with events around the time at which they are stored.
fn frames() -> impl Strategy<Value = Vec<LogBatch>> {
    let sample = (
        -4000i64..500,
        prop::sample::select(&SOURCES[..]),
        (0u8..10).prop_map(f64::from),
    );
    let frame = (
        prop::sample::select(&["h1", "h2", "@http"][..]),
        0i64..6000,
        prop::collection::vec(sample, 1..12),
    );
    prop::collection::vec(frame, 1..25).prop_map(|frames| {
        let mut now = 20_000;
        frames
            .into_iter()
            .zip(1..)
            .map(|((agent, pause, samples), position)| {
                now += pause;
                let samples: Vec<Sample> = samples
                    .into_iter()
                    .map(|(at, source, value)| (now + at, source, value))
                    .collect();
                log(position, agent, now, &samples)
            })
            .collect()
    })
}

fn feed(engine: &mut Engine, parts: &[LogBatch]) -> Vec<Signal> {
    parts.iter().flat_map(|part| engine.ingest(part).signals).collect()
}

fn finish(engine: &mut Engine) -> Vec<Signal> {
    engine.tick(T0 + 10_000_000).signals
}

fn bytes(engine: &Engine) -> Vec<u8> {
    checkpoint::encode(&engine.state()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_restart_anywhere_changes_nothing(frames in frames(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(frames.len() + 1);
        // The bytes of a distinct count depend on the order of its entries, its value does not.
        let (all, mut bytewise) = (rules("auto"), rules("auto"));
        bytewise.retain(|rule| rule.id != "distinct");
        for (rules, compare_bytes) in [(all, false), (bytewise, true)] {
            let mut whole = engine(&rules);
            let before = feed(&mut whole, &frames[..cut]);
            let saved = bytes(&whole);
            let mut after = feed(&mut whole, &frames[cut..]);
            let end = bytes(&whole);
            after.extend(finish(&mut whole));

            let mut restarted = Engine::restore(Options::default(), checkpoint::decode(&saved).unwrap());
            restarted.set_rules(&rules);
            let mut replayed = feed(&mut restarted, &frames[cut..]);
            prop_assert!(!compare_bytes || bytes(&restarted) == end);
            replayed.extend(finish(&mut restarted));
            prop_assert_eq!(&replayed, &after);

            // The same when storage has merged the frames meanwhile, and when there was no checkpoint at all.
            let mut chunked = engine(&rules);
            let mut signals = feed(&mut chunked, &[merged(&frames)]);
            prop_assert!(!compare_bytes || bytes(&chunked) == end);
            signals.extend(finish(&mut chunked));
            prop_assert_eq!(signals, [before, after].concat());
        }
    }

    #[test]
    fn eager_verdicts_hold_when_the_window_closes(frames in frames()) {
        let mut eager = engine(&rules("auto"));
        let mut patient = engine(&rules("on_close"));
        let running: Vec<Signal> = feed(&mut eager, &frames).into_iter().filter(|s| s.running).collect();
        finish(&mut eager);
        let mut closed = feed(&mut patient, &frames);
        closed.extend(finish(&mut patient));
        for early in running {
            let held = closed.iter().any(|s| s.met && (&s.rule_id, &s.labels, s.window_start) == (&early.rule_id, &early.labels, early.window_start));
            prop_assert!(held, "{} fired for {:?} at {} but did not hold", early.rule_id, early.labels, early.window_start);
        }
    }

    #[test]
    fn windows_equal_a_naive_computation_whatever_the_order(
        samples in prop::collection::vec((0i64..60_000, prop::sample::select(&SOURCES[..]), 0u8..10, 0i64..2000), 1..120),
        size in 1usize..20,
    ) {
        // Delivered in the order of time plus up to two seconds, which is how far out of order events may be.
        let mut delivered = samples.clone();
        delivered.sort_by_key(|(at, _, _, delay)| at + delay);
        let check = |id: &str, aggregate: &str| rule(id, json!({
            "aggregate": aggregate, "group_by": ["source"], "condition": "value >= 0", "evaluate": "on_close", "threshold": null,
        }));
        let aggregates = ["count()", "sum(data.x)", "max(data.x)", "min(data.x)", "avg(data.x)", "distinct(data.x)"];
        let options = Options { idle_timeout: Span::from_secs(3600), ..Options::default() };
        let mut engine = engine_with(options, &aggregates.map(|aggregate| check(aggregate, aggregate)));
        let mut signals = Vec::new();
        for (batch, position) in delivered.chunks(size).zip(1..) {
            let arrived = batch.iter().map(|(at, _, _, delay)| at + delay).max().unwrap();
            let rows: Vec<Sample> = batch.iter().map(|(at, source, value, _)| (*at, *source, f64::from(*value))).collect();
            let outcome = engine.ingest(&log(position, "h", arrived, &rows));
            prop_assert!(outcome.late.is_empty());
            signals.extend(outcome.signals);
        }
        signals.extend(finish(&mut engine));

        let mut naive: BTreeMap<(i64, String), Vec<f64>> = BTreeMap::new();
        for (at, source, value, _) in &samples {
            naive.entry((T0 + at / 10_000 * 10_000, (*source).to_owned())).or_default().push(f64::from(*value));
        }
        for aggregate in aggregates {
            let got: BTreeMap<(i64, String), f64> = signals.iter().filter(|s| s.rule_id == aggregate)
                .filter_map(|s| s.value.map(|value| ((s.window_start, s.labels["source"].clone()), value))).collect();
            let wanted: BTreeMap<(i64, String), f64> = naive.iter().map(|(key, values)| {
                let sum: f64 = values.iter().sum();
                let value = match aggregate {
                    "count()" => values.len() as f64,
                    "sum(data.x)" => sum,
                    "max(data.x)" => values.iter().copied().fold(f64::MIN, f64::max),
                    "min(data.x)" => values.iter().copied().fold(f64::MAX, f64::min),
                    "avg(data.x)" => sum / values.len() as f64,
                    _ => values.iter().map(|v| v.to_bits()).collect::<std::collections::HashSet<_>>().len() as f64,
                };
                (key.clone(), value)
            }).collect();
            prop_assert_eq!(got, wanted, "{}", aggregate);
        }
    }
}
