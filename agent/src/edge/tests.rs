//! Batches counted on a host: what leaves, and what is left to the hub.

use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::event::Event;
use streamflow_proto::filter::Columns;
use streamflow_proto::metric;

use super::*;

const T0: i64 = 1_700_000_040_000;

fn definition(series: &str, matches: &str, group_by: &[&str], keep_events: bool) -> MetricDefinition {
    MetricDefinition {
        series: series.to_owned(),
        name: series.to_owned(),
        matches: matches.to_owned(),
        aggregate: "count()".to_owned(),
        group_by: group_by.iter().map(|key| (*key).to_owned()).collect(),
        base_ms: 60_000,
        keep_events,
    }
}

fn edge(options: EdgeOptions, definitions: Vec<MetricDefinition>) -> (Edge, MetricsTaken) {
    let edge = Edge::new(options, "host".to_owned());
    let taken = edge.take(MetricsPush {
        version: 1,
        format: FORMAT,
        definitions,
    });
    (edge, taken)
}

fn builder(events: u64) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..events {
        let kind = if n % 2 == 0 { "even" } else { "odd" };
        let json = format!(r#"{{"type":"{kind}","source":"s","timestamp":{T0},"data":{{"n":{n}}}}}"#);
        builder.push_json(json.as_bytes(), T0).unwrap();
    }
    builder
}

/// Events that leave, and events counted by series.
fn sent(builder: &mut BatchBuilder, definitions: &[MetricDefinition]) -> (Vec<Event>, BTreeMap<String, u64>) {
    let batch = builder.finish(0).decode().unwrap();
    let carriers = metric::carriers(&batch).unwrap();
    let mut counted = BTreeMap::new();
    let mut events = Bitmap::new(batch.len(), true);
    if let Some(carriers) = carriers {
        events = carriers.not();
        let first = carriers.iter_ones().next().unwrap();
        assert_eq!(
            carriers.count_ones(),
            batch.len() - first,
            "they stand behind the events"
        );
        for (series, states) in metric::carried(&mut Columns::new(&batch), &carriers).unwrap() {
            let definition = definitions.iter().find(|one| one.series == series).unwrap();
            let ask = definition.compile().unwrap();
            let windows = states
                .iter()
                .flat_map(|(_, state)| metric::unpack(state, &ask).unwrap());
            counted.insert(series, windows.map(|window| window.events).sum());
        }
    }
    (batch.events(&events).unwrap(), counted)
}

#[test]
fn a_batch_leaves_with_what_was_counted_of_it() {
    let definitions = vec![
        definition("all", "true", &[], true),
        definition("even", "type == 'even'", &["type"], true),
    ];
    let (edge, taken) = edge(EdgeOptions::default(), definitions.clone());
    assert!(taken.refused.is_empty());
    let mut builder = builder(10);
    assert_eq!(edge.fold(&mut builder), 0);
    let (events, counted) = sent(&mut builder, &definitions);
    assert_eq!(events.len(), 10);
    assert_eq!(counted, [("all".to_owned(), 10), ("even".to_owned(), 5)].into());
    assert_eq!((edge.counters.partials.get(), edge.counters.events.get()), (2, 15));
    assert!(
        edge.status()
            .iter()
            .all(|metric| metric.refused.is_none() && metric.events >= 5)
    );
}

#[test]
fn events_that_need_not_be_sent_stay_here_unless_the_hub_has_to_count_them() {
    let quiet = definition("quiet", "type == 'even'", &[], false);
    let definitions = vec![quiet.clone(), definition("all", "true", &[], true)];
    let (edge, _) = self::edge(EdgeOptions::default(), definitions.clone());
    let mut first = builder(10);
    assert_eq!(edge.fold(&mut first), 5);
    let (events, counted) = sent(&mut first, &definitions);
    assert!(events.len() == 5 && events.iter().all(|event| event.kind == "odd"));
    assert_eq!(counted, [("all".to_owned(), 10), ("quiet".to_owned(), 5)].into());

    // Another metric has too many series here: the hub counts it, and needs every event for that.
    let wide = definition("wide", "true", &["data.n"], true);
    let definitions = vec![quiet, wide];
    let options = EdgeOptions {
        max_groups: 9,
        ..EdgeOptions::default()
    };
    let (edge, _) = self::edge(options, definitions.clone());
    let mut second = builder(10);
    assert_eq!(edge.fold(&mut second), 0);
    let (events, counted) = sent(&mut second, &definitions);
    assert_eq!((events.len(), counted), (10, [("quiet".to_owned(), 5)].into()));
    assert_eq!(edge.counters.declined().next(), Some((DeclineReason::Groups, 1)));
    let mut third = builder(9);
    edge.fold(&mut third);
    assert_eq!(sent(&mut third, &definitions).1["wide"], 9);
}

