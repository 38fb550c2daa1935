//! Physical and library baselines.

use std::{
    hint::black_box,
    io::Write,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use streamflow_proto::{build::BatchBuilder, frame::Frame};

use crate::{
    generator::{Generator, now_ms},
    report::{Row, count},
};

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed, not read")]
struct Borrowed<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    source: &'a str,
    timestamp: i64,
    severity: &'a str,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed, not read")]
struct Data<'a> {
    status: i64,
    ms: f64,
    path: &'a str,
    method: &'a str,
    bytes: i64,
    cached: bool,
    region: &'a str,
    message: &'a str,
    #[serde(borrow)]
    more: Option<&'a RawValue>,
}

/// What serde_json alone reaches on the benchmark's events.
pub struct Parse {
    /// Events per second of one core.
    pub events_per_cpu_second: f64,
    /// Mean length of an event as JSON.
    pub bytes_per_event: f64,
}

fn best_of<T>(runs: usize, mut work: impl FnMut() -> T) -> Duration {
    (0..runs)
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed()
        })
        .min()
        .unwrap_or_default()
}

/// serde_json into borrowed structs, one core.
pub fn parse_rate() -> Parse {
    let n = 200_000;
    let lines = Generator::new(1, now_ms()).lines(n);
    let took = best_of(3, || {
        lines
            .lines()
            .map(|l| serde_json::from_str::<Borrowed<'_>>(l).expect("own event"))
            .map(|e| black_box(e).timestamp)
            .sum::<i64>()
    });
    Parse {
        events_per_cpu_second: n as f64 / took.as_secs_f64(),
        bytes_per_event: lines.len() as f64 / n as f64,
    }
}

/// Ready frames of 1,000 events.
pub fn frames(events: usize, first_seq: u64, start_ms: i64) -> Vec<Frame> {
    let mut generator = Generator::new(2, start_ms);
    let mut builder = BatchBuilder::new();
    let mut line = String::new();
    (0..events / 1000)
        .map(|frame| {
            for _ in 0..1000 {
                line.clear();
                generator.line(&mut line);
                builder
                    .push_json(line.trim_end().as_bytes(), start_ms)
                    .expect("own event");
            }
            builder.finish(first_seq + frame as u64)
        })
        .collect()
}

/// The codec alone, one core.
pub fn codec(parse: &Parse) -> Vec<Row> {
    let n = 100_000;
    let now = now_ms();
    let lines = Generator::new(1, now).lines(n);
    let mut builder = BatchBuilder::new();
    let build = best_of(3, || {
        let mut frames = 0;
        for (i, line) in lines.lines().enumerate() {
            builder.push_json(line.as_bytes(), now).expect("own event");
            if i % 1000 == 999 {
                black_box(builder.finish(frames));
                frames += 1;
            }
        }
    });
    let frames = frames(n, 1, now);
    let bytes: usize = frames.iter().map(|f| f.bytes().len()).sum();
    let decode = best_of(3, || {
        frames
            .iter()
            .map(|f| f.decode().expect("own frame").len())
            .sum::<usize>()
    });
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
    zstd.write_all(lines.as_bytes()).expect("zstd");
    let plain = zstd.finish().expect("zstd").len() as f64 / n as f64;
    let rate = n as f64 / build.as_secs_f64();
    let wire = bytes as f64 / n as f64;
    vec![
        Row {
            what: "JSON → columns → zstd-1 frames, events/s of one core",
            ours: count(rate),
            baseline: format!("serde_json borrowed parse alone {}", count(parse.events_per_cpu_second)),
            ratio: Some(rate / parse.events_per_cpu_second),
            target: "≥ 0.5",
        },
        Row {
            what: "frame → checked views, events/s of one core",
            ours: count(n as f64 / decode.as_secs_f64()),
            baseline: format!("serde_json borrowed parse alone {}", count(parse.events_per_cpu_second)),
            ratio: Some(n as f64 / decode.as_secs_f64() / parse.events_per_cpu_second),
            target: "≥ 8",
        },
        Row {
            what: "bytes on the wire per event (frames of 1,000)",
            ours: format!("{wire:.1} B"),
            baseline: format!("NDJSON + zstd-1 as one stream {plain:.1} B"),
            ratio: Some(wire / plain),
            target: "≤ 0.8, goal 0.6",
        },
    ]
}

/// Median of raw fdatasync calls after a 50 KB write, in ms.
pub fn fdatasync_p50() -> f64 {
    let dir = tempfile::tempdir().expect("folder");
    let mut file = std::fs::File::create(dir.path().join("f")).expect("file");
    let block = vec![7_u8; 50_000];
    let mut times: Vec<f64> = (0..50)
        .map(|_| {
            file.write_all(&block).expect("write");
            let started = Instant::now();
            file.sync_data().expect("fdatasync");
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    crate::report::percentile(&times, 0.5)
}
