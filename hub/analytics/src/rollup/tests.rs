//! Recorder and ledger against a plain computation, over crashes; stored bytes against golden ones.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::{Value, json};
use streamflow_model::{
    Instant, Metric, MetricDraft,
    metric::{DAY, HOUR, MINUTE},
};
use streamflow_proto::{
    aggregate::{Accumulator, AggregateSpec},
    build::BatchBuilder,
    filter::Columns,
};
use streamflow_storage::store::{LogBatch, RollupRow, RollupSeries, RowSpan};

use super::{
    builtin, codec,
    ledger::{Keep, Ledger, window_start},
    recorder::{Bounds, Recorder},
};

mod edge;

/// Begin of a day.
const T0: i64 = 1_699_920_000_000;
const KEEP: Keep = Keep {
    fine: DAY,
    minutes: 60 * DAY,
    hours: 400 * DAY,
    days: 3650 * DAY,
};

fn metric(name: &str, more: Value) -> Arc<Metric> {
    let mut body = json!({"name": name});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let draft: MetricDraft = serde_json::from_value(body).unwrap();
    draft.compile().unwrap();
    Arc::new(Metric {
        id: draft.id(),
        draft,
        builtin: false,
        series_id: name.to_owned(),
        since: Instant(0),
        version: 1,
        created_at: Instant(0),
        updated_at: Instant(0),
    })
}

fn log(position: u64, stored_at: i64, events: &[Value]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push_json(event.to_string().as_bytes(), stored_at).unwrap();
    }
    let batch = Arc::new(builder.finish(position).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    let span = RowSpan {
        position,
        agent: "host-1".into(),
        stored_at,
        start: 0,
        end,
    };
    LogBatch {
        batch,
        spans: vec![span],
    }
}

type Key = (String, i64, i64, Vec<String>);

/// What the store holds.
#[derive(Default)]
struct Shelf {
    rows: BTreeMap<Key, Vec<u8>>,
    position: usize,
}

impl Shelf {
    fn put(&mut self, rows: Vec<RollupRow>, position: usize) {
        self.position = position;
        for row in rows {
            let key = (row.metric.to_string(), row.resolution, row.start, row.labels.to_vec());
            self.rows.insert(key, row.body);
        }
    }

    fn flush(&mut self, recorder: &mut Recorder, ledger: &mut Ledger, position: usize, now: i64) -> u64 {
        let deltas = recorder.take();
        for (series_id, resolution) in ledger.unknown(&deltas) {
            let own = self
                .rows
                .keys()
                .filter(|key| key.0 == *series_id && key.1 == resolution);
            let newest = own.map(|key| key.2).max();
            ledger.know(series_id, resolution, newest);
        }
        for key in ledger.missing(&deltas) {
            let own = self
                .rows
                .iter()
                .filter(|(of, _)| of.0 == *key.series_id && of.1 == key.resolution && of.2 == key.start);
            let stored = own.map(|(of, body)| RollupSeries {
                labels: of.3.clone(),
                windows: vec![(of.2, body.clone())],
            });
            let stored = stored.collect();
            assert_eq!(ledger.load(key, stored), 0);
        }
        let applied = ledger.apply(deltas, KEEP, now);
        ledger.trim();
        self.put(applied.rows, position);
        applied.surplus
    }

    fn values(&self, metric: &str, resolution: i64) -> BTreeMap<(i64, Vec<String>), f64> {
        let own = self
            .rows
            .iter()
            .filter(|(key, _)| key.0 == metric && key.1 == resolution);
        own.map(|(key, body)| {
            (
                (key.2, key.3.clone()),
                codec::decode(body).unwrap().value(resolution).unwrap(),
            )
        })
        .collect()
    }
}

fn start(metrics: &[Arc<Metric>], series: usize) -> (Recorder, Ledger) {
    let mut recorder = Recorder::new(Bounds {
        series,
        future: 600_000,
        age: KEEP.days,
    });
    assert!(recorder.set(metrics).is_empty());
    (recorder, Ledger::new(series))
}

