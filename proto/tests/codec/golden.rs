//! Bytes that a release has written stay readable in every later one.

use bytes::Bytes;
use std::path::PathBuf;
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::BatchBuilder,
    chunk,
    frame::{CODEC_RAW, CODEC_ZSTD, Frame},
    path::Path,
};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Events that between them have every kind of column and every encoding.
fn events() -> Vec<String> {
    (0..200i64)
        .map(|row| {
            let id = format!("0192f000-0000-7000-8000-{:012x}", row * 7919);
            let data = match row % 4 {
                0 => format!(r#"{{"status":{},"ms":{}.25,"path":"/api/{}","ok":{}}}"#, 200 + row, row, row % 5, row % 3 == 0),
                1 => format!(r#"{{"message":"line {row} of many, no two alike","labels":{{"a.b":{{}},"é":null}},"list":[{row},{{"x":[]}}],"none":[]}}"#),
                2 => format!(r#"{{"pi":3.141592653589793,"big":{}8446744073709551616,"ms":{row}.125,"status":"gone"}}"#, row + 1),
                _ => "{}".to_owned(),
            };
            let timestamp = 1_700_000_000_000 + row * 13 % 1000;
            let extra = if row % 10 == 0 { r#","user_id":"u1","session_id":"s","correlation_id":"c","tags":["t","ü"],"metadata":{"host":"h"}"# } else { "" };
            let severity = ["low", "medium", "high", "critical"][row as usize % 4];
            format!(r#"{{"id":"{id}","type":"kind.{}","source":"host-{}","timestamp":{timestamp},"severity":"{severity}","data":{data}{extra}}}"#, row % 3, row % 7)
        })
        .collect()
}

fn lines(batch: &Batch) -> String {
    let events = batch.events(&Bitmap::new(batch.len(), true)).unwrap();
    events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n")
        .collect()
}

#[test]
fn frames_of_version_1_decode() {
    for (name, codec) in [("v1", CODEC_ZSTD), ("v1-small", CODEC_RAW)] {
        let frame = Frame::parse(Bytes::from(read(&format!("{name}.frame")))).unwrap();
        assert_eq!((frame.header().seq, frame.header().codec), (42, codec));
        let batch = frame.decode().unwrap();
        batch.check().unwrap();
        assert_eq!(lines(&batch).as_bytes(), read(&format!("{name}.ndjson")));
    }
}

#[test]
fn chunks_of_version_1_decode() {
    let batch = chunk::open(Bytes::from(read("v1.chunk"))).unwrap();
    batch.check().unwrap();
    assert_eq!(lines(&batch).as_bytes(), read("v1.ndjson"));
    let bloom = read("v1.bloom");
    let bloom = chunk::Bloom::new(&bloom);
    let path = Path::parse("data.path").unwrap();
    assert!(bloom.contains(&path, "/api/4") && !bloom.contains(&path, "/api/7"));
}

/// Writes the files for the current version. Run it once, when a version is new; never again after it is released.
#[test]
#[ignore = "rewrites the golden files"]
fn write_golden_files() {
    let mut builder = BatchBuilder::new();
    for event in events() {
        builder.push_json(event.as_bytes(), 0).unwrap();
    }
    let frame = builder.finish(42);
    let batch = frame.decode().unwrap();
    let chunk = chunk::encode(&[&batch], 3).unwrap();
    builder
        .push_json(
            br#"{"id":"0192f000-0000-7000-8000-000000000001","type":"t","source":"s","data":{"x":1}}"#,
            7,
        )
        .unwrap();
    let small = builder.finish(42);
    for (name, bytes) in [
        ("v1.frame", frame.bytes().as_ref()),
        ("v1-small.frame", small.bytes().as_ref()),
        ("v1-small.ndjson", lines(&small.decode().unwrap()).as_bytes()),
        ("v1.chunk", &chunk.body),
        ("v1.bloom", &chunk.bloom),
        ("v1.ndjson", lines(&batch).as_bytes()),
    ] {
        std::fs::write(file(name), bytes).unwrap();
    }
}
