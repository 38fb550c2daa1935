use std::sync::Arc;

use serde_json::json;
use streamflow_proto::build::BatchBuilder;
use streamflow_storage::store::RowSpan;

use super::*;

const NOW: i64 = 1_700_000_000_000;

fn log(stored_at: i64, events: &[serde_json::Value]) -> LogBatch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push_json(event.to_string().as_bytes(), stored_at).unwrap();
    }
    let batch = Arc::new(builder.finish(1).decode().unwrap());
    let end = u32::try_from(batch.len()).unwrap();
    LogBatch {
        batch,
        spans: vec![RowSpan {
            position: 1,
            agent: "h".into(),
            stored_at,
            start: 0,
            end,
        }],
    }
}

fn click() -> serde_json::Value {
    json!({"type": "click", "source": "s", "timestamp": NOW})
}

fn metric(at: i64, value: f64, mount: &str) -> serde_json::Value {
    json!({"type": "metric", "source": "web", "timestamp": at,
        "data": {"name": "host.disk.used_percent", "unit": "percent", "value": value, "labels": {"mount": mount}}})
}

#[test]
fn counts_by_second_with_zeros_between() {
    let mut view = Realtime::default();
    let error = json!({"type": "error", "source": "s", "timestamp": NOW});
    view.record(&log(NOW - 3000, &[click(), click(), error]), NOW).unwrap();
    view.record(&log(NOW - 1000, &[click()]), NOW).unwrap();
    let snapshot = view.snapshot(NOW + 500);
    assert_eq!((snapshot.at, snapshot.events_per_second), (NOW, 1));
    assert_eq!(
        snapshot.types[0].points,
        [(NOW - 3000, 2), (NOW - 2000, 0), (NOW - 1000, 1)]
    );
    assert_eq!(
        (snapshot.types[1].kind.as_str(), snapshot.types[1].points[0]),
        ("error", (NOW - 3000, 1))
    );
    assert_eq!(view.tick(0, NOW + 500).types, [("click".to_owned(), 1)].into());
    // It falls out of view.
    view.record(&log(NOW + SPAN_MS, &[click()]), NOW + SPAN_MS).unwrap();
    assert_eq!(view.snapshot(NOW + SPAN_MS + 1000).types.len(), 1);
}

#[test]
fn keeps_the_newest_value_of_each_second_and_label() {
    let mut view = Realtime::default();
    let other =
        json!({"type": "metric", "source": "web", "timestamp": NOW, "data": {"name": "queue.length", "value": 1}});
    view.record(
        &log(
            NOW,
            &[
                metric(NOW - 1500, 1.0, "/"),
                metric(NOW - 1200, 2.0, "/"),
                metric(NOW, 3.0, "/"),
                metric(NOW, 9.0, "/home"),
                other,
            ],
        ),
        NOW,
    )
    .unwrap();
    let hosts = view.snapshot(NOW).hosts;
    assert_eq!((hosts.len(), hosts[0].metrics.len()), (1, 2));
    assert_eq!(hosts[0].metrics[0].points, [(NOW - 2000, 2.0), (NOW, 3.0)]);
    assert_eq!(
        view.tick(NOW - 1, NOW)
            .hosts
            .iter()
            .map(|p| p.value)
            .collect::<Vec<_>>(),
        [3.0, 9.0]
    );
    assert!(view.tick(NOW, NOW).hosts.is_empty());
}

#[test]
fn the_number_of_types_is_bounded() {
    let mut view = Realtime::default();
    let events: Vec<_> = (0..100)
        .map(|i| json!({"type": format!("t{i:03}"), "source": "s"}))
        .collect();
    view.record(&log(NOW, &events), NOW).unwrap();
    let types = view.snapshot(NOW + 1000).types;
    assert_eq!(types.len(), 65);
    assert_eq!(types.iter().find(|t| t.kind == "other").unwrap().points, [(NOW, 36)]);
}

#[test]
fn a_type_out_of_view_gives_its_place_to_a_new_one() {
    let mut view = Realtime::default();
    let events = |prefix: &str, count: usize| -> Vec<_> {
        (0..count)
            .map(|i| json!({"type": format!("{prefix}{i:03}"), "source": "s"}))
            .collect()
    };
    view.record(&log(NOW, &events("old", 70)), NOW).unwrap();
    let half = NOW + SPAN_MS / 2;
    view.record(&log(half, &events("old", 40)), half).unwrap();
    let later = NOW + SPAN_MS + 1000;
    view.record(&log(later, &events("new", 30)), later).unwrap();
    let types = view.snapshot(later + 1000).types;
    let of = |prefix: &str| types.iter().filter(|t| t.kind.starts_with(prefix)).count();
    assert_eq!(
        (of("old"), of("new")),
        (40, 24),
        "24 places were free, 40 types are still in view"
    );
    let other = types.iter().find(|t| t.kind == "other").unwrap();
    assert_eq!(other.points.iter().map(|(_, count)| count).sum::<u64>(), 6);
    let new = types.iter().find(|t| t.kind == "new000").unwrap();
    assert_eq!(
        new.points.iter().map(|(_, count)| count).sum::<u64>(),
        1,
        "nothing of the old type"
    );
    let tick = view.tick(0, later + 1000);
    assert_eq!((tick.events_per_second, tick.types.len()), (30, 25));
}
