//! What is not taken leaves no trace and is told why.

use crate::json::{object, value};
use proptest::prelude::*;
use streamflow_proto::build::BatchBuilder;

fn reject(json: &str) -> (String, String) {
    let rejection = BatchBuilder::new().push_json(json.as_bytes(), 0).expect_err(json);
    (rejection.field, rejection.reason)
}

fn event(member: &str) -> String {
    format!(r#"{{"type":"t","source":"s",{member}}}"#)
}

#[test]
fn the_field_and_what_is_allowed_are_named() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let long = |len: usize| "x".repeat(len);
    for (json, field, part) in [
        ("".to_owned(), "event", "not valid JSON"),
        ("[]".into(), "event", "expected an object"),
        (r#"{"type":"t","source":"s"} x"#.into(), "event", "trailing"),
        (r#"{"type":"t","source":"s""#.into(), "event", "EOF"),
        (r#"{"source":"s"}"#.into(), "type", "required"),
        (r#"{"type":"","source":"s"}"#.into(), "type", "required"),
        (r#"{"type":null,"source":"s"}"#.into(), "type", "must be a string"),
        (r#"{"type":"t"}"#.into(), "source", "required"),
        (r#"{"type":"t","source":5}"#.into(), "source", "must be a string"),
        (
            format!(r#"{{"type":"{}","source":"s"}}"#, long(129)),
            "type",
            "at most 128",
        ),
        (
            format!(r#"{{"type":"t","source":"{}"}}"#, long(257)),
            "source",
            "at most 256",
        ),
        (event(r#""id":"nonsense""#), "id", "UUID"),
        (event(r#""timestamp":"yesterday""#), "timestamp", "RFC 3339"),
        (event(r#""timestamp":1.5"#), "timestamp", "RFC 3339"),
        (event(r#""timestamp":99999999999999999"#), "timestamp", "1 to 9999"),
        (
            event(r#""severity":"urgent""#),
            "severity",
            "low, medium, high, critical",
        ),
        (event(r#""data":[]"#), "data", "object"),
        (event(r#""data":"x""#), "data", "object"),
        (
            event(&format!(r#""data":{{"x":"{}"}}"#, long(65_536))),
            "data",
            "at most 65536",
        ),
        (
            event(&format!(r#""metadata":{{"x":"{}"}}"#, long(65_536))),
            "metadata",
            "at most 65536",
        ),
        (
            event(&format!(r#""user_id":"{}""#, long(257))),
            "user_id",
            "at most 256",
        ),
        (event(r#""session_id":1"#), "session_id", "string"),
        (event(r#""tags":"x""#), "tags", "array"),
        (event(r#""tags":[1]"#), "tags", "array of strings"),
        (
            event(&format!(r#""tags":[{}"x"]"#, r#""x","#.repeat(64))),
            "tags",
            "at most 64",
        ),
        (event(&format!(r#""tags":["{}"]"#, long(257))), "tags[0]", "at most 256"),
        (event(r#""level":1"#), "level", "unknown field"),
        (
            event(&format!(r#""data":{{"x":{}}}"#, nested(63))),
            "data",
            "at most 64 levels",
        ),
        (
            event(&format!(r#""data":{}"#, objects(64))),
            "data",
            "at most 64 levels",
        ),
        (event(r#""data":{"x":["\ud800"]}"#), "data", "surrogate"),
        (event(r#""data":{"x":tru}"#), "event", "line 1 column"),
    ] {
        let (got, reason) = reject(&json);
        assert_eq!(got, field, "{reason}: {json:.80}");
        assert!(reason.contains(part), "{reason}: {json:.80}");
    }
    let rejection = BatchBuilder::new().push_json(b"{\"type\":\"\xff\"}", 0).unwrap_err();
    assert_eq!(
        (rejection.field.as_str(), rejection.reason.contains("UTF-8")),
        ("event", true)
    );
}

#[test]
fn what_is_just_allowed_is_taken() {
    let fits = "x".repeat(65_536 - 8);
    for json in [
        event(&format!(r#""data":{{"x":"{fits}"}},"metadata":{{"x":"{fits}"}}"#)),
        event(&format!(r#""data":{{"x":{}1{}}}"#, "[".repeat(62), "]".repeat(62))),
        event(&format!(r#""data":{}1{}"#, r#"{"a":"#.repeat(63), "}".repeat(63))),
        event(&format!(r#""tags":[{}"x"]"#, r#""x","#.repeat(63))),
        event(r#""id":null,"timestamp":null,"severity":null,"data":null,"metadata":null,"tags":null,"user_id":null"#),
        format!(r#"{{"type":"{}","source":"{}"}}"#, "x".repeat(128), "x".repeat(256)),
    ] {
        let mut builder = BatchBuilder::new();
        builder.push_json(json.as_bytes(), 0).unwrap();
        builder.finish(0).decode().unwrap().check().unwrap();
    }
}

#[test]
fn a_full_batch_says_so() {
    let mut builder = BatchBuilder::new();
    let data = "\u{7f}".repeat(60_000);
    let json = event(&format!(r#""data":{{"x":"{data}"}}"#));
    while !builder.is_full() {
        builder.push_json(json.as_bytes(), 0).unwrap();
        let json = event(&format!(r#""data":{{"x":"{}{}"}}"#, builder.len(), data));
        if !builder.is_full() {
            builder.push_json(json.as_bytes(), 0).unwrap();
        }
    }
    assert_eq!(builder.push_json(json.as_bytes(), 0).unwrap_err().field, "batch");
    let count = builder.len();
    assert_eq!(builder.finish(0).decode().unwrap().len(), count);
    builder.push_json(json.as_bytes(), 0).unwrap();
}

proptest! {
    /// With rejected events in between, a batch is byte for byte what it is without them.
    #[test]
    fn a_rejected_event_leaves_no_trace(good in prop::collection::vec(object(), 1..6), bad in prop::collection::vec((object(), value()), 1..6)) {
        let good: Vec<String> = good.iter().map(|data| event(&format!(r#""id":"0192f000-0000-7000-8000-000000000001","data":{data}"#))).collect();
        let mut clean = BatchBuilder::new();
        let mut tried = BatchBuilder::new();
        for (index, json) in good.iter().enumerate() {
            clean.push_json(json.as_bytes(), 5).unwrap();
            tried.push_json(json.as_bytes(), 5).unwrap();
            let (data, other) = &bad[index % bad.len()];
            let late = event(&format!(r#""user_id":"u","tags":["x"],"data":{data},"metadata":{{"k":{other}}},"wrong":1"#));
            let bytes = tried.approx_bytes();
            tried.push_json(late.as_bytes(), 5).unwrap_err();
            prop_assert_eq!(tried.approx_bytes(), bytes);
            let cut = &json[..json.len() - 1];
            tried.push_json(cut.as_bytes(), 5).unwrap_err();
        }
        prop_assert_eq!(tried.len(), clean.len());
        let (clean, tried) = (clean.finish(1).decode().unwrap(), tried.finish(1).decode().unwrap());
        prop_assert_eq!(clean.paths().collect::<std::collections::BTreeSet<_>>(), tried.paths().collect());
        let all = streamflow_proto::bitmap::Bitmap::new(clean.len(), true);
        let rows = |batch: &streamflow_proto::batch::Batch| {
            batch.events(&all).unwrap().iter().map(|event| serde_json::to_string(event).unwrap()).collect::<Vec<_>>()
        };
        prop_assert_eq!(rows(&clean), rows(&tried));
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        let mut builder = BatchBuilder::new();
        let taken = usize::from(builder.push_json(&bytes, 0).is_ok()) + usize::from(builder.push_json(text.as_bytes(), 0).is_ok());
        prop_assert_eq!(builder.len(), taken);
    }
}
