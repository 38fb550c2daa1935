//! An independent computation of windows and aggregates, event by event, and the engine against it.

use proptest::prelude::*;
use streamflow_model::{Span, WindowSpec};
use streamflow_proto::aggregate::Frequent;

use super::*;

const SOURCES: [&str; 3] = ["a", "b", "c"];
const OUT_OF_ORDER: i64 = 2000;

/// An event as the naive computation sees it: its time, group, and the number that it may have.
type Event = (i64, &'static str, Option<f64>);

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
fn value(aggregate: &str, events: &[Event], length: i64) -> Option<f64> {
    match aggregate {
        "count()" => return Some(events.len() as f64),
        "rate()" => return Some(events.len() as f64 / (length as f64 / 1000.0)),
        _ => {}
    }
    let timed: Vec<(i64, f64)> = events.iter().filter_map(|e| Some((e.0, e.2?))).collect();
    let mut numbers: Vec<f64> = timed.iter().map(|e| e.1).collect();
    if numbers.is_empty() {
        return (aggregate == "distinct(data.x)").then_some(0.0);
    }
    numbers.sort_by(f64::total_cmp);
    let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
    let mean = sum / count;
    let ranked = |q: f64| numbers[(q * (count - 1.0)).floor() as usize];
    let by_time = |a: &&(i64, f64), b: &&(i64, f64)| a.partial_cmp(b).unwrap();
    Some(match aggregate {
        "sum(data.x)" => sum,
        "avg(data.x)" => mean,
        "min(data.x)" => numbers[0],
        "max(data.x)" => numbers[numbers.len() - 1],
        "stddev(data.x)" => (numbers.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt(),
        "p5(data.x)" => ranked(0.05),
        "p50(data.x)" => ranked(0.5),
        "p75(data.x)" => ranked(0.75),
        "p90(data.x)" => ranked(0.9),
        "p95(data.x)" => ranked(0.95),
        "p99(data.x)" => ranked(0.99),
        "p999(data.x)" => ranked(0.999),
        "first(data.x)" => timed.iter().min_by(by_time).unwrap().1,
        "last(data.x)" => timed.iter().max_by(by_time).unwrap().1,
        "distinct(data.x)" => {
            numbers.dedup();
            numbers.len() as f64
        }
        "topk(3, data.x)" => top(events)[0].count as f64,
        other => panic!("{other}"),
    })
}

fn top(events: &[Event]) -> Vec<Frequent> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for number in events.iter().filter_map(|event| event.2) {
        *counts.entry(format!("{number:?}")).or_default() += 1;
    }
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|a, b| (std::cmp::Reverse(a.1), &a.0).cmp(&(std::cmp::Reverse(b.1), &b.0)));
    let frequent = |(value, count)| Frequent { value, count, error: 0 };
    all.into_iter().take(3).map(frequent).collect()
}

