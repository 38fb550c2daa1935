//! Every aggregate over every kind of window, computed once more from the same events by the definitions, and compared with what the hub says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamflow_proto::event::time::parse_rfc3339;
use streamflow_tests::{Hub, HubConfig, eventually_some, hub};

/// Time in ms after the begin, source, value.
type Fact = (i64, &'static str, f64);
/// Start and end of a window in ms after the begin.
type Span = (i64, i64);

const GAP: i64 = 5000;

const AGGREGATES: [&str; 15] = [
    "count()",
    "rate()",
    "sum(data.x)",
    "avg(data.x)",
    "min(data.x)",
    "max(data.x)",
    "stddev(data.x)",
    "p50(data.x)",
    "p95(data.x)",
    "p99(data.x)",
    "p999(data.x)",
    "distinct(data.x)",
    "topk(3, data.x)",
    "first(data.x)",
    "last(data.x)",
];

/// Bursts of eight events a second apart, with pauses of seven seconds: longer than the sessions' gap, shorter than any other window.
fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    for (source, shift) in [("a", 0), ("b", 430)] {
        for n in 0..96 {
            let at = (n / 8) * 14_000 + (n % 8) * 1000 + shift;
            let x = ((n * 37 + shift) % 23) as f64 * 1.25 - 6.0;
            facts.push((at, source, x));
        }
    }
    facts
}