fn event((at, source, value): &(i64, usize, i32)) -> Value {
    json!({"type": "a", "source": format!("s{source}"), "timestamp": T0 + at, "data": {"x": value}})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn windows_equal_a_plain_computation_over_crashes(
        batches in prop::collection::vec(prop::collection::vec((-DAY..2 * DAY, 0usize..4, -1000i32..1000), 1..20), 1..12),
        steps in prop::collection::vec(0u8..4, 0..30),
    ) {
        let metrics = [
            metric("n", json!({"group_by": ["source"]})),
            metric("total", json!({"aggregate": "sum(data.x)", "window": "10s"})),
            metric("least", json!({"aggregate": "min(data.x)", "match": "data.x >= 0", "group_by": ["source", "type"]})),
        ];
        let logs: Vec<LogBatch> = batches
            .iter()
            .zip(1..)
            .map(|(events, position)| log(position, T0 + 2 * DAY, &events.iter().map(event).collect::<Vec<_>>()))
            .collect();
        let now = T0 + 2 * DAY;
        let mut shelf = Shelf::default();
        let (mut recorder, mut ledger) = start(&metrics, 100);
        let mut read = 0;
        for step in steps.iter().chain(std::iter::repeat(&1)) {
            match step {
                // Killed: what was not written is read again.
                0 => {
                    (recorder, ledger) = start(&metrics, 100);
                    read = shelf.position;
                }
                2 => drop(shelf.flush(&mut recorder, &mut ledger, read, now)),
                _ if read < logs.len() => {
                    prop_assert_eq!(recorder.record(&logs[read]).events, batches[read].len() as u64);
                    read += 1;
                }
                _ => break,
            }
        }
        shelf.flush(&mut recorder, &mut ledger, read, now);
        let all: Vec<&(i64, usize, i32)> = batches.iter().flatten().collect();
        for resolution in [10_000, MINUTE, HOUR, DAY] {
            let mut counts: BTreeMap<(i64, Vec<String>), f64> = BTreeMap::new();
            let mut sums: BTreeMap<(i64, Vec<String>), f64> = BTreeMap::new();
            let mut least: BTreeMap<(i64, Vec<String>), f64> = BTreeMap::new();
            for (at, source, value) in &all {
                let start = window_start(T0 + at, resolution);
                *counts.entry((start, vec![format!("s{source}")])).or_default() += 1.0;
                if resolution != 10_000 || start >= now - KEEP.fine {
                    *sums.entry((start, Vec::new())).or_default() += f64::from(*value);
                }
                if *value >= 0 {
                    let entry = least.entry((start, vec![format!("s{source}"), "a".to_owned()])).or_insert(f64::INFINITY);
                    *entry = entry.min(f64::from(*value));
                }
            }
            if resolution > 10_000 {
                prop_assert_eq!(shelf.values("n", resolution), counts);
                prop_assert_eq!(shelf.values("least", resolution), least);
            }
            prop_assert_eq!(shelf.values("total", resolution), sums);
        }
    }
}

#[test]
fn surplus_series_are_other_and_the_total_stays_exact() {
    let metrics = [metric("n", json!({"group_by": ["source"]}))];
    let mut shelf = Shelf::default();
    let (mut recorder, mut ledger) = start(&metrics, 3);
    let mut surplus = 0;
    for (position, from) in [(1, 0), (2, 5)] {
        let events: Vec<Value> = (from..from + 5)
            .flat_map(|n| [event(&(n as i64, n, 0)), event(&(n as i64, 0, 0))])
            .collect();
        recorder.record(&log(position, T0 + 1000, &events));
        surplus += shelf.flush(&mut recorder, &mut ledger, position as usize, T0 + 1000);
        (recorder, ledger) = start(&metrics, 3);
    }
    for resolution in [MINUTE, HOUR, DAY] {
        let values = shelf.values("n", resolution);
        let of = |label: &str| values.get(&(T0, vec![label.to_owned()])).copied();
        assert_eq!(values.len(), 4, "{values:?}");
        assert_eq!(
            (of("s0"), of("other"), values.values().sum::<f64>()),
            (Some(11.0), Some(7.0), 20.0)
        );
    }
    assert_eq!(surplus, 7);
    // The next day has room again.
    recorder.record(&log(3, T0 + DAY, &[event(&(DAY, 77, 0))]));
    shelf.flush(&mut recorder, &mut ledger, 3, T0 + DAY);
    assert!(shelf.values("n", DAY).contains_key(&(T0 + DAY, vec!["s77".to_owned()])));
}

#[test]
fn a_flood_of_series_in_one_batch_is_bounded() {
    let metrics = [metric(
        "n",
        json!({"group_by": ["source"], "aggregate": "distinct(data.x)"}),
    )];
    let (mut recorder, _) = start(&metrics, 10);
    let events: Vec<Value> = (0..5000).map(|n| event(&(0, n, 0))).collect();
    recorder.record(&log(1, T0, &events));
    assert_eq!(recorder.pending(), 81);
}

