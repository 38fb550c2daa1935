//! The windows that `tests/bench/window_peers.py` asks of other engines, over the same file.
//!
//! `window_peer make EVENTS FILE` writes events as JSON lines, in the order of their time; `window_peer run FILE RESULTS` computes the windows and writes each
//! as `rule,end,key,value`, and prints what it took.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may fail"
)]

use std::{fmt::Write, fs, io::Write as _, sync::Arc, time::Instant};

use serde_json::json;
use streamflow_analytics::{Options, engine::Engine};
use streamflow_model::{Rule, Signal};
use streamflow_proto::build::BatchBuilder;
use streamflow_storage::store::{LogBatch, RowSpan};

const BATCH: usize = 1000;
const KEYS: u64 = 10_000;
const START: i64 = 1_780_000_020_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", events, file] => make(events.parse().unwrap(), file),
        ["run", file, results] => run(file, results),
        _ => println!("window_peer make EVENTS FILE | run FILE RESULTS"),
    }
}

fn make(events: i64, file: &str) {
    let mut out = std::io::BufWriter::new(fs::File::create(file).unwrap());
    let mut seed = 7_u64;
    for number in 0..events {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (random, at) = (seed >> 33, START + number / 2);
        writeln!(
            out,
            r#"{{"type":"type.{}","source":"host-{}","user_id":"user-{}","timestamp":{at},"data":{{"ms":{},"path":"/item/{}"}}}}"#,
            random % 20,
            random / 20 % 50,
            random / 1000 % KEYS,
            random % 997,
            random % 300
        )
        .unwrap();
    }
}

fn rule(id: &str, aggregate: &str, window: serde_json::Value, by: &str) -> Rule {
    serde_json::from_value(json!({
        "id": id, "name": id, "match": "true", "aggregate": aggregate, "window": window, "group_by": [by], "evaluate": "on_close",
        "condition": "value >= 0", "version": 1, "created_at": 0, "updated_at": 0,
    }))
    .unwrap()
}

fn run(file: &str, results: &str) {
    let text = fs::read_to_string(file).unwrap();
    let mut engine = Engine::new(Options::default(), i64::MIN);
    let refused = engine.set_rules(&[
        rule("count", "count()", json!("1m"), "user_id"),
        rule("sum", "sum(data.ms)", json!("1m"), "user_id"),
        rule("sliding", "count()", json!({"size": "5m", "slide": "1m"}), "source"),
    ]);
    assert!(refused.is_empty());
    let began = Instant::now();
    let mut builder = BatchBuilder::new();
    let (mut frames, mut events) = (Vec::new(), 0_usize);
    for line in text.lines() {
        builder.push_json(line.as_bytes(), START).unwrap();
        events += 1;
        if events.is_multiple_of(BATCH) {
            frames.push(builder.finish(u64::try_from(events / BATCH).unwrap()));
        }
    }
    if !events.is_multiple_of(BATCH) {
        frames.push(builder.finish(u64::try_from(events / BATCH + 1).unwrap()));
    }
    let parsed = began.elapsed();
    let began = Instant::now();
    let mut signals: Vec<Signal> = Vec::new();
    for (frame, position) in frames.iter().zip(1..) {
        let batch = Arc::new(frame.decode().unwrap());
        let stored_at = batch.timestamps().unwrap().iter().copied().max().unwrap_or(START);
        let span = RowSpan {
            position,
            agent: "h".into(),
            stored_at,
            start: 0,
            end: u32::try_from(batch.len()).unwrap(),
        };
        let part = LogBatch {
            batch,
            spans: vec![span],
        };
        signals.extend(engine.ingest(&part).signals);
    }
    signals.extend(engine.tick(START + 30 * 86_400_000).signals);
    let windows = began.elapsed();
    let mut out = String::new();
    for signal in signals.iter().filter(|signal| signal.value.is_some()) {
        let key = signal.labels.values().next().map_or("", String::as_str);
        writeln!(
            out,
            "{},{},{key},{}",
            signal.rule_id,
            signal.window_end,
            signal.value.unwrap_or_default()
        )
        .unwrap();
    }
    fs::write(results, out).unwrap();
    println!(
        "{}",
        json!({"events": events, "parse_s": parsed.as_secs_f64(), "windows_s": windows.as_secs_f64()})
    );
}
