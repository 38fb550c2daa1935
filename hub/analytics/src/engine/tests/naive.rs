//! An independent computation of windows and aggregates, event by event, and the engine against it.

use proptest::prelude::*;
use streamflow_model::{Span, WindowSpec};
use streamflow_proto::aggregate::Frequent;

use super::*;

const SOURCES: [&str; 3] = ["a", "b", "c"];
const OUT_OF_ORDER: i64 = 2000;

/// An event as the naive computation sees it: its time, group and number.
type Event = (i64, &'static str, f64);

/// Windows of one kind, kept as lists of events.
enum Naive {
    Aligned {
        size: i64,
        slide: i64,
        /// All events that came before the last window that could hold them was final, with the watermark at which they came.
        events: Vec<(Event, i64)>,
        closed: i64,
    },
    Sessions {
        gap: i64,
        /// Source, events, and whether its end was told.
        open: Vec<(&'static str, Vec<Event>, bool)>,
    },
}

/// What a window came to: source, start, end, its events.
type Held = (String, i64, i64, Vec<Event>);

impl Naive {
    fn new(window: &WindowSpec) -> Self {
        match window.slide() {
            Some(slide) => Self::Aligned {
                size: window.size().ms(),
                slide: slide.ms(),
                events: Vec::new(),
                closed: i64::MIN,
            },
            None => Self::Sessions {
                gap: window.size().ms(),
                open: Vec::new(),
            },
        }
    }

    /// Windows whose results change at once because of these events; the number of events that were too late.
    fn add(&mut self, events: &[Event], watermark: i64, lateness: i64) -> (Vec<Held>, usize) {
        match self {
            Self::Aligned {
                size,
                slide,
                events: all,
                closed,
            } => {
                let (size, slide) = (*size, *slide);
                let (mut late, mut changed) = (0, Vec::new());
                for event in events {
                    let ends: Vec<i64> = (0..size / slide)
                        .map(|n| event.0.div_euclid(slide) * slide + slide * (n + 1))
                        .collect();
                    if ends.iter().all(|end| end + lateness <= watermark) {
                        late += 1;
                        continue;
                    }
                    all.push((*event, watermark));
                    changed.extend(
                        ends.iter()
                            .filter(|end| **end <= *closed && **end + lateness > watermark)
                            .map(|end| (*end, event.1)),
                    );
                }
                changed.sort_unstable();
                changed.dedup();
                (
                    changed
                        .into_iter()
                        .map(|(end, source)| held(all, source, end, size, lateness))
                        .collect(),
                    late,
                )
            }
            Self::Sessions { gap, open } => {
                let gap = *gap;
                let mut late = 0;
                let mut touched: Vec<Event> = Vec::new();
                for event in events {
                    let near = |list: &[Event]| list.iter().any(|other| (other.0 - event.0).abs() < gap);
                    let (mine, rest): (Vec<_>, Vec<_>) = open
                        .drain(..)
                        .partition(|(source, list, _)| *source == event.1 && near(list));
                    *open = rest;
                    if mine.is_empty() && event.0 + gap + lateness <= watermark {
                        late += 1;
                        continue;
                    }
                    let mut joined: Vec<Event> = mine.into_iter().flat_map(|(_, list, _)| list).collect();
                    joined.push(*event);
                    open.push((event.1, joined, false));
                    touched.push(*event);
                }
                let mut changed = Vec::new();
                for (source, list, told) in open.iter_mut() {
                    let is_touched = list.iter().any(|event| touched.contains(event));
                    let end = list.iter().map(|event| event.0).max().unwrap() + gap;
                    if is_touched && end <= watermark {
                        *told = true;
                        changed.push(session(source, list, gap));
                    }
                }
                (changed, late)
            }
        }
    }

    /// Windows that close because the watermark has come so far.
    fn close(&mut self, watermark: i64, lateness: i64) -> Vec<Held> {
        match self {
            Self::Aligned {
                size,
                slide,
                events,
                closed,
            } => {
                let mut ended = Vec::new();
                for ((at, source, _), _) in events.iter() {
                    let first = at.div_euclid(*slide) * *slide + *slide;
                    let ends = (0..*size / *slide).map(|n| first + *slide * n);
                    ended.extend(
                        ends.filter(|end| *closed < *end && *end <= watermark)
                            .map(|end| (end, *source)),
                    );
                }
                ended.sort_unstable();
                ended.dedup();
                *closed = (*closed).max(watermark);
                ended
                    .into_iter()
                    .map(|(end, source)| held(events, source, end, *size, lateness))
                    .collect()
            }
            Self::Sessions { gap, open } => {
                let mut ended = Vec::new();
                open.retain_mut(|(source, list, told)| {
                    let end = list.iter().map(|event| event.0).max().unwrap() + *gap;
                    if end <= watermark && !*told {
                        *told = true;
                        ended.push(session(source, list, *gap));
                    }
                    end + lateness > watermark
                });
                ended
            }
        }
    }
}

fn held(events: &[(Event, i64)], source: &str, end: i64, size: i64, lateness: i64) -> Held {
    let inside = events
        .iter()
        .filter(|((at, of, _), came)| *of == source && end - size <= *at && *at < end && *came < end + lateness);
    (
        source.to_owned(),
        end - size,
        end,
        inside.map(|(event, _)| *event).collect(),
    )
}

fn session(source: &str, list: &[Event], gap: i64) -> Held {
    let (start, last) = (
        list.iter().map(|e| e.0).min().unwrap(),
        list.iter().map(|e| e.0).max().unwrap(),
    );
    (source.to_owned(), start, last + gap, list.to_vec())
}

/// The value of an aggregate, written down as it is defined.
fn value(aggregate: &str, events: &[Event], length: i64) -> f64 {
    let mut numbers: Vec<f64> = events.iter().map(|e| e.2).collect();
    numbers.sort_by(f64::total_cmp);
    let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
    let mean = sum / count;
    let ranked = |q: f64| numbers[(q * (count - 1.0)).floor() as usize];
    let by_time = |a: &&Event, b: &&Event| (a.0, a.2).partial_cmp(&(b.0, b.2)).unwrap();
    match aggregate {
        "count()" => count,
        "rate()" => count / (length as f64 / 1000.0),
        "sum(data.x)" => sum,
        "avg(data.x)" => mean,
        "min(data.x)" => numbers[0],
        "max(data.x)" => numbers[numbers.len() - 1],
        "stddev(data.x)" => (numbers.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt(),
        "p50(data.x)" => ranked(0.5),
        "p99(data.x)" => ranked(0.99),
        "p999(data.x)" => ranked(0.999),
        "first(data.x)" => events.iter().min_by(by_time).unwrap().2,
        "last(data.x)" => events.iter().max_by(by_time).unwrap().2,
        "distinct(data.x)" => {
            numbers.dedup();
            numbers.len() as f64
        }
        "topk(3, data.x)" => top(events)[0].count as f64,
        other => panic!("{other}"),
    }
}

fn top(events: &[Event]) -> Vec<Frequent> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        *counts.entry(format!("{:?}", event.2)).or_default() += 1;
    }
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|a, b| (std::cmp::Reverse(a.1), &a.0).cmp(&(std::cmp::Reverse(b.1), &b.0)));
    let frequent = |(value, count)| Frequent { value, count, error: 0 };
    all.into_iter().take(3).map(frequent).collect()
}

