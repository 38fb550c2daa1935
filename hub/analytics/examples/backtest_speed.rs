//! How fast a backtest reads: `cargo run --release -p streamflow-analytics --example backtest_speed [million events]`; `make bench` takes its rows into the table.
//!
//! The baseline is the same store scanned by the same filter without windows, in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement for the person who runs it"
)]

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::json;
use streamflow_analytics::{
    Options,
    backtest::{Backtest, unsaved},
};
use streamflow_proto::build::BatchBuilder;
use streamflow_storage::{Origin, Store};
use tokio_util::sync::CancellationToken;

const FRAME: u64 = 4000;
const START: i64 = 1_780_000_000_000;

#[tokio::main]
async fn main() {
    let millions: u64 = std::env::args().nth(1).map_or(4, |n| n.parse().unwrap());
    let events = millions * 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let (store, service) = streamflow_storage::build(&streamflow_storage::Options::default(), dir.path(), &registry)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(service.run(stop.clone()));
    fill(store.as_ref(), events).await;
    while store.stats().await.unwrap().inbox_events > FRAME * 8 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let stats = store.stats().await.unwrap();
    let size = format!(
        "{millions} M events in {} chunks of {} MB",
        stats.chunks,
        stats.bytes / 1_000_000
    );
    for (name, target, change) in [
        (
            "count by source of one type (two columns), judged on close",
            "≥ 5 M",
            json!({"evaluate": "on_close"}),
        ),
        ("the same, judged while windows run", "≥ 5 M", json!({})),
        (
            "sum of one number, no group",
            "≥ 5 M",
            json!({"aggregate": "sum(data.ms)", "match": "true", "group_by": [], "evaluate": "on_close"}),
        ),
        (
            "p99 by source of all events",
            "–",
            json!({"aggregate": "p99(data.ms)", "match": "true", "evaluate": "on_close"}),
        ),
        (
            "a type that nobody sends",
            "chunks are skipped",
            json!({"match": "type == 'none'"}),
        ),
    ] {
        let mut draft = json!({"name": "r", "match": "type == 'type.3'", "aggregate": "count()", "window": "1m",
                               "group_by": ["source"], "condition": "value > threshold", "threshold": 1e12});
        draft
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let rule = unsaved(serde_json::from_value(draft).unwrap());
        let filter = Arc::new(rule.draft.compile().unwrap().filter);
        let started = Instant::now();
        let rows = Arc::new(Mutex::new(0));
        let count = Arc::clone(&rows);
        let visit = Box::new(
            move |_: &streamflow_proto::batch::Batch, rows: &streamflow_proto::bitmap::Bitmap| {
                *count.lock().unwrap() += rows.count_ones();
                ControlFlow::Continue(())
            },
        );
        store.scan(None, None, Some(filter), visit).await.unwrap();
        let scan = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let backtest = Backtest::new(Options::default(), &rule, START - 1, START + 40 * 86_400_000, i64::MAX).unwrap();
        let totals = backtest
            .run(store.as_ref(), |_| ControlFlow::Continue(()))
            .await
            .unwrap();
        let took = started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let rate = |seconds: f64| events as f64 / seconds / 1e6;
        println!(
            "| backtest over {size}: {name}, events/s | {:.1} M ({} chunks read, {} skipped) | scan of the store by the same filter alone {:.1} M | {:.2} | {target} |",
            rate(took),
            totals.scanned.chunks,
            totals.skipped,
            rate(scan),
            scan / took
        );
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}

async fn fill(store: &dyn Store, events: u64) {
    let mut receipts = Vec::new();
    for (seq, begin) in (0..events).step_by(FRAME as usize).zip(1..) {
        let mut builder = BatchBuilder::new();
        for n in seq..seq + FRAME {
            let noise = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let event = format!(
                r#"{{"type":"type.{}","source":"host-{}","timestamp":{},"data":{{"ms":{},"status":{},"path":"/item/{}","message":"Request {} of client {} took a while"}}}}"#,
                noise % 20,
                noise / 20 % 50,
                START + i64::try_from(n / 4).unwrap(),
                noise % 997,
                if noise % 50 == 0 { 500 } else { 200 },
                noise % 300,
                n,
                noise % 1000,
            );
            builder.push_json(event.as_bytes(), START).unwrap();
        }
        let origin = Origin {
            agent: "bench".into(),
            epoch: 1,
        };
        receipts.push(store.append(origin, builder.finish(begin)).await.unwrap());
        if receipts.len() == 64 {
            for receipt in receipts.drain(..) {
                receipt.await.unwrap().unwrap();
            }
        }
    }
    for receipt in receipts {
        receipt.await.unwrap().unwrap();
    }
}
