//! Events come back from a frame as they went in.

use super::BatchBuilder;
use crate::frame::Frame;

#[test]
fn an_event_comes_back() {
    let json = r#"{"id":"0192f000-0000-7000-8000-000000000001","type":"web.click","source":"a","timestamp":"2026-01-02T03:04:05.678Z","severity":"high","data":{"a":{"x":1,"y":[1, {"z":"é"}]},"b":1.0,"c":null,"a.x":true,"big":18446744073709551616,"e":{},"f":[]},"metadata":{"k":"v"},"correlation_id":"c","tags":["t","u"]}"#;
    let mut builder = BatchBuilder::new();
    builder.push_json(json.as_bytes(), 5).unwrap();
    let frame = builder.finish(1);
    let frame = Frame::parse(frame.bytes().clone()).unwrap();
    let batch = frame.decode().unwrap();
    let event = batch.event(0).unwrap();
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"id":"0192f000-0000-7000-8000-000000000001","type":"web.click","source":"a","timestamp":"2026-01-02T03:04:05.678Z","severity":"high","data":{"a":{"x":1,"y":[1,{"z":"é"}]},"b":1.0,"c":null,"a.x":true,"big":18446744073709551616,"e":{},"f":[]},"metadata":{"k":"v"},"correlation_id":"c","tags":["t","u"]}"#
    );
}
