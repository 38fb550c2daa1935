//! How the engine's cost grows with the number of rules: with those that match, not with all.
//!
//! `cargo run --release -p streamflow-analytics --example rule_scaling`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may fail"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use streamflow_analytics::{Options, engine::Engine};
use streamflow_model::Rule;
use streamflow_proto::build::BatchBuilder;
use streamflow_storage::store::{LogBatch, RowSpan};

const BATCH: usize = 1000;
const BATCHES: usize = 200;
const TYPES: usize = 20;
const KEYS: usize = 10_000;
const START: i64 = 1_780_000_000_000;

fn log() -> Vec<LogBatch> {
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    (0..BATCHES)
        .map(|number| {
            let at = START + i64::try_from(number).unwrap() * 100;
            let mut builder = BatchBuilder::new();
            for _ in 0..BATCH {
                let event = json!({"type": format!("type.{}", random(TYPES)), "source": format!("host-{}", random(50)), "user_id": format!("user-{}", random(KEYS)),
                                   "timestamp": at, "data": {"ms": random(1000), "path": format!("/item/{}", random(500))}});
                builder.push_json(event.to_string().as_bytes(), at).unwrap();
            }
            let position = u64::try_from(number).unwrap() + 1;
            let batch = Arc::new(builder.finish(position).decode().unwrap());
            let end = u32::try_from(batch.len()).unwrap();
            let span = RowSpan { position, agent: "h".into(), stored_at: at, start: 0, end };
            LogBatch { batch, spans: vec![span] }
        })
        .collect()
}

/// Rules of which the first `matching` match events of the log, each on a type or path of its own.
fn rules(all: usize, matching: usize, aggregate: &str, window: &serde_json::Value) -> Vec<Rule> {
    (0..all)
        .map(|n| {
            let filter = if n < matching {
                format!("type == 'type.{}'", n % TYPES)
            } else if n % 2 == 0 {
                format!("type == 'absent.{n}' && data.ms > 5")
            } else {
                format!("source == 'absent-{n}'")
            };
            serde_json::from_value(json!({
                "id": format!("r{n}"), "name": format!("r{n}"), "match": filter, "aggregate": aggregate, "window": window, "group_by": ["user_id"],
                "threshold": 1e18, "version": 1, "created_at": 0, "updated_at": 0,
            }))
            .unwrap()
        })
        .collect()
}

fn measure(rules: &[Rule], log: &[LogBatch]) -> Duration {
    (0..3)
        .map(|_| {
            let mut engine = Engine::new(Options::default(), i64::MIN);
            assert!(engine.set_rules(rules).is_empty());
            let began = Instant::now();
            let events: u64 = log.iter().map(|part| engine.ingest(part).events).sum();
            assert_eq!(events as usize, BATCH * BATCHES);
            began.elapsed()
        })
        .min()
        .unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() {
    let log = log();
    println!(
        "{} events in batches of {BATCH}, {TYPES} types, {KEYS} keys, one core\n",
        BATCH * BATCHES
    );
    println!("| rules | of which match | aggregate | window | events/s | per event and matching rule |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let tumbling = json!("1m");
    let sliding = json!({"size": "1m", "slide": "1s"});
    let session = json!({"session_gap": "10s"});
    for (all, matching, aggregate, window) in [
        (10, 10, "count()", &tumbling),
        (100, 10, "count()", &tumbling),
        (1000, 10, "count()", &tumbling),
        (100, 100, "count()", &tumbling),
        (1000, 1000, "count()", &tumbling),
        (100, 100, "sum(data.ms)", &tumbling),
        (20, 20, "p99(data.ms)", &tumbling),
        (20, 20, "distinct(data.path)", &tumbling),
        (20, 20, "topk(5, data.path)", &tumbling),
        (100, 100, "count()", &sliding),
        (100, 100, "count()", &session),
    ] {
        let took = measure(&rules(all, matching, aggregate, window), &log);
        let events = (BATCH * BATCHES) as f64;
        // Each event has one type, so of the matching rules one in twenty concerns it.
        let touched = events * matching as f64 / TYPES as f64;
        println!(
            "| {all} | {matching} | `{aggregate}` | `{window}` | {:.2} M | {:.0} ns |",
            events / took.as_secs_f64() / 1e6,
            took.as_nanos() as f64 / touched
        );
    }
}