#[test]
fn events_are_sent_while_the_hub_counts_a_refused_metric_from_them() {
    let definitions = vec![
        definition("quiet", "type == 'even'", &[], false),
        definition("surplus", "true", &[], true),
    ];
    let options = EdgeOptions {
        max_metrics: 1,
        ..EdgeOptions::default()
    };
    let (edge, taken) = edge(options, definitions.clone());
    assert_eq!(taken.refused.len(), 1);
    let mut first = builder(10);
    assert_eq!(edge.fold(&mut first), 0);
    let (events, counted) = sent(&mut first, &definitions);
    assert_eq!((events.len(), counted), (10, [("quiet".to_owned(), 5)].into()));

    // When nobody wants it any more, they need not be.
    edge.take(MetricsPush {
        version: 2,
        format: FORMAT,
        definitions: vec![definitions[0].clone()],
    });
    assert_eq!(edge.fold(&mut builder(10)), 5);
}

#[test]
fn what_is_forgotten_is_counted_by_the_hub_until_it_is_pushed_again() {
    let definitions = vec![definition("quiet", "true", &[], false)];
    let (edge, _) = edge(EdgeOptions::default(), definitions.clone());
    edge.forget();
    let mut first = builder(4);
    assert_eq!(edge.fold(&mut first), 0);
    let (events, counted) = sent(&mut first, &definitions);
    assert_eq!((events.len(), counted.len()), (4, 0));
    assert!(edge.status().is_empty());
    edge.take(MetricsPush {
        version: 1,
        format: FORMAT,
        definitions,
    });
    assert_eq!(edge.fold(&mut builder(4)), 4);
}

#[test]
fn a_batch_without_room_stays_as_it_is() {
    let definitions = vec![definition("quiet", "true", &[], false)];
    let (edge, _) = edge(EdgeOptions::default(), definitions.clone());
    let mut builder = BatchBuilder::new();
    while !builder.is_full() {
        let json = format!(r#"{{"type":"t","source":"s","timestamp":{T0}}}"#);
        builder.push_json(json.as_bytes(), T0).unwrap();
    }
    let full = builder.len();
    assert_eq!(edge.fold(&mut builder), 0);
    let (events, counted) = sent(&mut builder, &definitions);
    assert_eq!((events.len(), counted.len()), (full, 0));
    assert_eq!(edge.counters.declined().nth(1), Some((DeclineReason::Size, 1)));
}

#[test]
fn what_is_wrong_or_too_much_is_refused_by_name() {
    let options = EdgeOptions {
        max_metrics: 1,
        ..EdgeOptions::default()
    };
    let definitions = vec![
        definition("broken", "type ==", &[], true),
        definition("costly", "data.a + 1 == data.b", &[], true),
        definition("good", "true", &[], true),
        definition("surplus", "true", &[], true),
    ];
    let (edge, taken) = edge(options, definitions.clone());
    let reasons: BTreeMap<String, String> = taken.refused.into_iter().collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons["broken"].contains("`match`"));
    assert!(reasons["costly"].contains("on columns alone"));
    assert!(reasons["surplus"].contains("at most 1 metrics"));
    let shown = edge.status();
    assert_eq!(shown.iter().filter(|metric| metric.refused.is_some()).count(), 3);
    let mut builder = builder(4);
    edge.fold(&mut builder);
    assert_eq!(sent(&mut builder, &definitions).1, [("good".to_owned(), 4)].into());

    let other = edge.take(MetricsPush {
        version: 2,
        format: FORMAT + 1,
        definitions: vec![definition("good", "true", &[], true)],
    });
    assert!(other.version == 2 && other.refused[0].1.contains("format"), "{other:?}");
}

#[test]
fn a_metric_that_fails_is_given_up_and_stays_so() {
    let definitions = vec![definition("a", "true", &[], true), definition("b", "true", &[], true)];
    let (edge, _) = edge(EdgeOptions::default(), definitions.clone());
    let failures = edge.failures();
    let failed = Arc::clone(&edge.state().live[0]);
    edge.fail(&failed);
    assert!(failures.has_changed().unwrap());
    assert_eq!(edge.taken().refused[0].0, "a");
    let again = edge.take(MetricsPush {
        version: 2,
        format: FORMAT,
        definitions,
    });
    assert_eq!(again.refused.len(), 1, "a push does not bring it back");
}
