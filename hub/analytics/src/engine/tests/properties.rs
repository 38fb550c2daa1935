use proptest::prelude::*;

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
        ("slide", json!({"aggregate": "count()", "window": {"size": "10s", "slide": "2s"}, "group_by": ["source"], "allowed_lateness": "3s"})),
        ("slide-sum", json!({"aggregate": "sum(data.x)", "window": {"size": "6s", "slide": "3s"}, "threshold": 15, "group_by": ["source"]})),
        ("slide-max", json!({"aggregate": "max(data.x)", "window": {"size": "9s", "slide": "1s"}, "threshold": 8})),
        ("slide-top", json!({"aggregate": "topk(2, data.x)", "window": {"size": "9s", "slide": "3s"}, "threshold": 2})),
        ("session", json!({"aggregate": "count()", "window": {"session_gap": "2s", "by": ["source"]}, "allowed_lateness": "3s"})),
        ("session-sum", json!({"aggregate": "sum(data.x)", "window": {"session_gap": "1s"}, "threshold": 20})),
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
        let mut closed: Vec<Concluded> = frames.iter().flat_map(|frame| patient.ingest(frame).results).collect();
        closed.extend(patient.tick(T0 + 10_000_000).results);
        for early in running {
            let labels: Vec<&String> = early.labels.values().collect();
            // A session may have grown meanwhile; other windows hold a window of their size only when they are that window.
            let held = closed.iter().any(|r| {
                r.met && r.rule == early.rule_id && r.labels.iter().collect::<Vec<_>>() == labels && r.start <= early.window_start && early.window_end <= r.end
            });
            prop_assert!(held, "{} fired for {:?} at {} but did not hold", early.rule_id, early.labels, early.window_start);
        }
    }
}