const AGGREGATES: [&str; 18] = [
    "count()",
    "rate()",
    "sum(data.x)",
    "avg(data.x)",
    "min(data.x)",
    "max(data.x)",
    "stddev(data.x)",
    "p5(data.x)",
    "p50(data.x)",
    "p75(data.x)",
    "p90(data.x)",
    "p95(data.x)",
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

/// A frame of events, some of which have no number.
fn frame(position: u64, stored_at: i64, events: &[Event]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for (at, source, number) in events {
        let data = number.map_or_else(|| json!({"other": 1}), |number| json!({"x": number}));
        let event = json!({"type": "a", "source": source, "timestamp": at, "data": data});
        builder.push_json(event.to_string().as_bytes(), T0 + stored_at).unwrap();
    }
    let batch = Arc::new(builder.finish(position).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    let span = RowSpan {
        position,
        agent: "h".into(),
        stored_at: T0 + stored_at,
        start: 0,
        end,
    };
    LogBatch {
        batch,
        spans: vec![span],
    }
}

/// Whole numbers, decimals and negative ones, and none.
fn numbers() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (0u8..40).prop_map(|n| Some(f64::from(n))),
        4 => (-40i8..40).prop_map(|n| Some(f64::from(n) * 1.25)),
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every aggregate over every kind of window, with events in any order, late ones within the allowed lateness and beyond it, batches of any size, and a
    /// restart from a checkpoint at any batch.
    #[test]
    fn the_engine_equals_a_naive_computation(
        samples in prop::collection::vec((0i64..40_000, prop::sample::select(&SOURCES[..]), numbers(), prop_oneof![4 => 0i64..2000, 1 => 0i64..20_000]), 1..150),
        size in 1usize..12,
        lateness in prop_oneof![Just(0i64), 0i64..12_000],
        cut in any::<prop::sample::Index>(),
    ) {
        let mut delivered = samples.clone();
        delivered.sort_by_key(|(at, _, _, delay)| at + delay);
        let batches: Vec<_> = delivered.chunks(size).collect();
        let cut = cut.index(batches.len() + 1);
        for window in windows() {
            let rules = AGGREGATES.map(|aggregate| rule(aggregate, json!({
                "aggregate": aggregate, "group_by": ["source"], "condition": "value > 1.0e300", "evaluate": "on_close", "threshold": null,
                "window": window, "allowed_lateness": format!("{lateness}ms"),
            })));
            let options = Options { idle_timeout: Span::from_secs(3600), ..Options::default() };
            let mut engine = engine_with(options, &rules);
            let mut naive = Naive::new(&rules[0].draft.window);
            let mut watermark = i64::MIN / 2;
            let mut newest = i64::MIN;
            for (number, batch) in batches.iter().enumerate() {
                if number == cut {
                    let saved = checkpoint::encode(&engine.state()).unwrap();
                    engine = Engine::restore(options, checkpoint::decode(&saved).unwrap());
                    prop_assert!(engine.set_rules(&rules).is_empty());
                }
                let arrived = batch.iter().map(|(at, _, _, delay)| at + delay).max().unwrap();
                let events: Vec<Event> = batch.iter().map(|(at, source, number, _)| (T0 + at, *source, *number)).collect();
                let outcome = engine.ingest(&frame(number as u64 + 1, arrived, &events));
                let (mut wanted, late) = naive.add(&events, watermark, lateness);
                newest = newest.max(events.iter().map(|e| e.0).max().unwrap());
                watermark = newest - OUT_OF_ORDER;
                prop_assert_eq!(outcome.corrections as usize, wanted.len() * AGGREGATES.len(), "{}", window);
                wanted.extend(naive.close(watermark, lateness));
                prop_assert_eq!(outcome.late.iter().map(|late| late.events).sum::<u64>() as usize, late, "{}", window);
                compare_all(&outcome.results, &wanted)?;
            }
            let outcome = engine.tick(T0 + 100_000_000);
            compare_all(&outcome.results, &naive.close(i64::MAX / 2, lateness))?;
            // Nothing is left when everything is over.
            let status = engine.status();
            prop_assert!(status.rules.iter().all(|rule| rule.groups == 0));
        }
    }
}

fn compare_all(got: &[Concluded], wanted: &[Held]) -> std::result::Result<(), TestCaseError> {
    for aggregate in AGGREGATES {
        let own: Vec<Concluded> = got.iter().filter(|result| result.rule == aggregate).cloned().collect();
        compare(&own, wanted.to_vec(), aggregate)?;
    }
    Ok(())
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
        let same = match (result.value, right) {
            (Some(found), Some(right)) => close_to(found, right, aggregate),
            (found, right) => found == right,
        };
        prop_assert!(
            same,
            "{aggregate} of {source} until {}: {:?}, not {right:?}",
            end - T0,
            result.value
        );
        if aggregate.starts_with("topk") {
            prop_assert_eq!(&result.top, &top(events));
        }
    }
    Ok(())
}
