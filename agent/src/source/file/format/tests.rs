//! Every line becomes an event, whatever it is.

use proptest::prelude::*;
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::event::Event;

use super::*;

const CONTEXT: Context<'_> = Context {
    kind: "log",
    source: "host-1",
    path: "/var/log/a",
    metadata: br#"{"file":"/var/log/a"}"#,
};

fn event(format: Format, line: &[u8]) -> (Event, Outcome) {
    let mut builder = BatchBuilder::new();
    let outcome = push(format, line, &CONTEXT, 1_000, &mut builder).unwrap();
    assert_eq!(builder.len(), 1);
    let batch = builder.finish(0).decode().unwrap();
    (batch.events(&Bitmap::new(1, true)).unwrap().remove(0), outcome)
}

fn data(event: &Event) -> serde_json::Value {
    serde_json::from_str(event.data.as_ref().unwrap().get()).unwrap()
}

#[test]
fn auto_takes_each_line_for_what_it_looks_like() {
    let (found, outcome) = event(Format::Auto, br#"{"type":"web.click","source":"shop","data":{"n":1}}"#);
    assert_eq!((found.kind.as_str(), found.source.as_str()), ("web.click", "shop"));
    assert_eq!(outcome, Outcome::default());

    let (found, outcome) = event(
        Format::Auto,
        br#"{"level":"error","msg":"no","ts":"2023-11-14T22:13:20Z"}"#,
    );
    assert_eq!(
        (found.kind.as_str(), found.severity, found.timestamp),
        ("log", Severity::High, 1_700_000_000_000)
    );
    assert_eq!(data(&found)["msg"], "no");
    assert_eq!(found.metadata.unwrap().get(), r#"{"file":"/var/log/a"}"#);
    assert_eq!(outcome, Outcome::default());

    let (found, _) = event(Format::Auto, b"level=debug msg=\"it works\" took=3");
    assert_eq!(found.severity, Severity::Low);
    assert_eq!(
        data(&found),
        serde_json::json!({"level":"debug","msg":"it works","took":3})
    );

    let (found, outcome) = event(Format::Auto, b"Nov 23 10:00:00 host kernel: x=1");
    assert_eq!(data(&found)["message"], "Nov 23 10:00:00 host kernel: x=1");
    assert_eq!((found.timestamp, outcome), (1_000, Outcome::default()));

    let (found, outcome) = event(Format::Auto, b"{not json");
    assert_eq!(data(&found)["message"], "{not json");
    assert_eq!(outcome, Outcome::default());
}

#[test]
fn json_is_kept_as_it_is() {
    let line = br#"{"a":9007199254740993,"b":1.0,"c":{},"d.e":[null],"f":"\u00e9"}"#;
    let (found, _) = event(Format::Json, line);
    let expected: serde_json::Value = serde_json::from_slice(line).unwrap();
    assert_eq!(data(&found), expected);
    assert!(found.data.unwrap().get().contains("9007199254740993"));
}

#[test]
fn what_is_not_the_format_is_kept_and_said() {
    for (format, line) in [
        (Format::Event, &b"{\"type\":\"\",\"source\":\"s\"}"[..]),
        (Format::Event, b"plain"),
        (Format::Json, b"[1,2]"),
        (Format::Json, b"{\"a\":"),
        (Format::Logfmt, b"just words"),
    ] {
        let (found, outcome) = event(format, line);
        assert_eq!(data(&found)["message"], String::from_utf8_lossy(line).as_ref());
        assert!(outcome.malformed.is_some());
    }
    let (found, outcome) = event(Format::Json, b"{\"a\":\"caf\xe9\"}");
    assert_eq!(data(&found)["a"], "caf\u{fffd}");
    assert_eq!(
        outcome,
        Outcome {
            malformed: None,
            invalid_utf8: true
        }
    );
}

#[test]
fn a_line_whose_escapes_are_too_long_is_shortened() {
    let (found, _) = event(Format::Text, &[1; 60 << 10]);
    assert!(data(&found)["message"].as_str().unwrap().len() > 1_000);
}

proptest! {
    #[test]
    fn no_line_is_lost(line in prop::collection::vec(any::<u8>(), 1..200), which in 0usize..5) {
        let format = [Format::Auto, Format::Event, Format::Json, Format::Logfmt, Format::Text][which];
        event(format, &line);
    }
}
