//! What a rule costs as a plugin, beside the same lines compiled natively: `rule_cost plugins/dist/testbed/rule-count.wasm [--quick] [--sources N]`.
//!
//! Prints rows of a table: our figure, what it is compared with, the ratio, what is wanted. Native on columns is the same algorithm on the same columns;
//! native on rows is the same on events as JSON objects. Medians of many calls, one thread, plugin and native by turns.
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
use streamflow_plugin_host::{Options, RuleRun, measure, trial::Trial};
use streamflow_proto::{batch::Batch, build::BatchBuilder, filter::Columns, path::Path};

const FROM: i64 = 1_700_000_000_000;
const THRESHOLD: f64 = 50.0;
const MANY: u64 = 1_000_000_000;
/// How often plugin and native take turns.
const TURNS: u32 = 8;

struct Setup {
    file: String,
    sources: usize,
    /// How long each figure is measured.
    time: Duration,
}

fn main() {
    let setup = setup(std::env::args().skip(1));
    assert!(
        !setup.file.is_empty(),
        "usage: rule_cost FILE.wasm [--quick] [--sources N]"
    );
    let bytes = std::fs::read(&setup.file).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure_all(bytes, &setup));
}

fn setup(mut arguments: impl Iterator<Item = String>) -> Setup {
    let mut setup = Setup {
        file: String::new(),
        sources: 100,
        time: Duration::from_secs(2),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => setup.time /= 5,
            "--sources" => setup.sources = arguments.next().unwrap().parse().unwrap(),
            _ => setup.file = argument,
        }
    }
    setup
}

async fn measure_all(bytes: Vec<u8>, setup: &Setup) {
    let trial = Trial::open(bytes, &Options::default()).await.unwrap();
    let config = json!({"threshold": THRESHOLD, "many": MANY});
    let config: &Map<String, Value> = config.as_object().unwrap();
    for size in [256, 1_000, 4_096] {
        let events: Vec<Value> = (0..size).map(|n| event(n, setup.sources)).collect();
        let batch = batch(&events);
        let run = trial.rule().start("bench", config, None).await.unwrap();
        let cost = cost(&trial, run, &batch, &events, setup.time).await;
        let (columns, rows) = match size {
            1_000 => ("< 3, goal 1.5", "< 1"),
            4_096 => ("< 2, goal 1.5", "< 1"),
            _ => ("–", "–"),
        };
        let each = |ns: f64| format!("{:.2} ns", ns / size as f64);
        let what = format!("rule as a plugin, {size} events a call, deadline on: an event");
        let beside = format!("the same rule native on the same columns {}", each(cost.native));
        row(
            &what,
            &each(cost.plugin),
            &beside,
            Some(cost.plugin / cost.native),
            columns,
        );
        let beside = format!("native on events as objects {}", each(cost.native_rows));
        row(
            "the same",
            &each(cost.plugin),
            &beside,
            Some(cost.plugin / cost.native_rows),
            rows,
        );
        let beside = format!("the call {}", each(cost.plugin));
        row(
            "making its columns out of a batch of the log: an event",
            &each(cost.columns),
            &beside,
            Some(cost.columns / cost.plugin),
            "–",
        );
    }
    let call = measure::tick_cost(&trial.rule(), config).await.unwrap().as_secs_f64() * 1e6;
    row("a call without events", &format!("{call:.2} µs"), "–", None, "< 2 µs");

    let mut loads = Vec::new();
    for _ in 0..101 {
        loads.push(trial.load_again().await.unwrap().1.as_secs_f64() * 1e3);
    }
    loads.sort_by(f64::total_cmp);
    let compiled = trial.compiled_in.as_secs_f64() * 1e3;
    row(
        "a plugin loaded from the cache",
        &format!("{:.2} ms", loads[50]),
        &format!("compiled {compiled:.0} ms"),
        Some(loads[50] / compiled),
        "< 5 ms",
    );

    let before = resident_mib();
    let mut running = Vec::new();
    let shown = batch(&(0..1_000).map(|n| event(n, setup.sources)).collect::<Vec<_>>());
    let rows: Vec<u32> = (0..1_000).collect();
    for _ in 0..100 {
        let (plugin, _) = trial.load_again().await.unwrap();
        let mut run = plugin.start("r", config, None).await.unwrap();
        for part in plugin.project(&mut Columns::new(&shown), &rows).unwrap() {
            run.on_events(&part).await.unwrap();
        }
        running.push((plugin, run));
    }
    let grown = format!("{:.0} MiB", resident_mib() - before);
    row("100 plugins loaded and at work: memory", &grown, "–", None, "< 100 MiB");
    drop(running);
}