const AGGREGATES: [&str; 14] = [
    "count()",
    "rate()",
    "sum(data.x)",
    "avg(data.x)",
    "min(data.x)",
    "max(data.x)",
    "stddev(data.x)",
    "p50(data.x)",
    "p99(data.x)",
    "p999(data.x)",
    "first(data.x)",
    "last(data.x)",
    "distinct(data.x)",
    "topk(3, data.x)",
];

fn windows() -> [serde_json::Value; 5] {
    [
        json!("10s"),
        json!({"size": "10s", "slide": "2s"}),
        json!({"size": "9s", "slide": "3s"}),
        json!({"session_gap": "3s"}),
        json!({"session_gap": "1s", "by": ["source"]}),
    ]
}

fn close_to(got: f64, wanted: f64, aggregate: &str) -> bool {
    let within = if aggregate.starts_with('p') { 0.0101 } else { 1e-9 };
    (got - wanted).abs() <= within * wanted.abs() + 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every aggregate over every kind of window, with events in any order, late ones within the allowed lateness and beyond it, batches of any size, and a
    /// restart from a checkpoint at any batch.
    #[test]
    fn the_engine_equals_a_naive_computation(
        samples in prop::collection::vec((0i64..40_000, prop::sample::select(&SOURCES[..]), 0u8..40, prop_oneof![4 => 0i64..2000, 1 => 0i64..20_000]), 1..150),
        size in 1usize..12,
        lateness in prop_oneof![Just(0i64), 0i64..12_000],
        aggregate in prop::sample::select(&AGGREGATES[..]),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut delivered = samples.clone();
        delivered.sort_by_key(|(at, _, _, delay)| at + delay);
        let batches: Vec<_> = delivered.chunks(size).collect();
        let cut = cut.index(batches.len() + 1);
        for window in windows() {
            let rule = rule("r", json!({
                "aggregate": aggregate, "group_by": ["source"], "condition": "value > 1.0e300", "evaluate": "on_close", "threshold": null,
                "window": window, "allowed_lateness": format!("{lateness}ms"),
            }));
            let options = Options { idle_timeout: Span::from_secs(3600), ..Options::default() };
            let mut engine = engine_with(options, std::slice::from_ref(&rule));
            let mut naive = Naive::new(&rule.draft.window);
            let mut watermark = i64::MIN / 2;
            let mut newest = i64::MIN;
            for (number, batch) in batches.iter().enumerate() {
                if number == cut {
                    let saved = checkpoint::encode(&engine.state()).unwrap();
                    engine = Engine::restore(options, checkpoint::decode(&saved).unwrap());
                    prop_assert!(engine.set_rules(std::slice::from_ref(&rule)).is_empty());
                }
                let arrived = batch.iter().map(|(at, _, _, delay)| at + delay).max().unwrap();
                let rows: Vec<Sample> = batch.iter().map(|(at, source, number, _)| (*at, *source, f64::from(*number))).collect();
                let outcome = engine.ingest(&log(number as u64 + 1, "h", arrived, &rows));
                let events: Vec<Event> = rows.iter().map(|(at, source, number)| (T0 + at, *source, *number)).collect();
                let (mut wanted, late) = naive.add(&events, watermark, lateness);
                newest = newest.max(events.iter().map(|e| e.0).max().unwrap());
                watermark = newest - OUT_OF_ORDER;
                prop_assert_eq!(outcome.corrections as usize, wanted.len(), "{}", window);
                wanted.extend(naive.close(watermark, lateness));
                prop_assert_eq!(outcome.late.iter().map(|late| late.events).sum::<u64>() as usize, late, "{}", window);
                compare(&outcome.results, wanted, aggregate)?;
            }
            let outcome = engine.tick(T0 + 100_000_000);
            compare(&outcome.results, naive.close(i64::MAX / 2, lateness), aggregate)?;
            // Nothing is left when everything is over.
            let status = engine.status();
            prop_assert_eq!(status.rules[0].groups, 0);
        }
    }
}

