//! What hosts counted against what the hub counts of the same events, over crashes and in merged chunks.

use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::{Head, Scalar},
    chunk,
    event::Severity,
    metric::{Gains, MAX_CARRIED, PARTIALS, Sheet, pack},
};

use super::*;
use crate::follow::hide_partials;

/// How a frame was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// By an agent to which nothing was pushed.
    Raw,
    /// With what was counted of it.
    Counted,
    /// What was counted instead of the events.
    Alone,
}

/// A frame as an agent sends it to which these metrics were pushed.
fn frame(events: &[Value], metrics: &[Arc<Metric>], sent: Sent) -> Arc<Batch> {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push_json(event.to_string().as_bytes(), T0).unwrap();
    }
    let batch = builder.view().unwrap();
    let mut sheet = Sheet::new(&batch).unwrap();
    for metric in metrics.iter().filter(|_| sent != Sent::Raw) {
        let definition = metric.definition();
        let ask = definition.compile().unwrap();
        let rows = sheet.matching(&ask, &Bitmap::new(batch.len(), true)).unwrap();
        let mut gains = Gains::default();
        sheet.fold(&ask, &rows, &mut gains, usize::MAX).unwrap();
        for carrier in pack(&mut gains, &rows, &sheet.times()).unwrap() {
            carry(&mut builder, &definition.series, &carrier.state, carrier.last);
        }
    }
    if sent == Sent::Alone {
        builder.retain(&Bitmap::from_fn(builder.len(), |row| row >= events.len()));
    }
    Arc::new(builder.finish(1).decode().unwrap())
}

fn carry(builder: &mut BatchBuilder, series: &str, state: &str, at: i64) {
    let head = Head {
        kind: PARTIALS,
        source: "host-1",
        timestamp_ms: at,
        severity: Severity::Low,
        id: None,
        metadata: None,
    };
    let fields = [("series", Scalar::Str(series)), ("state", Scalar::Str(state))];
    builder.push_fields(&head, &fields).unwrap();
}

fn span(position: u64, agent: &str, stored_at: i64, start: usize, end: usize) -> RowSpan {
    RowSpan {
        position,
        agent: agent.into(),
        stored_at,
        start: u32::try_from(start).unwrap(),
        end: u32::try_from(end).unwrap(),
    }
}

fn alone(position: u64, batch: Arc<Batch>) -> LogBatch {
    let spans = vec![span(position, "host-1", T0 + 2 * DAY, 0, batch.len())];
    LogBatch { batch, spans }
}

/// Several frames as the store merges them.
fn merged(first: u64, frames: &[Arc<Batch>]) -> LogBatch {
    let (mut spans, mut start) = (Vec::new(), 0);
    for (frame, position) in frames.iter().zip(first..) {
        spans.push(span(position, "host-1", T0 + 2 * DAY, start, start + frame.len()));
        start += frame.len();
    }
    let frames: Vec<&Batch> = frames.iter().map(|frame| &**frame).collect();
    let batch = Arc::new(chunk::open(chunk::encode(&frames, 1).unwrap().body.into()).unwrap());
    LogBatch { batch, spans }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn hosts_and_hub_count_the_same_over_crashes(
        frames in prop::collection::vec((prop::collection::vec((-DAY..2 * DAY, 0usize..4, -1000i32..1000), 1..20), 0_usize..3), 1..14),
        steps in prop::collection::vec(0u8..6, 0..30),
    ) {
        let metrics = [
            metric("n", json!({"group_by": ["source"], "placement": "edge"})),
            metric("slow", json!({"aggregate": "p90(data.x)", "match": "data.x > -500", "window": "10s", "placement": "edge"})),
        ];
        let now = T0 + 2 * DAY;
        let events = |of: &[(i64, usize, i32)]| of.iter().map(event).collect::<Vec<_>>();
        let mut plain = Shelf::default();
        let (mut recorder, mut ledger) = start(&metrics, 100);
        for ((of, _), position) in frames.iter().zip(1..) {
            recorder.record(&log(position, now, &events(of)));
        }
        plain.flush(&mut recorder, &mut ledger, frames.len(), now);

        let sent: Vec<Arc<Batch>> = frames
            .iter()
            .map(|(of, how)| frame(&events(of), &metrics, [Sent::Raw, Sent::Counted, Sent::Alone][*how]))
            .collect();
        let mut shelf = Shelf::default();
        (recorder, ledger) = start(&metrics, 100);
        let mut read = 0;
        for step in steps.iter().chain(std::iter::repeat(&1)) {
            match step {
                // Killed: what was not written is read again.
                0 => {
                    (recorder, ledger) = start(&metrics, 100);
                    read = shelf.position;
                }
                2 => drop(shelf.flush(&mut recorder, &mut ledger, read, now)),
                _ if read >= sent.len() => break,
                3 => {
                    let end = (read + 3).min(sent.len());
                    recorder.record(&merged(read as u64 + 1, &sent[read..end]));
                    read = end;
                }
                _ => {
                    let recorded = recorder.record(&alone(read as u64 + 1, Arc::clone(&sent[read])));
                    prop_assert_eq!(recorded.partials.refused, 0);
                    read += 1;
                }
            }
        }
        shelf.flush(&mut recorder, &mut ledger, read, now);
        for resolution in [10_000, MINUTE, HOUR, DAY] {
            for name in ["n", "slow"] {
                prop_assert_eq!(shelf.values(name, resolution), plain.values(name, resolution));
            }
        }
    }
}

