//! How many events a second become durable and merged, and what the processor spends on each:
//! `cargo run --release -p streamflow-storage --example store_rate -- FOLDER [frames] [in flight]`.

use std::{collections::VecDeque, io::Write, path::PathBuf, time::Instant};

use streamflow_proto::build::BatchBuilder;
use streamflow_storage::{Options, Origin, build};
use tokio_util::sync::CancellationToken;

const EVENTS: u64 = 1000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let frames: u64 = arguments.next().unwrap_or_else(|| "2000".to_owned()).parse()?;
    let in_flight: usize = arguments.next().unwrap_or_else(|| "32".to_owned()).parse()?;
    let options = Options::default();
    let (store, service) = build(&options, &folder, &prometheus::Registry::new()).await?;
    let stop = CancellationToken::new();
    let service = tokio::spawn(service.run(stop.clone()));

    let ready: Vec<_> = (0..16).map(sample).collect();
    let origin = Origin {
        agent: "bench".into(),
        epoch: 1,
    };
    let mark = store.high_water(&origin).await?.unwrap_or_default();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut receipts = VecDeque::new();
    let mut delays = Vec::new();
    for (seq, frame) in (mark + 1..=mark + frames).zip(ready.iter().cycle()) {
        if receipts.len() >= in_flight
            && let Some((sent, receipt)) = receipts.pop_front()
        {
            settle(sent, receipt, &mut delays).await?;
        }
        receipts.push_back((Instant::now(), store.append(origin.clone(), frame.with_seq(seq)).await?));
    }
    for (sent, receipt) in receipts {
        settle(sent, receipt, &mut delays).await?;
    }
    let durable = begun.elapsed().as_secs_f64();
    while store.stats().await?.inbox_events >= u64::from(options.merge_events) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let merged = begun.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    delays.sort_by(f64::total_cmp);
    let events = (frames * EVENTS) as f64;
    let stats = store.stats().await?;
    writeln!(
        std::io::stdout(),
        "durable {:.2} M events/s, merged {:.2} M events/s, {:.0} ns of processor each, acknowledged p50 {:.2} ms p99 {:.2} ms, {:.1} bytes each on disk",
        events / durable / 1e6,
        events / merged / 1e6,
        cpu / events * 1e9,
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100],
        stats.bytes as f64 / stats.events as f64,
    )?;
    stop.cancel();
    Ok(service.await??)
}

async fn settle(
    sent: Instant,
    receipt: streamflow_storage::Receipt,
    delays: &mut Vec<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    receipt.await??;
    delays.push(sent.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// About the benchmark event of the targets: 20 types, 50 sources, 8 attributes, a message of 60 characters.
fn sample(frame: u64) -> streamflow_proto::frame::Frame {
    let mut builder = BatchBuilder::new();
    for row in 0..EVENTS {
        let seed = (frame * EVENTS + row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (kind, source, ms) = (seed % 20, (seed >> 8) % 50, (seed >> 16) % 5000);
        let event = format!(
            r#"{{"type":"kind.{kind}","source":"host-{source}","timestamp":{},"data":{{"ms":{ms},"status":{},"ratio":0.{},"path":"/api/{}","user":"u{}","ok":{},"region":"r{}","message":"request {seed:020} took {ms} ms on host {source}, all is well"}}}}"#,
            1_790_000_000_000 + frame * 100 + row / 10,
            200 + seed % 5 * 100,
            seed >> 20 & 0xfff,
            seed >> 24 & 63,
            seed >> 32 & 0xfff,
            row % 3 == 0,
            kind % 4,
        );
        drop(builder.push_json(event.as_bytes(), 0));
    }
    builder.finish(0)
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}