fn row(what: &str, ours: &str, beside: &str, ratio: Option<f64>, wanted: &str) {
    let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    println!("| {what} | {ours} | {beside} | {ratio} | {wanted} |");
}

/// ns of a batch.
struct Cost {
    plugin: f64,
    columns: f64,
    native: f64,
    native_rows: f64,
}

async fn cost(trial: &Trial, mut run: RuleRun, batch: &Batch, events: &[Value], time: Duration) -> Cost {
    let all: Vec<u32> = (0..u32::try_from(batch.len()).unwrap()).collect();
    let plugin = trial.rule();
    let parts = plugin.project(&mut Columns::new(batch), &all).unwrap();
    let mut native = Native::new(batch);
    let mut counts = HashMap::new();
    let (mut calls, mut making, mut natives, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let turn = time / TURNS;
    for _ in 0..TURNS {
        let began = Instant::now();
        while began.elapsed() < turn {
            let at = Instant::now();
            for part in &parts {
                black_box(run.on_events(part).await.unwrap());
            }
            calls.push(at.elapsed());
        }
        timed(turn, &mut natives, || native.count());
        timed(turn / 2, &mut making, || {
            plugin.project(&mut Columns::new(batch), &all).unwrap()
        });
        timed(turn / 2, &mut rows, || on_rows(events, &mut counts));
    }
    Cost {
        plugin: median(calls),
        columns: median(making),
        native: median(natives),
        native_rows: median(rows),
    }
}

fn timed<T>(turn: Duration, times: &mut Vec<Duration>, mut work: impl FnMut() -> T) {
    let began = Instant::now();
    while began.elapsed() < turn {
        let at = Instant::now();
        black_box(work());
        times.push(at.elapsed());
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64
}

/// About 220 bytes as JSON; half of the numbers count.
fn event(n: usize, sources: usize) -> Value {
    json!({
        "type": "device.telemetry", "source": format!("sensor-{:03}", n * 7919 % sources), "severity": "low",
        "timestamp": FROM + i64::try_from(n).unwrap(),
        "data": {"value": (n / 3 * 31 % 100) as f64, "model": "thermo-4", "unit": "celsius", "site": format!("hall-{}", n % 8)},
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

/// The rule on the columns that the plugin gets.
struct Native {
    numbers: std::rc::Rc<streamflow_proto::batch::Numbers>,
    sources: std::rc::Rc<streamflow_proto::batch::Dict>,
    counts: count::Counts,
}

impl Native {
    fn new(batch: &Batch) -> Self {
        let mut columns = Columns::new(batch);
        Self {
            numbers: columns.numbers(&Path::parse("data.value").unwrap()).unwrap().unwrap(),
            sources: columns.labels(&Path::parse("source").unwrap()).unwrap().unwrap(),
            counts: count::Counts::default(),
        }
    }

    fn count(&mut self) -> Vec<(String, usize)> {
        let Self {
            numbers,
            sources,
            counts,
        } = self;
        let values = numbers.values.iter().copied().enumerate();
        let columns = count::Columns {
            sources: sources.values.as_slice(),
            source: |row: usize| sources.ids[row] as usize,
            values: values.filter(|(row, _)| numbers.present.get(*row)),
        };
        count::count(columns, THRESHOLD, MANY, counts)
    }
}

fn on_rows(events: &[Value], counts: &mut HashMap<String, u64>) -> Vec<(String, usize)> {
    let mut reached = Vec::new();
    for (row, event) in events.iter().enumerate() {
        let value = event
            .get("data")
            .and_then(|data| data.get("value"))
            .and_then(Value::as_f64);
        let Some(source) = event.get("source").and_then(Value::as_str) else {
            continue;
        };
        if value.is_some_and(|value| value > THRESHOLD) {
            let count = match counts.get_mut(source) {
                Some(count) => count,
                None => counts.entry(source.to_owned()).or_default(),
            };
            *count += 1;
            if *count == MANY {
                reached.push((source.to_owned(), row));
            }
        }
    }
    reached
}

/// Resident memory of this process.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / f64::from(1 << 20)
}
