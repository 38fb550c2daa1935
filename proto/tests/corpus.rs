//! Runs every input of the fuzzers' corpus on the stable toolchain.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the helpers of tests are tests too"
)]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::PathBuf};

fn replay(name: &str, target: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        target(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn frame() {
    replay("frame", targets::frame);
}

#[test]
fn chunk() {
    replay("chunk", targets::chunk);
}

#[test]
fn event_json() {
    replay("event_json", targets::event_json);
}

#[test]
fn wire_decoder() {
    replay("wire_decoder", targets::wire_decoder);
}

#[test]
fn filter() {
    replay("filter", targets::filter);
}