#[test]
fn carriers_are_no_events_of_any_metric_or_rule() {
    let pushed = metric("n", json!({"placement": "edge"}));
    let metrics = [pushed.clone(), metric("everything", json!({}))];
    let events: Vec<Value> = (0..5).map(|n| event(&(n, 0, 1))).collect();
    let mut log = alone(1, frame(&events, &[pushed], Sent::Counted));
    let (mut recorder, mut ledger) = start(&metrics, 10);
    let recorded = recorder.record(&log);
    assert_eq!((recorded.events, recorded.partials.merged), (5, 1));
    let mut shelf = Shelf::default();
    shelf.flush(&mut recorder, &mut ledger, 1, T0 + 2 * DAY);
    for name in ["n", "everything"] {
        assert_eq!(
            shelf.values(name, DAY).into_values().collect::<Vec<_>>(),
            [5.0],
            "{name}"
        );
    }
    let mut engine = crate::engine::Engine::new(crate::Options::default(), i64::MIN);
    assert_eq!(engine.ingest(&log).events, 5);
    hide_partials(&mut log);
    assert_eq!((log.spans[0].start, log.spans[0].end), (0, 5));
}

#[test]
fn what_cannot_be_read_or_is_forged_is_counted_from_the_events() {
    let metrics = [metric("n", json!({"placement": "edge"}))];
    let events: Vec<Value> = (0..5).map(|n| event(&(n, 0, 1))).collect();
    let build = |state: &str| {
        let mut builder = BatchBuilder::new();
        for event in &events {
            builder.push_json(event.to_string().as_bytes(), T0).unwrap();
        }
        carry(&mut builder, "n", state, T0);
        Arc::new(builder.finish(1).decode().unwrap())
    };
    let good = frame(&events, &metrics, Sent::Counted);
    let mut forged = alone(2, good);
    forged.spans[0].agent = "@http".into();
    let (mut recorder, mut ledger) = start(&metrics, 10);
    let refused: u64 = ["", "AQ", "!", "/////w"]
        .iter()
        .zip(3..)
        .map(|(state, position)| recorder.record(&alone(position, build(state))).partials.refused)
        .sum();
    assert_eq!(refused, 4);
    assert_eq!(
        recorder.record(&forged).partials,
        super::super::counted::Merged::default()
    );
    hide_partials(&mut forged);
    assert_eq!(forged.spans[0].end, 6, "it is somebody's event");
    let mut shelf = Shelf::default();
    shelf.flush(&mut recorder, &mut ledger, 7, T0 + 2 * DAY);
    let total: f64 = shelf.values("n", DAY).into_values().sum();
    assert_eq!(total, 4.0 * 5.0 + 6.0);
}

fn stored_later(mut log: LogBatch) -> LogBatch {
    for span in &mut log.spans {
        span.stored_at = T0 + 4 * DAY;
    }
    log
}

/// After an absence thousands of windows come in few rows: the limit of series is for series, not for windows.
#[test]
fn many_windows_at_once_are_not_taken_for_many_series() {
    let metrics = [metric("n", json!({"group_by": ["source"], "placement": "edge"}))];
    let frames: Vec<Arc<Batch>> = (0..200)
        .map(|frame| {
            let events: Vec<Value> = (0..50_i64)
                .map(|n| event(&((frame * 25 + n / 2) * MINUTE, (n % 2) as usize, 0)))
                .collect();
            self::frame(&events, &metrics, Sent::Alone)
        })
        .collect();
    let (mut recorder, mut ledger) = start(&metrics, 3);
    let mut shelf = Shelf::default();
    let (chunk, single) = frames.split_at(100);
    recorder.record(&stored_later(merged(1, chunk)));
    for (frame, position) in single.iter().zip(101..) {
        recorder.record(&stored_later(alone(position, Arc::clone(frame))));
    }
    assert_eq!(recorder.pending(), 10_000);
    assert_eq!(shelf.flush(&mut recorder, &mut ledger, 200, T0 + 4 * DAY), 0);
    let days: BTreeMap<String, f64> =
        shelf
            .values("n", DAY)
            .into_iter()
            .fold(BTreeMap::new(), |mut days, ((_, labels), value)| {
                *days.entry(labels.join(",")).or_default() += value;
                days
            });
    assert_eq!(days, [("s0".to_owned(), 5000.0), ("s1".to_owned(), 5000.0)].into());
}

#[test]
fn more_than_an_agent_sends_with_a_frame_is_not_merged() {
    let metrics = [metric("n", json!({"placement": "edge"}))];
    let events: Vec<Value> = (0..5).map(|n| event(&(n, 0, 1))).collect();
    let mut gains_of = BatchBuilder::new();
    for event in &events {
        gains_of.push_json(event.to_string().as_bytes(), T0).unwrap();
    }
    let batch = gains_of.view().unwrap();
    let ask = metrics[0].definition().compile().unwrap();
    let rows = Bitmap::new(batch.len(), true);
    let mut sheet = Sheet::new(&batch).unwrap();
    let mut gains = Gains::default();
    sheet.fold(&ask, &rows, &mut gains, usize::MAX).unwrap();
    let state = pack(&mut gains, &rows, &sheet.times()).unwrap().remove(0).state;
    let mut builder = BatchBuilder::new();
    for event in &events {
        builder.push_json(event.to_string().as_bytes(), T0).unwrap();
    }
    for _ in 0..2 * MAX_CARRIED / state.len() + 1 {
        carry(&mut builder, "n", &state, T0);
    }
    let (mut recorder, _) = start(&metrics, 10);
    let recorded = recorder.record(&alone(1, Arc::new(builder.finish(1).decode().unwrap())));
    assert_eq!(
        (recorded.events, recorded.partials.refused, recorded.partials.merged),
        (5, 1, 0)
    );
}
