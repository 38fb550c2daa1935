//! What a rule costs as a plugin, beside the same lines compiled natively: `rule_cost plugins/dist/testbed/rule-count.wasm`.
//!
//! Prints a figure, what it is compared with, and the ratio. Native on columns is the same algorithm on the same columns; native on rows is the same on
//! events as JSON objects. Medians of many calls, one thread.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark speaks to the person who runs it"
)]

#[path = "../../../plugins/testbed/rule-count/src/count.rs"]
mod count;

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use streamflow_plugin_host::{Options, measure, trial::Trial};
use streamflow_proto::{batch::Batch, build::BatchBuilder, filter::Columns, path::Path};

const FROM: i64 = 1_700_000_000_000;
/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(2);

fn main() {
    let file = std::env::args().nth(1).expect("usage: rule_cost FILE.wasm");
    let bytes = std::fs::read(&file).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure_all(bytes));
}

async fn measure_all(bytes: Vec<u8>) {
    let trial = Trial::open(bytes, &Options::default()).await.unwrap();
    let config = json!({"threshold": 50.0, "many": 1_000_000_000_u64});
    let config: &Map<String, Value> = config.as_object().unwrap();
    println!("{:<44} {:>12} {:>12} {:>8}   wanted", "", "plugin", "beside", "ratio");
    for size in [256, 1_000, 4_096] {
        let events: Vec<Value> = (0..size).map(event).collect();
        let batch = batch(&events);
        let cost = measure::batch_cost(&trial.rule(), config, &batch, TIME).await.unwrap();
        let columns = native_columns(&batch) / size as f64;
        let rows = native_rows(&events) / size as f64;
        let most = match size {
            1_000 => "< 3",
            4_096 => "< 2",
            _ => "",
        };
        line(
            &format!("{size} events: ns/event, native columns"),
            cost.call_ns_per_event,
            columns,
            most,
        );
        line(
            &format!("{size} events: ns/event, native rows"),
            cost.call_ns_per_event,
            rows,
            if size > 256 { "< 1" } else { "" },
        );
        line(
            &format!("{size} events: making the columns, ns/event"),
            cost.columns_ns_per_event,
            rows,
            "",
        );
    }
    let call = measure::tick_cost(&trial.rule(), config).await.unwrap().as_secs_f64() * 1e6;
    line("a call without events, us", call, 2.0, "< 1 (2 us)");

    let mut loads = Vec::new();
    for _ in 0..101 {
        loads.push(trial.load_again().await.unwrap().1.as_secs_f64() * 1e3);
    }
    loads.sort_by(f64::total_cmp);
    line("loading it from the cache, ms", loads[50], 5.0, "< 1 (5 ms)");
    line(
        "  beside compiling it, ms",
        loads[50],
        trial.compiled_in.as_secs_f64() * 1e3,
        "",
    );

    let before = resident_mib();
    let mut running = Vec::new();
    let shown = batch(&(0..1_000).map(event).collect::<Vec<_>>());
    let rows: Vec<u32> = (0..1_000).collect();
    for _ in 0..100 {
        let (plugin, _) = trial.load_again().await.unwrap();
        let mut run = plugin.start("r", config, None).await.unwrap();
        for part in plugin.project(&mut Columns::new(&shown), &rows).unwrap() {
            run.on_events(&part).await.unwrap();
        }
        running.push((plugin, run));
    }
    line(
        "100 plugins loaded and at work, MiB",
        resident_mib() - before,
        100.0,
        "< 1 (100 MiB)",
    );
    drop(running);
}

fn line(what: &str, figure: f64, beside: f64, wanted: &str) {
    println!(
        "{what:<44} {figure:>12.2} {beside:>12.2} {:>8.2}   {wanted}",
        figure / beside
    );
}

/// About 220 bytes as JSON, from a hundred sources; half of the numbers count.
fn event(n: usize) -> Value {
    json!({
        "type": "device.telemetry", "source": format!("sensor-{:03}", n * 7919 % 100), "severity": "low",
        "timestamp": FROM + i64::try_from(n).unwrap(),
        "data": {"value": (n * 31 % 100) as f64, "model": "thermo-4", "unit": "celsius", "site": format!("hall-{}", n % 8)},
        "metadata": {"firmware": "1.4.2", "rack": n % 40},
    })
}

fn batch(events: &[Value]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push_json(event.to_string().as_bytes(), FROM).unwrap();
    }
    builder.finish(1).decode().unwrap()
}

fn median(mut work: impl FnMut()) -> f64 {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < TIME || times.len() < 10 {
        let at = Instant::now();
        work();
        times.push(at.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64
}

/// ns of a batch, on the columns that the plugin gets.
fn native_columns(batch: &Batch) -> f64 {
    let mut columns = Columns::new(batch);
    let numbers = columns.numbers(&Path::parse("data.value").unwrap()).unwrap().unwrap();
    let sources = columns.labels(&Path::parse("source").unwrap()).unwrap().unwrap();
    let columns = count::Columns {
        sources: &sources.values,
        source: |row: usize| sources.ids[row] as usize,
        value: |row: usize| numbers.present.get(row).then(|| numbers.values[row]),
    };
    let mut counts = count::Counts::new();
    median(|| {
        black_box(count::count(batch.len(), &columns, 50.0, 1_000_000_000, &mut counts));
    })
}

/// ns of a batch, on events as objects.
fn native_rows(events: &[Value]) -> f64 {
    let mut counts: HashMap<String, u64> = HashMap::new();
    median(|| {
        let mut reached = Vec::new();
        for (row, event) in events.iter().enumerate() {
            let value = event
                .get("data")
                .and_then(|data| data.get("value"))
                .and_then(Value::as_f64);
            let Some(source) = event.get("source").and_then(Value::as_str) else {
                continue;
            };
            if value.is_some_and(|value| value > 50.0) {
                let count = match counts.get_mut(source) {
                    Some(count) => count,
                    None => counts.entry(source.to_owned()).or_default(),
                };
                *count += 1;
                if *count == 1_000_000_000 {
                    reached.push((source.to_owned(), row));
                }
            }
        }
        black_box(reached);
    })
}

/// Resident memory of this process.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / f64::from(1 << 20)
}
