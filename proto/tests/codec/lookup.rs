//! Answers by path agree with the events they come from.

use crate::json::object;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;
use streamflow_proto::{
    batch::{Batch, Dict},
    bitmap::Bitmap,
    build::BatchBuilder,
    chunk,
    path::Path,
};

fn batches(objects: &[String]) -> (Batch, Batch, chunk::EncodedChunk) {
    let mut builder = BatchBuilder::new();
    for object in objects {
        builder
            .push_json(format!(r#"{{"type":"t","source":"s","data":{object}}}"#).as_bytes(), 1)
            .unwrap();
    }
    let batch = builder.finish(0).decode().unwrap();
    let encoded = chunk::encode(&[&batch], 1).unwrap();
    let stored = chunk::open(encoded.body.clone().into()).unwrap();
    (batch, stored, encoded)
}

/// The same events as a chunk that was never a frame.
fn at_once(objects: &[String]) -> (Batch, Arc<chunk::EncodedChunk>) {
    let mut builder = BatchBuilder::new().of_chunks(1000);
    for object in objects {
        builder
            .push_json(format!(r#"{{"type":"t","source":"s","data":{object}}}"#).as_bytes(), 1)
            .unwrap();
    }
    let encoded = Arc::new(builder.finish_chunk(1).unwrap());
    (chunk::open_shared(Arc::clone(&encoded)).unwrap(), encoded)
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

proptest! {
    #[test]
    fn columns_agree_with_rows(objects in prop::collection::vec(object(), 1..20)) {
        let (batch, stored, encoded) = batches(&objects);
        let bloom = chunk::Bloom::new(&encoded.bloom);
        let (direct, direct_encoded) = at_once(&objects);
        let direct_bloom = chunk::Bloom::new(&direct_encoded.bloom);
        for path in [path("data.a"), path("data.b"), path("data.a.b"), path("data[\"a.b\"]"), path("data[\"\"]")] {
            for (batch, bloom) in [(&batch, &bloom), (&stored, &bloom), (&direct, &direct_bloom)] {
                let dict = batch.dict(&path).unwrap().unwrap_or_else(|| absent(batch.len()));
                let strings = batch.strings(&path).unwrap().unwrap_or_else(|| absent(batch.len()));
                let bools = batch.bools(&path).unwrap();
                let numbers = batch.numbers(&path).unwrap();
                let integers = batch.integers(&path).unwrap();
                let present = batch.present(&path).unwrap();
                for (row, event) in batch.events(&Bitmap::new(batch.len(), true)).unwrap().iter().enumerate() {
                    // Numbers that serde_json cannot hold leave the whole event unreadable here, not there.
                    let Ok(data) = serde_json::from_str::<Value>(event.data.as_ref().unwrap().get()) else { continue };
                    let value = path.keys().iter().try_fold(&data, |value, key| value.get(key));
                    prop_assert_eq!(present.get(row), value.is_some());
                    prop_assert_eq!(strings.get(row), value.and_then(Value::as_str));
                    prop_assert_eq!(bools.as_ref().is_some_and(|bools| bools.present.get(row)), value.is_some_and(Value::is_boolean));
                    prop_assert_eq!(bools.as_ref().is_some_and(|bools| bools.values.get(row)), value == Some(&Value::Bool(true)));
                    let number = numbers.as_ref().filter(|numbers| numbers.present.get(row)).map(|numbers| numbers.values[row]);
                    prop_assert_eq!(number, value.and_then(Value::as_f64));
                    let integer = integers.as_ref().filter(|integers| integers.present.get(row)).map(|integers| integers.values[row]);
                    prop_assert_eq!(integer, value.and_then(Value::as_i64));
                    if let (Some(number), Some((min, max))) = (number, batch.range(&path)) {
                        prop_assert!(min <= number && number <= max);
                    }
                    match value {
                        Some(Value::String(text)) => {
                            prop_assert_eq!(dict.get(row), Some(text.as_str()));
                            prop_assert!(bloom.contains(&path, text));
                        }
                        None | Some(Value::Null | Value::Object(_)) => prop_assert_eq!(dict.get(row), None),
                        Some(value) => {
                            let shown: Value = serde_json::from_str(dict.get(row).unwrap()).unwrap();
                            prop_assert_eq!(&shown, value);
                        }
                    }
                }
            }
        }
    }
}

fn absent(rows: usize) -> Dict {
    Dict {
        values: Vec::new(),
        ids: vec![Dict::ABSENT; rows],
    }
}

#[test]
fn fixed_fields_answer_too() {
    let mut builder = BatchBuilder::new();
    for (kind, severity, at) in [("a", "low", 1000), ("b", "critical", 2000), ("a", "low", 3000)] {
        let json = format!(
            r#"{{"type":"{kind}","source":"s","severity":"{severity}","timestamp":{at},"user_id":"u","tags":["x"]}}"#
        );
        builder.push_json(json.as_bytes(), 1).unwrap();
    }
    let batch = builder.finish(0).decode().unwrap();
    let column = |text: &str| {
        let dict = batch.dict(&path(text)).unwrap().unwrap();
        (0..3)
            .map(|row| dict.get(row).unwrap_or("-").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(column("type"), ["a", "b", "a"]);
    assert_eq!(column("source"), ["s", "s", "s"]);
    assert_eq!(column("severity"), ["low", "critical", "low"]);
    assert_eq!(column("timestamp")[1], "1970-01-01T00:00:02.000Z");
    assert_eq!(column("user_id"), ["u", "u", "u"]);
    assert_eq!(column("tags"), [r#"["x"]"#, r#"["x"]"#, r#"["x"]"#]);
    assert_eq!(
        batch.numbers(&path("timestamp")).unwrap().unwrap().values,
        [1000.0, 2000.0, 3000.0]
    );
    assert_eq!((batch.min_ts(), batch.max_ts()), (1000, 3000));
    assert_eq!(batch.dict(&path("data.x")).unwrap(), None);
    let mut direct = BatchBuilder::new().of_chunks(10);
    for event in batch.events(&Bitmap::new(3, true)).unwrap() {
        direct.push_event(&event).unwrap();
    }
    for encoded in [chunk::encode(&[&batch], 1).unwrap(), direct.finish_chunk(1).unwrap()] {
        let bloom = chunk::Bloom::new(&encoded.bloom);
        assert!(bloom.contains(&path("type"), "a") && !bloom.contains(&path("type"), "c"));
        assert!(bloom.contains(&path("severity"), "low") && !bloom.contains(&path("severity"), "high"));
        assert!(bloom.contains(&path("user_id"), "u") && bloom.contains(&path("tags"), "anything"));
    }
}