#[test]
fn events_out_of_time_and_before_a_metric_are_left_out() {
    let late = Arc::new(Metric {
        since: Instant(T0 + 5),
        ..Metric::clone(&metric("late", json!({})))
    });
    let metrics = [metric("n", json!({})), late];
    let (mut recorder, mut ledger) = start(&metrics, 10);
    let mut shelf = Shelf::default();
    let one = |at: i64| event(&(at, 0, 0));
    let first = recorder.record(&log(1, T0, &[one(0), one(600_001), one(-3651 * DAY)]));
    assert_eq!(
        (first.events, first.future, first.expired, first.unreadable),
        (3, 1, 1, 0)
    );
    recorder.record(&log(2, T0 + 5, &[one(1), one(2)]));
    shelf.flush(&mut recorder, &mut ledger, 2, T0);
    assert_eq!(shelf.values("n", DAY).into_values().collect::<Vec<_>>(), [3.0]);
    assert_eq!(shelf.values("late", DAY).into_values().collect::<Vec<_>>(), [2.0]);
}

#[test]
fn devices_and_shipped_metrics_work() {
    let metrics: Vec<Arc<Metric>> = builtin::metrics().into_iter().map(Arc::new).collect();
    let (mut recorder, mut ledger) = start(&metrics, 10);
    let agent = |user: &str, agent: Value| json!({"type": "web.click", "source": "w", "user_id": user, "timestamp": T0, "data": {"user_agent": agent}});
    let events = [
        agent(
            "u1",
            json!("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148"),
        ),
        agent(
            "u2",
            json!("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148"),
        ),
        agent("u2", json!("curl/8.5.0")),
        json!({"type": "log", "source": "w", "timestamp": T0}),
    ];
    recorder.record(&log(1, T0, &events));
    let mut shelf = Shelf::default();
    shelf.flush(&mut recorder, &mut ledger, 1, T0);
    let of = |id: &str| -> Vec<(String, f64)> {
        let name = format!("builtin-1:{id}");
        shelf
            .values(&name, DAY)
            .into_iter()
            .map(|((_, labels), value)| (labels.join(","), value))
            .collect()
    };
    let pair = |label: &str, value: f64| (label.to_owned(), value);
    assert_eq!(of(builtin::BY_DEVICE), [pair("bot", 1.0), pair("mobile", 2.0)]);
    assert_eq!(of(builtin::USERS_BY_DEVICE), [pair("bot", 1.0), pair("mobile", 2.0)]);
    assert_eq!(of(builtin::USERS), [pair("", 2.0)]);
    assert_eq!(of(builtin::BY_TYPE), [pair("log", 1.0), pair("web.click", 3.0)]);
    assert_eq!(of(builtin::BY_SEVERITY), [pair("medium", 4.0)]);
}

/// Windows that were stored once must read as long as the codec has this version. The sketches' bytes are their libraries' own.
#[test]
fn stored_bytes_keep_their_meaning() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rollup/golden.txt")).unwrap();
    let fresh = |text: &str| {
        let spec = AggregateSpec::parse(text).unwrap();
        let events: Vec<Value> = [3, -5, 8]
            .iter()
            .zip(0..)
            .map(|(x, n)| event(&(i64::from(n), n as usize, *x)))
            .collect();
        let log = log(1, T0, &events);
        let mut columns = Columns::new(&log.batch);
        let mut accumulators = vec![Accumulator::new(&spec)];
        let rows = streamflow_proto::bitmap::Bitmap::new(3, true);
        streamflow_proto::aggregate::fold(&spec, &mut columns, &rows, &[0; 3], &mut accumulators).unwrap();
        accumulators.remove(0)
    };
    assert_eq!(golden.lines().count(), 9);
    for line in golden.lines() {
        let [text, hex, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let byte = |n: usize| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2).map(byte).collect();
        let mut read = codec::decode(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.value(MINUTE), Some(value.parse().unwrap()), "{text}");
        read.merge(&fresh(text));
        assert_eq!(read.samples(), 6, "{text}: merges with what is made today");
        for cut in 0..bytes.len() {
            assert!(codec::decode(&bytes[..cut]).is_err(), "{text} cut at {cut}");
        }
    }
}
