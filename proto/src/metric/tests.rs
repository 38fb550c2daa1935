//! Edge and hub agree, whatever the frames; and what comes from another machine is never trusted.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use proptest::prelude::*;

use super::*;
use crate::{
    batch::Batch,
    bitmap::Bitmap,
    build::{BatchBuilder, Head, Scalar},
    event::Severity,
    filter::Columns,
    wire::MetricDefinition,
};

const T0: i64 = 1_700_000_040_000;

fn ask(aggregate: &str, matches: &str, group_by: &[&str]) -> Ask {
    definition(aggregate, matches, group_by).compile().unwrap()
}

fn definition(aggregate: &str, matches: &str, group_by: &[&str]) -> MetricDefinition {
    MetricDefinition {
        series: "s".to_owned(),
        name: "m".to_owned(),
        matches: matches.to_owned(),
        aggregate: aggregate.to_owned(),
        group_by: group_by.iter().map(|key| (*key).to_owned()).collect(),
        base_ms: 10_000,
        keep_events: true,
    }
}

#[derive(Debug, Clone)]
struct Sample {
    at: i64,
    source: u8,
    ms: Option<f64>,
    user: u16,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample =
        (0_i64..60_000, 0_u8..5, prop::option::of(-500_i32..50_000), 0_u16..400).prop_map(|(at, source, ms, user)| {
            Sample {
                at: T0 + at,
                source,
                ms: ms.map(|ms| f64::from(ms) / 8.0),
                user,
            }
        });
    prop::collection::vec(sample, 1..300)
}

