//! Patterns, absences and anomalies in the engine: the order on the wire, restarts and merged chunks change nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use streamflow_model::Span;

use super::*;
use crate::pattern::tests as definition;

/// One event: type, key, time after `T0`.
type Event = (&'static str, &'static str, i64);

const TYPES: [&str; 4] = ["a", "b", "c", "x"];
const KEYS: [&str; 3] = ["k1", "k2", "k3"];

fn frame(position: u64, agent: &str, stored_at: i64, events: &[Event]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for (kind, key, at) in events {
        let event =
            json!({"type": kind, "source": "s", "user_id": key, "timestamp": T0 + at, "data": {"x": at % 7000}});
        builder.push_json(event.to_string().as_bytes(), T0 + stored_at).unwrap();
    }
    let batch = Arc::new(builder.finish(position).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    let span = RowSpan {
        position,
        agent: agent.into(),
        stored_at: T0 + stored_at,
        start: 0,
        end,
    };
    LogBatch {
        batch,
        spans: vec![span],
    }
}

fn watch(id: &str, change: serde_json::Value) -> Rule {
    let mut body =
        json!({"id": id, "name": id, "group_by": ["user_id"], "version": 1, "created_at": 0, "updated_at": 0});
    for (key, value) in change.as_object().unwrap() {
        body[key] = value.clone();
    }
    serde_json::from_value(body).unwrap()
}

/// A pattern as the rule says it and as the definition reads it.
fn patterns(evaluate: &str) -> Vec<(Rule, crate::pattern::program::Program)> {
    let step = |name: &str, count: usize, not: bool| json!({"name": name, "match": format!("type == '{name}'"), "count": count, "not": not});
    let of = |id: &str, within: i64, steps: serde_json::Value, positions: &[(u16, usize, u16)]| {
        let pattern = json!({"within": format!("{within}s"), "steps": steps});
        let rule = watch(id, json!({"kind": "pattern", "evaluate": evaluate, "pattern": pattern}));
        (rule, definition::program(within * 1000, positions))
    };
    vec![
        of(
            "sequence",
            30,
            json!([step("a", 1, false), step("b", 1, false), step("c", 1, false)]),
            &[(1, 1, 0), (2, 1, 0), (4, 1, 0)],
        ),
        of("repetition", 20, json!([step("a", 3, false)]), &[(1, 3, 0)]),
        of(
            "mixed",
            40,
            json!([step("a", 2, false), step("b", 2, false)]),
            &[(1, 2, 0), (2, 2, 0)],
        ),
        of(
            "unless",
            20,
            json!([step("a", 1, false), step("b", 1, true)]),
            &[(1, 1, 2)],
        ),
        of(
            "between",
            30,
            json!([step("a", 1, false), step("c", 1, true), step("b", 1, false)]),
            &[(1, 1, 2), (4, 1, 0)],
        ),
    ]
}

fn options() -> Options {
    Options {
        out_of_orderness: Span::from_secs(10),
        idle_timeout: Span::from_secs(3600),
        ..Options::default()
    }
}

/// Events of each key at times of their own, two seconds apart, delivered up to ten seconds out of order.
fn delivered() -> impl Strategy<Value = Vec<(Event, i64)>> {
    let event = (
        prop::sample::select(&TYPES[..]),
        prop::sample::select(&KEYS[..]),
        0i64..9900,
    );
    prop::collection::vec(event, 0..60).prop_map(|events| {
        let events = events.into_iter().zip(1..);
        let mut events: Vec<(Event, i64)> = events
            .map(|((kind, key, delay), number)| ((kind, key, number * 2000), number * 2000 + delay))
            .collect();
        events.sort_by_key(|(_, arrives)| *arrives);
        events
    })
}

fn frames(delivered: &[(Event, i64)], size: usize) -> Vec<LogBatch> {
    let parts = delivered.chunks(size.max(1)).zip(1..);
    let frame = |(part, position): (&[(Event, i64)], u64)| {
        let arrived = part.iter().map(|(_, arrives)| *arrives).max().unwrap_or(0);
        let events: Vec<Event> = part.iter().map(|(event, _)| *event).collect();
        frame(position, "h", arrived, &events)
    };
    parts.map(frame).collect()
}

fn feed(engine: &mut Engine, parts: &[LogBatch]) -> Vec<Signal> {
    parts.iter().flat_map(|part| engine.ingest(part).signals).collect()
}

fn finish(engine: &mut Engine) -> Vec<Signal> {
    engine.tick(T0 + 10_000_000).signals
}

/// Matches by key as the definition says: begin and end after `T0`.
fn wanted(rule: &Rule, program: &crate::pattern::program::Program, events: &[(Event, i64)]) -> Vec<(String, i64, i64)> {
    let bits: BTreeMap<String, u16> = rule
        .draft
        .pattern
        .as_ref()
        .unwrap()
        .steps
        .iter()
        .zip(0..)
        .map(|(step, bit)| (step.name.clone(), 1 << bit))
        .collect();
    let mut found = Vec::new();
    for key in KEYS {
        let mut mine: Vec<(i64, u16)> = events
            .iter()
            .filter(|((_, of, _), _)| *of == key)
            .map(|((kind, _, at), _)| (*at, bits.get(*kind).copied().unwrap_or(0)))
            .collect();
        mine.sort_unstable();
        let matches = definition::naive(program, &mine, 9_000_000);
        found.extend(matches.into_iter().map(|(start, at)| (key.to_owned(), start, at)));
    }
    found.sort();
    found
}

fn told(signals: &[Signal], rule: &str) -> Vec<(String, i64, i64)> {
    let mine = signals.iter().filter(|s| s.rule_id == rule && s.met && !s.running);
    let mut told: Vec<(String, i64, i64)> = mine
        .map(|s| (s.labels["user_id"].clone(), s.window_start - T0, s.window_end - T0 - 1))
        .collect();
    told.sort();
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn patterns_equal_the_definition_whatever_the_order(events in delivered(), size in 1usize..12) {
        let all = patterns("on_close");
        let rules: Vec<Rule> = all.iter().map(|(rule, _)| rule.clone()).collect();
        let mut engine = engine_with(options(), &rules);
        let mut signals = Vec::new();
        for part in frames(&events, size) {
            let outcome = engine.ingest(&part);
            prop_assert!(outcome.late.is_empty() && outcome.evicted == 0);
            signals.extend(outcome.signals);
        }
        signals.extend(finish(&mut engine));
        for (rule, program) in &all {
            prop_assert_eq!(told(&signals, &rule.id), wanted(rule, program, &events), "{}", rule.id);
        }
    }

    #[test]
    fn what_is_told_before_its_turn_is_true(events in delivered(), size in 1usize..12) {
        let all = patterns("auto");
        let rules: Vec<Rule> = all.iter().map(|(rule, _)| rule.clone()).collect();
        let mut engine = engine_with(options(), &rules);
        let mut signals = feed(&mut engine, &frames(&events, size));
        signals.extend(finish(&mut engine));
        for (rule, program) in &all {
            let wanted = wanted(rule, program, &events);
            let mine: Vec<&Signal> = signals.iter().filter(|s| s.rule_id == rule.id).collect();
            for early in mine.iter().filter(|s| s.running) {
                let key = &early.labels["user_id"];
                let holds = wanted.iter().any(|(of, start, at)| of == key && *start <= early.window_end - T0 && *at < early.window_end - T0);
                prop_assert!(holds, "{} told {early:?}, found {wanted:?}", rule.id);
            }
            for (key, _, at) in &wanted {
                let known = mine.iter().any(|s| s.met && &s.labels["user_id"] == key);
                prop_assert!(known, "{}: nothing told of {key} at {at}", rule.id);
            }
            // Every alert ends once all is quiet.
            for key in KEYS {
                let last = mine.iter().rfind(|s| s.labels["user_id"] == key);
                prop_assert!(last.is_none_or(|s| !s.met && s.completeness.complete), "{}: {last:?}", rule.id);
            }
        }
    }

    #[test]
    fn a_restart_anywhere_changes_nothing_for_rules_without_windows(
        events in delivered(), size in 1usize..12, cut in any::<prop::sample::Index>(),
    ) {
        let mut rules: Vec<Rule> = patterns("auto").into_iter().map(|(rule, _)| rule).collect();
        rules.push(watch("absence", json!({"kind": "absence", "match": "type == 'a'", "absence": {"silent_for": "7s", "forget_after": "2m",
            "expect": [{"user_id": "k1"}, {"user_id": "nobody"}]}})));
        rules.push(watch("anomaly", json!({"kind": "anomaly", "match": "type != 'x'", "window": "5s",
            "anomaly": {"history": 10, "learning": "20s", "deviations": 0.5}})));
        rules.push(watch("odd", json!({"kind": "anomaly", "aggregate": "max(data.x)", "window": "3s",
            "anomaly": {"history": 10, "learning": "0s", "method": "seasonal"}})));
        let parts = frames(&events, size);
        let cut = cut.index(parts.len() + 1);
        let mut whole = engine_with(options(), &rules);
        let before = feed(&mut whole, &parts[..cut]);
        let saved = checkpoint::encode(&whole.state()).unwrap();
        let mut after = feed(&mut whole, &parts[cut..]);
        let end = checkpoint::encode(&whole.state()).unwrap();
        after.extend(finish(&mut whole));

        let mut restarted = Engine::restore(options(), checkpoint::decode(&saved).unwrap());
        prop_assert!(restarted.set_rules(&rules).is_empty());
        let mut replayed = feed(&mut restarted, &parts[cut..]);
        prop_assert!(checkpoint::encode(&restarted.state()).unwrap() == end);
        replayed.extend(finish(&mut restarted));
        prop_assert_eq!(&replayed, &after);

        if !parts.is_empty() {
            let mut chunked = engine_with(options(), &rules);
            let mut signals = feed(&mut chunked, &[merged(&parts)]);
            signals.extend(finish(&mut chunked));
            prop_assert_eq!(signals, [before, after].concat());
        }
    }
}

fn sequence(id: &str) -> Rule {
    watch(
        id,
        json!({"kind": "pattern", "pattern": {"within": "1m", "steps": [
        {"name": "first", "match": "type == 'a'"}, {"name": "second", "match": "type == 'b'"}]}}),
    )
}

#[test]
fn a_match_is_told_at_once_and_names_its_events() {
    let mut engine = engine(&[sequence("r")]);
    assert!(
        engine
            .ingest(&frame(1, "h", 100, &[("b", "k1", 0), ("a", "k1", 50)]))
            .signals
            .is_empty()
    );
    let batch = frame(2, "h", 300, &[("b", "k2", 200), ("b", "k1", 250)]);
    let told = engine.ingest(&batch).signals;
    assert_eq!(told.len(), 1);
    assert!(told[0].met && told[0].running && told[0].value == Some(2.0));
    assert_eq!((told[0].window_start - T0, told[0].window_end - T0), (50, 251));
    let account = told[0].account.as_ref().unwrap();
    assert_eq!(account.summary, "first, then second within 1m");
    assert_eq!(account.data["key"], json!({"user_id": "k1"}));
    let ids = batch.batch.ids().unwrap();
    assert_eq!(account.data["steps"][1]["events"][0]["id"], json!(ids[1]));
    // Its turn confirms it; it ends when nothing of the kind comes for a minute.
    let confirmed = engine.ingest(&frame(3, "h", 5_000, &[("x", "k3", 5_000)])).signals;
    assert_eq!(
        confirmed
            .iter()
            .map(|s| (s.met, s.running, s.revision))
            .collect::<Vec<_>>(),
        [(true, false, 1)]
    );
    let frames = (1..8).map(|n| {
        frame(
            3 + u64::try_from(n).unwrap(),
            "h",
            n * 10_000,
            &[("x", "k3", n * 10_000)],
        )
    });
    let over: Vec<Signal> = frames.flat_map(|frame| engine.ingest(&frame).signals).collect();
    assert_eq!(
        over.iter().map(|s| (s.met, s.value)).collect::<Vec<_>>(),
        [(false, None)]
    );
    assert_eq!(over[0].account.as_ref().unwrap().summary, "no further match for 1m");
}

#[test]
fn a_negation_waits_for_hosts_that_are_cut_off() {
    let rule = watch(
        "r",
        json!({"kind": "pattern", "pattern": {"within": "10s", "steps": [
        {"name": "order", "match": "type == 'a'"}, {"name": "payment", "match": "type == 'b'", "not": true}]}}),
    );
    let mut engine = engine(&[rule]);
    engine.ingest(&frame(1, "shop", 0, &[("a", "k1", 0), ("a", "k2", 0)]));
    engine.ingest(&frame(2, "bank", 100, &[("x", "k9", 100)]));
    // The bank is cut off: its payment may be on the way.
    let waiting = engine.ingest(&frame(3, "shop", 60_000, &[("x", "k9", 60_000)]));
    assert!(waiting.signals.is_empty(), "{:?}", waiting.signals);
    // It comes back: one was paid in time, late as the word is.
    let paid = engine.ingest(&frame(4, "bank", 61_000, &[("b", "k1", 5_000), ("x", "k9", 61_000)]));
    let told: Vec<&str> = paid.signals.iter().map(|s| s.labels["user_id"].as_str()).collect();
    assert_eq!(told, ["k2"]);
    assert!(paid.signals[0].met && paid.signals[0].completeness.complete);
    let came = engine.ingest(&frame(5, "bank", 65_000, &[("b", "k2", 62_000), ("x", "k9", 65_000)]));
    let over = engine.ingest(&frame(6, "shop", 65_100, &[("x", "k9", 65_000)]));
    let ended: Vec<&Signal> = came.signals.iter().chain(&over.signals).collect();
    assert_eq!(ended.len(), 1);
    assert!(
        !ended[0].met
            && ended[0]
                .account
                .as_ref()
                .unwrap()
                .summary
                .starts_with("payment came at")
    );
}

#[test]
fn a_negation_that_no_longer_waits_for_a_host_says_so() {
    let order = |within: &str| {
        watch(
            "r",
            json!({"kind": "pattern", "pattern": {"within": within, "steps": [
        {"name": "order", "match": "type == 'a'"}, {"name": "payment", "match": "type == 'b'", "not": true}]}}),
        )
    };
    // Forgotten while the order waits for it after its time, and before its time is over.
    for (within, forgotten_at) in [("10s", 60_000), ("90s", 60_000), ("90s", 120_000)] {
        let options = Options {
            forget_agents: Span::from_ms(forgotten_at - 1000),
            ..Options::default()
        };
        let mut engine = engine_with(options, &[order(within)]);
        engine.ingest(&frame(1, "shop", 0, &[("a", "k1", 0)]));
        engine.ingest(&frame(2, "bank", 100, &[("x", "k9", 100)]));
        let mut told: Vec<Signal> = Vec::new();
        for (position, at) in (3..).zip((10_000..200_000).step_by(10_000)) {
            let saved = checkpoint::encode(&engine.state()).unwrap();
            engine = Engine::restore(options, checkpoint::decode(&saved).unwrap());
            assert!(engine.set_rules(&[order(within)]).is_empty());
            told.extend(engine.ingest(&frame(position, "shop", at, &[("x", "k9", at)])).signals);
            assert!(told.is_empty() || at >= forgotten_at, "{within}: told at {at}");
        }
        let fired = told.first().unwrap();
        assert!(fired.met && !fired.completeness.complete, "{within}: {fired:?}");
        assert_eq!(fired.completeness.missing, ["bank"]);
        assert!(fired.account.as_ref().unwrap().message.contains("bank"));
    }
    // Of one that was not missed any more when the order came, nothing was expected.
    let options = Options {
        forget_agents: Span::from_secs(20),
        ..Options::default()
    };
    let mut engine = engine_with(options, &[order("10s")]);
    engine.ingest(&frame(1, "bank", 0, &[("x", "k9", 0)]));
    engine.ingest(&frame(2, "shop", 50_000, &[("x", "k9", 50_000)]));
    engine.ingest(&frame(3, "shop", 60_000, &[("a", "k1", 60_000)]));
    let told = engine.ingest(&frame(4, "shop", 80_000, &[("x", "k9", 80_000)])).signals;
    assert!(
        told.len() == 1 && told[0].met && told[0].completeness.complete,
        "{told:?}"
    );
}

#[test]
fn keys_beyond_the_bound_are_dropped_and_counted() {
    let mut engine = engine_with(
        Options {
            max_groups: 2,
            ..options()
        },
        &[sequence("r")],
    );
    let outcome = engine.ingest(&frame(1, "h", 10, &[("a", "k1", 0), ("a", "k2", 1), ("a", "k3", 2)]));
    assert_eq!(outcome.evicted, 1);
    // The first is forgotten, the others are not; and keys whose alert is open make no room.
    let told = engine.ingest(&frame(2, "h", 20, &[("b", "k2", 10), ("b", "k3", 11)]));
    let keys: Vec<&str> = told.signals.iter().map(|s| s.labels["user_id"].as_str()).collect();
    assert_eq!(keys, ["k2", "k3"]);
    let refused = engine.ingest(&frame(3, "h", 25, &[("b", "k1", 20)]));
    assert_eq!((refused.signals.len(), refused.dropped), (0, 1));
    // An event without the key is in no pattern.
    let mut builder = BatchBuilder::new();
    builder.push_json(br#"{"type":"a","source":"s"}"#, T0 + 30).unwrap();
    let batch = LogBatch {
        batch: Arc::new(builder.finish(4).decode().unwrap()),
        ..frame(4, "h", 30, &[("a", "k", 0)])
    };
    let outcome = engine.ingest(&batch);
    assert_eq!((outcome.evicted, outcome.dropped), (0, 0));
}

#[test]
fn a_spike_of_a_group_is_an_anomaly_of_that_group() {
    let rule = watch(
        "odd",
        json!({"kind": "anomaly", "match": "type == 'a'", "window": "10s", "anomaly": {"history": 20, "learning": "100s"}}),
    );
    let mut engine = engine(&[rule]);
    let mut signals = Vec::new();
    for window in 0..30_i64 {
        let mut events: Vec<Event> = Vec::new();
        for key in ["k1", "k2"] {
            let count = if window == 20 && key == "k1" { 60 } else { 5 };
            events.extend((0..count).map(|n| ("a", key, window * 10_000 + n * 100)));
        }
        // The second falls silent at last.
        events.retain(|(_, key, _)| *key == "k1" || window < 25);
        let position = u64::try_from(window).unwrap() + 1;
        signals.extend(
            engine
                .ingest(&frame(position, "h", window * 10_000 + 9_000, &events))
                .signals,
        );
    }
    let told: Vec<(&str, i64, f64, bool)> = signals
        .iter()
        .map(|s| {
            (
                s.labels["user_id"].as_str(),
                (s.window_start - T0) / 10_000,
                s.value.unwrap(),
                s.met,
            )
        })
        .collect();
    assert_eq!(told, [("k1", 20, 60.0, true), ("k1", 21, 5.0, false)], "{signals:?}");
    let data = &signals[0].account.as_ref().unwrap().data;
    assert_eq!((&data["expected"], &data["observed"]), (&json!(5.0), &json!(60.0)));
    assert!(data["lower"].as_f64() < Some(5.0) && data["upper"].as_f64() > Some(5.0));
    assert!(signals[1].account.as_ref().unwrap().summary.contains("is within"));
}