fn compare(got: &[Concluded], mut wanted: Vec<Held>, aggregate: &str) -> std::result::Result<(), TestCaseError> {
    let key = |end: i64, source: &str, start: i64| (end, source.to_owned(), start);
    wanted.sort_by_key(|(source, start, end, _)| key(*end, source, *start));
    let mut got: Vec<&Concluded> = got.iter().collect();
    got.sort_by_key(|result| key(result.end, &result.labels[0], result.start));
    let shape = |source: &str, start: i64, end: i64| (source.to_owned(), start - T0, end - T0);
    prop_assert_eq!(
        got.iter()
            .map(|r| shape(&r.labels[0], r.start, r.end))
            .collect::<Vec<_>>(),
        wanted
            .iter()
            .map(|(source, start, end, _)| shape(source, *start, *end))
            .collect::<Vec<_>>()
    );
    for (result, (source, start, end, events)) in got.iter().zip(&wanted) {
        let right = value(aggregate, events, end - start);
        let found = result.value.unwrap();
        prop_assert!(
            close_to(found, right, aggregate),
            "{aggregate} of {source} until {}: {found}, not {right}",
            end - T0
        );
        if aggregate.starts_with("topk") {
            prop_assert_eq!(&result.top, &top(events));
        }
    }
    Ok(())
}