fn push(builder: &mut BatchBuilder, sample: &Sample) {
    let ms = sample
        .ms
        .map_or(String::new(), |ms| format!(r#","data":{{"ms":{ms}}}"#));
    let json = format!(
        r#"{{"type":"t","source":"s{}","timestamp":{},"user_id":"u{}"{ms}}}"#,
        sample.source, sample.at, sample.user
    );
    builder.push_json(json.as_bytes(), sample.at).unwrap();
}

fn batch(samples: &[Sample]) -> Batch {
    let mut builder = BatchBuilder::new();
    samples.iter().for_each(|sample| push(&mut builder, sample));
    builder.view().unwrap()
}

/// What a batch adds, as carriers.
fn fold(ask: &Ask, batch: &Batch) -> Vec<Carrier> {
    let mut sheet = Sheet::new(batch).unwrap();
    let rows = sheet.matching(ask, &Bitmap::new(batch.len(), true)).unwrap();
    let mut gains = Gains::default();
    sheet.fold(ask, &rows, &mut gains, usize::MAX).unwrap();
    pack(&mut gains, &rows, &sheet.times()).unwrap()
}

type Values = BTreeMap<(i64, Vec<String>), Option<f64>>;

fn values(gains: &mut Gains) -> Values {
    gains
        .take()
        .map(|gain| ((gain.start, gain.labels.to_vec()), gain.gained.value(10_000)))
        .collect()
}

fn agree(hub: &Values, edge: &Values, tolerance: f64) -> bool {
    let near = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0),
        (a, b) => a == b,
    };
    hub.len() == edge.len() && hub.iter().zip(edge).all(|((k, a), (l, b))| k == l && near(a, b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn edge_and_hub_give_the_same_numbers(
        (samples, shuffled) in samples().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
        cuts in prop::collection::vec(1_usize..60, 1..40),
        kind in 0_usize..12,
    ) {
        // Exact, but for the order in which numbers are added.
        let (aggregate, tolerance) = [
            ("count()", 0.0), ("rate()", 0.0), ("min(data.ms)", 0.0), ("max(data.ms)", 0.0), ("first(data.ms)", 0.0), ("last(data.ms)", 0.0),
            ("p50(data.ms)", 0.0), ("p99(data.ms)", 0.0), ("distinct(user_id)", 0.0), ("sum(data.ms)", 1e-12), ("avg(data.ms)", 1e-12),
            ("stddev(data.ms)", 1e-9),
        ][kind];
        let ask = ask(aggregate, "source != 's4'", &["source"]);
        let whole = batch(&samples);
        let mut sheet = Sheet::new(&whole).unwrap();
        let rows = sheet.matching(&ask, &Bitmap::new(whole.len(), true)).unwrap();
        let mut hub = Gains::default();
        sheet.fold(&ask, &rows, &mut hub, usize::MAX).unwrap();

        let (mut edge, mut rest, mut cut) = (Gains::default(), &shuffled[..], cuts.iter().cycle());
        let mut events = 0;
        while !rest.is_empty() {
            let (part, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            rest = after;
            for carrier in fold(&ask, &batch(part)) {
                events += carrier.events;
                for partial in unpack(&carrier.state, &ask).unwrap() {
                    edge.merge(&ask, partial.start, partial.labels, &partial.gained, usize::MAX);
                }
            }
        }
        prop_assert_eq!(events, rows.count_ones() as u64);
        let (hub, edge) = (values(&mut hub), values(&mut edge));
        prop_assert!(agree(&hub, &edge, tolerance), "{aggregate}: {hub:?} and {edge:?}");
    }

    #[test]
    fn changed_bytes_are_refused_or_harmless(
        samples in samples(), kind in 0_usize..4, at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let aggregate = ["count()", "p99(data.ms)", "distinct(user_id)", "stddev(data.ms)"][kind];
        let ask = ask(aggregate, "true", &[]);
        let batch = batch(&samples);
        for carrier in fold(&ask, &batch) {
            let good = BASE64.decode(&carrier.state).unwrap();
            let mut changed = good.clone();
            *at.get_mut(&mut changed) = value;
            for bytes in [&changed[..], &good[..cut.index(good.len())]] {
                let Ok(partials) = unpack(&BASE64.encode(bytes), &ask) else { continue };
                let mut gains = Gains::default();
                // Twice into one, and on top of what was right.
                for partial in partials.iter().chain(&partials).chain(&unpack(&carrier.state, &ask).unwrap()) {
                    gains.merge(&ask, partial.start, partial.labels.clone(), &partial.gained, 100);
                }
                values(&mut gains);
            }
        }
    }
}

#[test]
fn windows_of_another_metric_are_refused() {
    let batch = batch(&[Sample {
        at: T0,
        source: 1,
        ms: Some(5.0),
        user: 1,
    }]);
    let carriers = fold(&ask("p99(data.ms)", "true", &[]), &batch);
    let state = &carriers[0].state;
    assert_eq!(unpack(state, &ask("p99(data.ms)", "true", &[])).unwrap()[0].events, 1);
    for other in [
        ask("p50(data.ms)", "true", &[]),
        ask("avg(data.ms)", "true", &[]),
        ask("p99(data.ms)", "true", &["source"]),
    ] {
        assert!(unpack(state, &other).is_err(), "{other:?}");
    }
    let mut bytes = BASE64.decode(state).unwrap();
    bytes[0] = FORMAT + 1;
    let refused = unpack(&BASE64.encode(bytes), &ask("p99(data.ms)", "true", &[]));
    assert!(matches!(refused, Err(PartialError::Format(format)) if format == FORMAT + 1));
}

#[test]
fn what_a_host_must_not_take_is_refused_with_a_reason() {
    for (aggregate, matches, group_by, reason) in [
        ("count()", "type ==", &[][..], "`match`"),
        ("count()", "data.a * 2 > data.b", &[], "on columns alone"),
        ("median(data.ms)", "true", &[], "`aggregate`"),
        ("topk(3, data.path)", "true", &[], "topk"),
        ("count()", "true", &["nope"], "`group_by`"),
    ] {
        let refused = definition(aggregate, matches, group_by).compile().unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    let window = MetricDefinition {
        base_ms: 7000,
        ..definition("count()", "true", &[])
    };
    assert!(window.compile().unwrap_err().contains("7000 ms"));
}

#[test]
fn carriers_are_known_also_where_columns_have_run_out() {
    let mut builder = BatchBuilder::new();
    for n in 0..300 {
        let json = format!(r#"{{"type":"t","source":"s","timestamp":{T0},"data":{{"key{n}":{n}}}}}"#);
        builder.push_json(json.as_bytes(), T0).unwrap();
    }
    assert!(!builder.has_kind(PARTIALS));
    let ask = ask("count()", "true", &[]);
    let batch = builder.view().unwrap();
    assert!(carriers(&batch).unwrap().is_none());
    let packed = fold(&ask, &batch);
    let head = Head {
        kind: PARTIALS,
        source: "host",
        timestamp_ms: packed[0].last,
        severity: Severity::Low,
        id: None,
        metadata: None,
    };
    let fields = [("series", Scalar::Str("s")), ("state", Scalar::Str(&packed[0].state))];
    builder.push_fields(&head, &fields).unwrap();
    assert!(builder.has_kind(PARTIALS));
    let batch = builder.finish(1).decode().unwrap();
    let rows = carriers(&batch).unwrap().unwrap();
    assert_eq!(rows.iter_ones().collect::<Vec<_>>(), [300]);
    let found = carried(&mut Columns::new(&batch), &rows).unwrap();
    let (row, state) = &found["s"][0];
    assert_eq!(*row, 300);
    assert_eq!(unpack(state, &ask).unwrap()[0].events, 300);
}

#[test]
fn many_series_are_spread_over_carriers_and_too_many_are_not_packed() {
    let distinct = ask("distinct(user_id)", "true", &["user_id"]);
    let many = |n: u16| {
        let sample = |user| Sample {
            at: T0,
            source: 0,
            ms: None,
            user,
        };
        batch(&(0..n).map(sample).collect::<Vec<_>>())
    };
    let carriers = fold(&distinct, &many(800));
    assert!(carriers.len() > 1, "{}", carriers.len());
    assert!(carriers.iter().all(|carrier| carrier.state.len() < 60_000));
    let read: usize = carriers
        .iter()
        .map(|carrier| unpack(&carrier.state, &distinct).unwrap().len())
        .sum();
    assert_eq!(read, 800);
    let batch = many(4000);
    let mut sheet = Sheet::new(&batch).unwrap();
    let rows = Bitmap::new(batch.len(), true);
    let mut gains = Gains::default();
    sheet.fold(&distinct, &rows, &mut gains, usize::MAX).unwrap();
    assert!(matches!(
        pack(&mut gains, &rows, &sheet.times()),
        Err(PartialError::TooLarge)
    ));
}