/// What an aggregate is of these events over a window of this length.
fn value(aggregate: &str, events: &[Fact], length: i64) -> f64 {
    let mut numbers: Vec<f64> = events.iter().map(|event| event.2).collect();
    numbers.sort_by(f64::total_cmp);
    let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
    let mean = sum / count;
    let rank = |q: f64| numbers[(q * (count - 1.0)).floor() as usize];
    let by_time = |a: &&Fact, b: &&Fact| a.0.cmp(&b.0);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for number in &numbers {
        *counts.entry(number.to_string()).or_default() += 1;
    }
    match aggregate {
        "count()" => count,
        "rate()" => count / (length as f64 / 1000.0),
        "sum(data.x)" => sum,
        "avg(data.x)" => mean,
        "min(data.x)" => numbers[0],
        "max(data.x)" => numbers[numbers.len() - 1],
        "stddev(data.x)" => (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt(),
        "p50(data.x)" => rank(0.5),
        "p95(data.x)" => rank(0.95),
        "p99(data.x)" => rank(0.99),
        "p999(data.x)" => rank(0.999),
        "distinct(data.x)" => counts.len() as f64,
        "topk(3, data.x)" => counts.values().copied().max().unwrap() as f64,
        "first(data.x)" => events.iter().min_by(by_time).unwrap().2,
        "last(data.x)" => events.iter().max_by(by_time).unwrap().2,
        other => panic!("{other}"),
    }
}

/// The windows that hold any of these events, which are in the order of time.
fn windows(kind: &Value, events: &[Fact]) -> Vec<Span> {
    if kind.get("session_gap").is_some() {
        let mut sessions: Vec<Span> = Vec::new();
        for (at, ..) in events {
            match sessions.last_mut() {
                Some((_, end)) if at < end => *end = at + GAP,
                _ => sessions.push((*at, at + GAP)),
            }
        }
        return sessions;
    }
    let (size, slide) = match kind {
        Value::String(_) => (10_000, 10_000),
        _ => (10_000, 2000),
    };
    let last = events.last().unwrap().0 + size;
    let ends = (1..=last / slide).map(|n| n * slide);
    let spans = ends.map(|end| (end - size, end));
    spans
        .filter(|(from, to)| events.iter().any(|(at, ..)| (*from..*to).contains(at)))
        .collect()
}

#[tokio::test]
async fn every_aggregate_over_every_window_equals_an_independent_computation() {
    let hub = Hub::start(&HubConfig {
        more: "[analytics]\nidle_timeout = \"10m\"".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let kinds = [
        ("tumbling", json!("10s")),
        ("sliding", json!({"size": "10s", "slide": "2s"})),
        ("session", json!({"session_gap": "5s"})),
    ];
    for (name, window) in &kinds {
        for aggregate in AGGREGATES {
            let rule = json!({"name": format!("{name} {aggregate}"), "match": "type == 'fact'", "aggregate": aggregate, "window": window, "group_by": ["source"],
                              "condition": "value > -1.0e300", "evaluate": "on_close", "allowed_lateness": "10m"});
            let (status, answer) = api.post("/api/v1/rules", &rule).await;
            assert_eq!(status, 201, "{answer}");
        }
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let begin = (now.as_millis() as i64 - 600_000) / 60_000 * 60_000;
    // Out of order by up to a second and a half, which windows wait for; one in sixteen comes twenty seconds late and corrects what was said.
    let facts = facts();
    let mut delivered: Vec<(i64, Fact)> = (0_i64..)
        .zip(&facts)
        .map(|(n, fact)| (fact.0 + n * 7919 % 1500 + if n % 16 == 5 { 20_000 } else { 0 }, *fact))
        .collect();
    delivered.sort_by_key(|(arrives, _)| *arrives);
    let event = |at: i64, source: &str, kind: &str, x: f64| json!({"type": kind, "source": source, "timestamp": begin + at, "data": {"x": x}});
    for part in delivered.chunks(20) {
        let batch: Vec<Value> = part
            .iter()
            .map(|(_, (at, source, x))| event(*at, source, "fact", *x))
            .collect();
        let (status, answer) = api.post("/events/batch", &json!(batch)).await;
        assert_eq!(status, 202, "{answer}");
    }
    let (status, _) = api.post("/events", &event(300_000, "clock", "other", 0.0)).await;
    assert_eq!(status, 202);

    for (name, window) in &kinds {
        for aggregate in AGGREGATES {
            for source in ["a", "b"] {
                let mut own: Vec<Fact> = facts.iter().filter(|fact| fact.1 == source).copied().collect();
                own.sort_by_key(|fact| fact.0);
                let spans = windows(window, &own);
                let rule = format!("{name} {aggregate}");
                let alert = eventually_some(&format!("{rule} has judged its last window of {source}"), async || {
                    let (_, alerts) = api.get("/api/v1/alerts?limit=500").await;
                    let own =
                        |alert: &Value| alert["rule_name"] == rule.as_str() && alert["labels"]["source"] == source;
                    hub::data(&alerts)
                        .into_iter()
                        .find(|alert| own(alert) && alert["state"] == "resolved")
                })
                .await;
                let (status, explained) = api
                    .get(&format!("/api/v1/alerts/{}/explain", alert["id"].as_str().unwrap()))
                    .await;
                assert_eq!(status, 200, "{explained}");
                let time = |text: &Value| parse_rfc3339(text.as_str().unwrap()).unwrap() - begin;
                let said: Vec<(Span, f64)> = explained["data"]["windows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|window| {
                        Some((
                            (time(&window["start"]), time(&window["end"])),
                            window["value"].as_f64()?,
                        ))
                    })
                    .collect();
                let right: Vec<(Span, f64)> = spans
                    .iter()
                    .map(|(from, to)| {
                        let inside: Vec<Fact> = own
                            .iter()
                            .filter(|(at, ..)| (*from..*to).contains(at))
                            .copied()
                            .collect();
                        ((*from, *to), value(aggregate, &inside, to - from))
                    })
                    .collect();
                let of = |all: &[(Span, f64)]| all.iter().map(|(span, _)| *span).collect::<Vec<Span>>();
                assert_eq!(of(&said), of(&right), "{rule} of {source}");
                for ((span, found), (_, wanted)) in said.iter().zip(&right) {
                    let within = if aggregate.starts_with('p') {
                        0.0101 * wanted.abs()
                    } else {
                        1e-9
                    };
                    assert!(
                        (found - wanted).abs() <= within + 1e-9,
                        "{rule} of {source} at {span:?}: {found}, not {wanted}"
                    );
                }
            }
        }
    }
}
