//! What rules cost as plugins, beside the same lines compiled natively: `rule_cost plugins/dist [--quick] [--sources N]`.
//!
//! Prints rows of a table: our figure, what it is compared with, the ratio, what is wanted. The counting rule does as little as a stateful rule can, so that
//! it shows what the sandbox takes; `error-burst` is what people run. Medians of many calls, one thread, plugin and native by turns.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark speaks to the person who runs it"
)]

#[path = "../../../../plugins/rules/error-burst/src/lib.rs"]
mod burst;
#[path = "../../../../plugins/testbed/rule-count/src/count.rs"]
mod count;
mod native;

use std::{
    collections::HashMap,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamflow_plugin_host::{Options, RulePlugin, measure, trial::Trial};
use streamflow_proto::{batch::Batch, build::BatchBuilder, filter::Columns};

const FROM: i64 = 1_700_000_000_000;
const THRESHOLD: f64 = 50.0;
const MANY: u64 = 1_000_000_000_000;
/// How often plugin and native take turns.
const TURNS: u32 = 8;

struct Setup {
    folder: PathBuf,
    sources: usize,
    /// How long each figure is measured.
    time: Duration,
}

fn main() {
    let setup = setup(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure_all(&setup));
}

fn setup(mut arguments: impl Iterator<Item = String>) -> Setup {
    let mut setup = Setup {
        folder: PathBuf::from("plugins/dist"),
        sources: 100,
        time: Duration::from_secs(2),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => setup.time /= 5,
            "--sources" => setup.sources = arguments.next().unwrap().parse().unwrap(),
            _ => setup.folder = argument.into(),
        }
    }
    setup
}

async fn measure_all(setup: &Setup) {
    let counting = open(&setup.folder.join("testbed/rule-count.wasm")).await;
    let bursts = open(&setup.folder.join("error-burst.wasm")).await;
    let count_config = json!({"threshold": THRESHOLD, "many": MANY});
    let burst_config = json!({"errors": MANY, "within_seconds": 60});
    for size in [256, 1_000, 4_096] {
        let events: Vec<Value> = (0..size).map(|n| event(n, setup.sources)).collect();
        let batch = batch(&events);
        let (columns, objects) = match size {
            1_000 => ("< 3, goal 1.5", "< 1"),
            4_096 => ("< 2, goal 1.5", "< 1"),
            _ => ("–", "–"),
        };
        let each = |ns: f64| format!("{:.2} ns", ns / size as f64);

        let (mut native, mut counts) = (native::Count::new(&batch), HashMap::new());
        let cost = cost(&counting.rule(), &count_config, &batch, setup.time, || native.run()).await;
        let on_objects = alone(setup.time / 4, || native::count_objects(&events, &mut counts));
        row(
            &format!("a rule that only counts, as a plugin, {size} events a call: an event"),
            &each(cost.plugin),
            &format!("native on the same columns {}", each(cost.native)),
            Some(cost.plugin / cost.native),
            columns,
        );
        row(
            "the same",
            &each(cost.plugin),
            &format!("native on events as objects {}", each(on_objects)),
            Some(cost.plugin / on_objects),
            objects,
        );
        row(
            "making its columns out of a batch of the log: an event",
            &each(cost.columns),
            &format!("the call {}", each(cost.plugin)),
            Some(cost.columns / cost.plugin),
            "–",
        );

        let native = native::Bursts::new(&events, &burst_config);
        let cost = self::cost(&bursts.rule(), &burst_config, &batch, setup.time, || native.run()).await;
        row(
            &format!("the shipped rule error-burst, {size} events a call: an event"),
            &each(cost.plugin),
            &format!("native on the same columns {}", each(cost.native)),
            Some(cost.plugin / cost.native),
            columns,
        );
    }
    let config = count_config.as_object().unwrap();
    let call = measure::tick_cost(&counting.rule(), config)
        .await
        .unwrap()
        .as_secs_f64()
        * 1e6;
    row("a call without events", &format!("{call:.2} µs"), "–", None, "< 2 µs");
    loading(&counting, &count_config, setup.sources).await;
}

async fn open(file: &Path) -> Trial {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Trial::open(bytes, &Options::default()).await.unwrap()
}

async fn loading(trial: &Trial, config: &Value, sources: usize) {
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
    let shown = batch(&(0..1_000).map(|n| event(n, sources)).collect::<Vec<_>>());
    let rows: Vec<u32> = (0..1_000).collect();
    for _ in 0..100 {
        let (plugin, _) = trial.load_again().await.unwrap();
        let mut run = plugin.start("r", config.as_object().unwrap(), None).await.unwrap();
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
}

async fn cost<T>(
    plugin: &RulePlugin,
    config: &Value,
    batch: &Batch,
    time: Duration,
    mut native: impl FnMut() -> T,
) -> Cost {
    let mut run = plugin.start("bench", config.as_object().unwrap(), None).await.unwrap();
    let all: Vec<u32> = (0..u32::try_from(batch.len()).unwrap()).collect();
    let parts = plugin.project(&mut Columns::new(batch), &all).unwrap();
    let (mut calls, mut making, mut natives) = (Vec::new(), Vec::new(), Vec::new());
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
        timed(turn, &mut natives, &mut native);
        timed(turn / 4, &mut making, || {
            plugin.project(&mut Columns::new(batch), &all).unwrap()
        });
    }
    Cost {
        plugin: median(calls),
        columns: median(making),
        native: median(natives),
    }
}

fn alone<T>(time: Duration, work: impl FnMut() -> T) -> f64 {
    let mut times = Vec::new();
    timed(time, &mut times, work);
    median(times)
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

/// About 220 bytes as JSON; half of the numbers count, and half of the severities. So many events are of half a second: they are shown again and again, and
/// must not take a window back to a part that it has left, which a log does not do either.
fn event(n: usize, sources: usize) -> Value {
    json!({
        "type": "device.telemetry", "source": format!("sensor-{:03}", n * 7919 % sources),
        "severity": if (n / 7).is_multiple_of(2) { "high" } else { "low" }, "timestamp": FROM + i64::try_from(n / 8).unwrap(),
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

/// Resident memory of this process.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / f64::from(1 << 20)
}
