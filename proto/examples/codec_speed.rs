//! Speed of the codec on one core, beside serde_json's borrowed parse of the same events in the same run.
//!
//! `cargo run --release -p streamflow-proto --example codec_speed [part of a name]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use serde::Deserialize;
use std::{hint::black_box, time::Instant};
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::{BatchBuilder, Head, Scalar},
    chunk,
    event::Severity,
    frame::{Frame, HEADER_LEN},
    path::Path,
};
use uuid::Uuid;

const EVENTS: usize = 20_000;
const BATCH: usize = 1000;
const ROUNDS: usize = 25;

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed to be measured")]
struct Borrowed<'a> {
    id: &'a str,
    r#type: &'a str,
    source: &'a str,
    timestamp: &'a str,
    severity: &'a str,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed to be measured")]
struct Data<'a> {
    method: &'a str,
    path: &'a str,
    status: u16,
    ms: f64,
    bytes: u64,
    cached: bool,
    user: &'a str,
    message: &'a str,
}

/// A small generator, so that every run has the same events.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit
    }
}

/// Twenty types, fifty sources, eight attributes of which one is a message of 60 characters: about 370 bytes.
fn events() -> Vec<String> {
    let mut random = Random(7);
    let words = [
        "connection",
        "request",
        "upstream",
        "timeout",
        "retry",
        "accepted",
        "closed",
        "slow",
        "cache",
        "worker",
    ];
    (0..EVENTS)
        .map(|index| {
            let at = 1_760_000_000_000 + index as u64 / 10;
            let tail = u128::from(random.below(u64::MAX)) << 12 | u128::from(random.below(4096));
            let id = Uuid::from_u128(u128::from(at) << 80 | 7 << 76 | (tail >> 62 & 0xfff) << 64 | 2 << 62 | tail & ((1 << 62) - 1));
            let mut message = String::new();
            while message.len() < 60 {
                message += words[random.below(10) as usize];
                message += &format!(" {} ", random.below(1000));
            }
            message.truncate(60);
            format!(
                r#"{{"id":"{id}","type":"api.request.{}","source":"host-{}","timestamp":"2025-10-09T08:{:02}:{:02}.{:03}Z","severity":"{}","data":{{"method":"{}","path":"/api/v1/items/{}","status":{},"ms":{}.{:02},"bytes":{},"cached":{},"user":"user-{}","message":"{message}"}}}}"#,
                random.below(20),
                random.below(50),
                index / 60_000 % 60,
                index / 1000 % 60,
                index % 1000,
                ["low", "medium", "high"][random.below(3) as usize],
                ["GET", "POST", "PUT"][random.below(3) as usize],
                random.below(200),
                [200, 201, 404, 500][random.below(4) as usize],
                random.below(900),
                1 + random.below(99),
                random.below(100_000),
                random.below(2) == 0,
                random.below(3000),
            )
        })
        .collect()
}

/// The best of some rounds, in events a second.
fn rate(name: &str, events: usize, mut round: impl FnMut()) {
    let wanted = std::env::args().nth(1).is_none_or(|part| name.contains(&part));
    if !wanted {
        return round();
    }
    let best = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        round();
        began.elapsed().as_secs_f64()
    });
    let best = best.fold(f64::MAX, f64::min);
    println!(
        "{name:<44} {:>8.2} M events/s {:>8.0} ns",
        events as f64 / best / 1e6,
        best * 1e9 / events as f64
    );
}

