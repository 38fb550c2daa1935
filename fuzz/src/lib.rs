//! What each fuzz target does with its input: whatever the bytes, nothing panics and what is accepted holds together.

use bytes::Bytes;
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::BatchBuilder,
    chunk,
    filter::{Condition, ConditionInput, Filter},
    frame::Frame,
    path::Path,
    wire::{Decoder, ToAgent, ToHub},
};

/// A frame, as it is and with its checksum put right, so that what lies behind the checksum is reached.
pub fn frame(data: &[u8]) {
    let mut mended = data.to_vec();
    if let Some((head, rest)) = mended.split_at_mut_checked(16) {
        head[12..16].copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    }
    for bytes in [data.to_vec(), mended] {
        if let Ok(batch) = Frame::parse(Bytes::from(bytes))
            .map_err(drop)
            .and_then(|frame| frame.decode().map_err(drop))
        {
            read(&batch);
        }
    }
}

/// A stored chunk.
pub fn chunk(data: &[u8]) {
    if let Ok(batch) = chunk::open(Bytes::copy_from_slice(data)) {
        read(&batch);
    }
}

/// Asks a batch for everything; once checked, it must answer.
fn read(batch: &Batch) {
    let sound = batch.check().is_ok();
    let events = batch.events(&Bitmap::new(batch.len().min(100), true));
    assert!(!sound || events.is_ok(), "{events:?}");
    for (path, _) in batch.paths().take(20) {
        let answers = [
            batch.dict(&path).is_ok(),
            batch.numbers(&path).is_ok(),
            batch.present(&path).is_ok(),
        ];
        assert!(!sound || answers == [true; 3], "{path}: {answers:?}");
    }
    let merged = chunk::encode(&[batch, batch], 1);
    assert!(!sound || merged.is_ok(), "{merged:?}");
}

/// One event; what is accepted comes back, and sending that again changes nothing.
pub fn event_json(data: &[u8]) {
    let mut builder = BatchBuilder::new();
    if builder.push_json(data, 1_700_000_000_000).is_err() {
        assert!(builder.is_empty());
        return;
    }
    let shown = show(&mut builder);
    if builder.push_json(shown.as_bytes(), 0).is_ok() {
        assert_eq!(show(&mut builder), shown);
    }
}

fn show(builder: &mut BatchBuilder) -> String {
    let batch = builder.finish(0).decode().expect("what was just written");
    batch.check().expect("what was just written");
    serde_json::to_string(&batch.event(0).expect("what was just written")).expect("an event is JSON")
}

/// The wire's byte stream, in pieces as long as the first byte says.
pub fn wire_decoder(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let mut to_hub = Decoder::<ToHub>::default();
    let mut to_agent = Decoder::<ToAgent>::default();
    for bytes in stream.chunks(usize::from(*piece).max(1)) {
        to_hub.feed(bytes);
        to_agent.feed(bytes);
        while let Ok(Some(_)) = to_hub.next() {}
        while let Ok(Some(_)) = to_agent.next() {}
    }
}

/// A filter and a condition; what compiles must answer.
pub fn filter(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    if let Ok(filter) = Filter::compile(source) {
        let mut builder = BatchBuilder::new();
        for json in [
            r#"{"type":"a","source":"b","data":{"x":1,"y":"z","list":[1,2],"o":{"p":true}},"tags":["t"]}"#,
            r#"{"type":"log","source":"c","severity":"high","data":{"x":"1","y":null},"user_id":"u"}"#,
        ] {
            builder.push_json(json.as_bytes(), 0).expect("a good event");
        }
        let batch = builder.finish(0).decode().expect("what was just written");
        if let Ok(rows) = filter.eval(&batch) {
            assert_eq!(rows.len(), batch.len());
            let encoded = chunk::encode(&[&batch], 1).expect("what was just written");
            let bloom = chunk::Bloom::new(&encoded.bloom);
            assert!(
                rows.is_empty() || filter.may_match(batch.min_ts(), batch.max_ts(), &bloom),
                "{source}"
            );
        }
    }
    if let Ok(condition) = Condition::compile(source) {
        let input = ConditionInput {
            value: 1.0,
            threshold: Some(2.0),
            labels: &[("source".into(), "a".into())],
        };
        condition.eval(&input).map_or_else(drop, drop);
    }
    Path::parse(source).map_or_else(drop, |path| assert_eq!(Path::parse(&path.to_string()), Ok(path)));
}