fn main() {
    let events = events();
    let bytes: usize = events.iter().map(String::len).sum();
    println!("{} bytes an event", bytes / EVENTS);

    rate("serde_json, borrowed", EVENTS, || {
        for event in &events {
            black_box(serde_json::from_str::<Borrowed<'_>>(event).unwrap());
        }
    });
    let mut builder = BatchBuilder::new();
    rate("push_json, no finish", EVENTS, || {
        for batch in events.chunks(BATCH) {
            for event in batch {
                builder.push_json(event.as_bytes(), 0).unwrap();
            }
            builder.retain(&Bitmap::new(BATCH, false));
        }
    });
    let mut frames: Vec<Frame> = Vec::new();
    rate("push_json + finish", EVENTS, || {
        frames.clear();
        for batch in events.chunks(BATCH) {
            for event in batch {
                builder.push_json(event.as_bytes(), 0).unwrap();
            }
            frames.push(builder.finish(0));
        }
    });
    let mut plain = BatchBuilder::new().uncompressed();
    rate("push_json + finish, uncompressed", EVENTS, || {
        for batch in events.chunks(BATCH) {
            for event in batch {
                plain.push_json(event.as_bytes(), 0).unwrap();
            }
            black_box(plain.finish(0));
        }
    });
    let packed: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
    let raw: usize = frames.iter().map(|frame| frame.header().raw_len as usize).sum();
    println!(
        "{:.1} bytes an event in frames, {:.1} raw",
        packed as f64 / EVENTS as f64,
        raw as f64 / EVENTS as f64
    );

    for level in [-5, -3, -1, 1, 3] {
        let raws: Vec<Vec<u8>> = frames
            .iter()
            .map(|frame| zstd::bulk::decompress(&frame.bytes()[HEADER_LEN..], frame.header().raw_len as usize).unwrap())
            .collect();
        let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
        let mut packed = 0;
        rate(&format!("zstd level {level} of the payloads"), EVENTS, || {
            packed = raws.iter().map(|raw| compressor.compress(raw).unwrap().len()).sum();
        });
        println!("{:.1} bytes an event", packed as f64 / EVENTS as f64);
    }
    let head = Head {
        kind: "log",
        source: "host-1",
        timestamp_ms: 5,
        severity: Severity::Low,
        id: None,
        metadata: None,
    };
    let objects: Vec<&str> = events
        .iter()
        .map(|event| &event[event.find("\"data\":").unwrap() + 7..event.len() - 1])
        .collect();
    rate("push_log + finish", EVENTS, || {
        for batch in objects.chunks(BATCH) {
            for object in batch {
                builder.push_log(&head, object.as_bytes()).unwrap();
            }
            black_box(builder.finish(0));
        }
    });
    rate("push_fields + finish", EVENTS, || {
        for batch in events.chunks(BATCH) {
            for event in batch {
                let fields = [
                    ("message", Scalar::Str(&event[..80])),
                    ("status", Scalar::Int(event.len() as i64)),
                    ("level", Scalar::Str("info")),
                ];
                builder.push_fields(&head, &fields).unwrap();
            }
            black_box(builder.finish(0));
        }
    });
    for event in &events[..BATCH] {
        builder.push_json(event.as_bytes(), 0).unwrap();
    }
    rate("view (encode, no compression)", 20 * BATCH, || {
        for _ in 0..20 {
            black_box(builder.view().unwrap());
        }
    });
    builder.finish(0);

    rate("frame decode as views", EVENTS, || {
        for frame in &frames {
            black_box(frame.decode().unwrap());
        }
    });
    let batches: Vec<Batch> = frames.iter().map(|frame| frame.decode().unwrap()).collect();
    rate("check", EVENTS, || {
        batches.iter().for_each(|batch| batch.check().unwrap())
    });
    rate("timestamps + ids", EVENTS, || {
        for batch in &batches {
            black_box((batch.timestamps().unwrap(), batch.ids().unwrap()));
        }
    });
    for path in ["type", "data.status", "data.ms", "data.message"] {
        let path = Path::parse(path).unwrap();
        rate(&format!("dict {path}"), EVENTS, || {
            batches
                .iter()
                .for_each(|batch| drop(black_box(batch.dict(&path).unwrap())))
        });
    }
    for path in ["data.status", "data.ms"] {
        let path = Path::parse(path).unwrap();
        rate(&format!("numbers {path}"), EVENTS, || {
            batches
                .iter()
                .for_each(|batch| drop(black_box(batch.numbers(&path).unwrap())))
        });
    }
    rate("events (all rows)", EVENTS, || {
        for batch in &batches {
            black_box(batch.events(&Bitmap::new(batch.len(), true)).unwrap());
        }
    });
    let borrowed: Vec<&Batch> = batches.iter().collect();
    let mut stored = Vec::new();
    rate("chunk encode, 16 frames, level 1", EVENTS, || {
        stored = borrowed
            .chunks(16)
            .map(|batches| chunk::encode(batches, 1).unwrap())
            .collect();
    });
    let packed: usize = stored.iter().map(|chunk| chunk.body.len()).sum();
    let blooms: usize = stored
        .iter()
        .map(|chunk| chunk.bloom.len() + chunk.id_bloom.len())
        .sum();
    println!(
        "{:.1} bytes an event in chunks, {:.1} in blooms",
        packed as f64 / EVENTS as f64,
        blooms as f64 / EVENTS as f64
    );
    let status = Path::parse("data.status").unwrap();
    rate("chunk open + numbers of one path", EVENTS, || {
        for chunk in &stored {
            let batch = chunk::open(chunk.body.clone().into()).unwrap();
            black_box(batch.numbers(&status).unwrap());
        }
    });
}
