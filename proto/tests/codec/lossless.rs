//! What goes in comes out: through frames, through chunks, whatever the JSON.

use crate::json::{Json, object};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use streamflow_proto::{
    batch::{Batch, ColumnKind},
    bitmap::Bitmap,
    build::{BatchBuilder, Head, Scalar},
    chunk,
    event::{Event, Severity},
    frame::Frame,
};
use uuid::Uuid;

/// One event to send: its parts as JSON text.
#[derive(Clone, Debug)]
struct Sent {
    id: u128,
    kind: String,
    timestamp: i64,
    severity: usize,
    data: Option<String>,
    metadata: Option<String>,
    user_id: Option<String>,
    tags: Vec<String>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let times = prop_oneof![
        1_700_000_000_000i64..1_700_000_100_000,
        -62_135_596_800_000i64..=253_402_300_799_999
    ];
    let kinds = prop_oneof![
        prop::sample::select(vec!["log", "metric"]).prop_map(str::to_owned),
        "[a-zé.]{1,20}"
    ];
    (
        any::<u128>(),
        kinds,
        times,
        0usize..4,
        prop::option::of(object()),
        prop::option::of(object()),
        prop::option::of(".{0,8}"),
        prop::collection::vec(".{0,4}", 0..3),
    )
        .prop_map(|(id, kind, timestamp, severity, data, metadata, user_id, tags)| Sent {
            id,
            kind,
            timestamp,
            severity,
            data,
            metadata,
            user_id,
            tags,
        })
}

impl Sent {
    fn json(&self) -> String {
        let mut json = format!(
            r#"{{"type":{},"timestamp":{},"id":"{}","source":"s","severity":"{}""#,
            serde_json::to_string(&self.kind).unwrap(),
            self.timestamp,
            Uuid::from_u128(self.id),
            Severity::ALL[self.severity]
        );
        for (name, object) in [("data", &self.data), ("metadata", &self.metadata)] {
            if let Some(object) = object {
                json += &format!(r#","{name}":{object}"#);
            }
        }
        if let Some(user_id) = &self.user_id {
            json += &format!(r#","user_id":{}"#, serde_json::to_string(user_id).unwrap());
        }
        json += &format!(r#","tags":{}}}"#, serde_json::to_string(&self.tags).unwrap());
        json
    }

    fn assert_came_back(&self, event: &Event) {
        assert_eq!(event.id.as_u128(), self.id);
        assert_eq!(event.kind, self.kind);
        assert_eq!(event.source, "s");
        assert_eq!(event.timestamp, self.timestamp);
        assert_eq!(event.severity, Severity::ALL[self.severity]);
        assert_eq!(event.user_id, self.user_id);
        assert_eq!(event.tags, self.tags);
        for (got, want) in [(&event.data, &self.data), (&event.metadata, &self.metadata)] {
            assert_eq!(
                got.as_ref().map(|json| Json::parse(json.get())),
                want.as_ref().map(|json| Json::parse(json))
            );
        }
    }
}

fn all(batch: &Batch) -> Vec<Event> {
    batch.check().unwrap();
    batch.events(&Bitmap::new(batch.len(), true)).unwrap()
}

fn frame_of(builder: &mut BatchBuilder, sent: &[Sent]) -> Frame {
    for sent in sent {
        builder
            .push_json(sent.json().as_bytes(), 0)
            .unwrap_or_else(|rejection| panic!("{rejection}: {}", sent.json()));
    }
    Frame::parse(builder.finish(7).bytes().clone()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn events_come_back_from_frames_and_chunks(batches in prop::collection::vec(prop::collection::vec(sent(), 1..12), 1..4)) {
        let mut builder = BatchBuilder::new();
        let mut decoded = Vec::new();
        for sent in &batches {
            let frame = frame_of(&mut builder, sent);
            prop_assert_eq!(frame.header().count as usize, sent.len());
            let batch = frame.decode().unwrap();
            let events = all(&batch);
            prop_assert_eq!(events.len(), sent.len());
            for (sent, event) in sent.iter().zip(&events) {
                sent.assert_came_back(event);
            }
            decoded.push(batch);
        }
        let borrowed: Vec<&Batch> = decoded.iter().collect();
        let stored = chunk::encode(&borrowed, 1).unwrap();
        let sent: Vec<&Sent> = batches.iter().flatten().collect();
        prop_assert_eq!(stored.count as usize, sent.len());
        prop_assert_eq!(Some(stored.min_ts), sent.iter().map(|sent| sent.timestamp).min());
        prop_assert_eq!(Some(stored.max_ts), sent.iter().map(|sent| sent.timestamp).max());
        prop_assert_eq!(Some(stored.min_id.as_u128()), sent.iter().map(|sent| sent.id).min());
        let (stored_count, stored_bounds, stored_ids) = (stored.count, (stored.min_ts, stored.max_ts), (stored.min_id, stored.max_id));
        let ids = chunk::Bloom::new(&stored.id_bloom);
        let batch = chunk::open(Bytes::from(stored.body)).unwrap();
        for (sent, event) in sent.iter().zip(all(&batch)) {
            sent.assert_came_back(&event);
            prop_assert!(ids.contains_id(event.id));
        }
        // A batch that becomes a chunk at once says the same.
        let mut direct = BatchBuilder::new().of_chunks(1000);
        for sent in &sent {
            direct.push_json(sent.json().as_bytes(), 0).unwrap();
        }
        let at_once = Arc::new(direct.finish_chunk(1).unwrap());
        prop_assert!(direct.is_empty());
        prop_assert_eq!((at_once.count, at_once.min_ts, at_once.max_ts), (stored_count, stored_bounds.0, stored_bounds.1));
        prop_assert_eq!((at_once.min_id, at_once.max_id), stored_ids);
        let at_once_ids = chunk::Bloom::new(&at_once.id_bloom);
        let again = chunk::open_shared(Arc::clone(&at_once)).unwrap();
        for (sent, event) in sent.iter().zip(all(&again)) {
            sent.assert_came_back(&event);
            prop_assert!(at_once_ids.contains_id(event.id));
        }
        // A chunk merges like any batch.
        let again = chunk::open(chunk::encode(&[&batch, &batch], 1).unwrap().body.into()).unwrap();
        prop_assert_eq!(again.len(), 2 * sent.len());
        sent[0].assert_came_back(&again.event(sent.len()).unwrap());
    }

    #[test]
    fn rows_go_in_as_they_came_out(sent in prop::collection::vec(sent(), 1..6)) {
        let mut builder = BatchBuilder::new();
        let events = all(&frame_of(&mut builder, &sent).decode().unwrap());
        for event in &events {
            builder.push_event(event).unwrap();
        }
        for (sent, event) in sent.iter().zip(all(&builder.finish(0).decode().unwrap())) {
            sent.assert_came_back(&event);
        }
    }

    /// What a filter leaves is what would be there had the other events never come.
    #[test]
    fn rows_that_are_not_kept_leave_no_trace(sent in prop::collection::vec((sent(), any::<bool>()), 1..40)) {
        let all: Vec<Sent> = sent.iter().map(|(sent, _)| sent.clone()).collect();
        let kept: Vec<Sent> = sent.iter().filter(|(_, kept)| *kept).map(|(sent, _)| sent.clone()).collect();
        let mut builder = BatchBuilder::new();
        for sent in &all {
            builder.push_json(sent.json().as_bytes(), 0).unwrap();
        }
        prop_assert_eq!(builder.view().unwrap().len(), all.len());
        builder.retain(&Bitmap::from_fn(sent.len(), |row| sent[row].1));
        prop_assert_eq!(builder.len(), kept.len());
        prop_assert!(!kept.is_empty() || builder.approx_bytes() == 0);
        builder.push_json(all[0].json().as_bytes(), 0).unwrap();
        let batch = builder.finish(0).decode().unwrap();
        let events = crate::lossless::all(&batch);
        for (sent, event) in kept.iter().chain([&all[0]]).zip(&events) {
            sent.assert_came_back(event);
        }
        let mut fresh = BatchBuilder::new();
        for sent in kept.iter().chain([&all[0]]) {
            fresh.push_json(sent.json().as_bytes(), 0).unwrap();
        }
        let paths = |batch: &Batch| batch.paths().collect::<std::collections::BTreeSet<_>>();
        let (left, fresh) = (paths(&batch), paths(&fresh.finish(0).decode().unwrap()));
        let overflown = left.iter().any(|(_, kind)| *kind == ColumnKind::Object);
        prop_assert!(overflown || left == fresh);
    }

    #[test]
    fn log_objects_become_data(object in object(), metadata in object()) {
        let mut builder = BatchBuilder::new();
        let head = Head { kind: "log", source: "s", timestamp_ms: 5, severity: Severity::Low, id: None, metadata: Some(metadata.as_bytes()) };
        let id = builder.push_log(&head, object.as_bytes()).unwrap();
        let event = builder.finish(0).decode().unwrap().event(0).unwrap();
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(Json::parse(event.data.unwrap().get()), Json::parse(&object));
        prop_assert_eq!(Json::parse(event.metadata.unwrap().get()), Json::parse(&metadata));
    }

    #[test]
    fn fields_become_data(fields in prop::collection::vec(("[a-c.]{0,2}", prop_oneof![
        Just(Field::Null), any::<bool>().prop_map(Field::Bool), any::<i64>().prop_map(Field::Int),
        any::<f64>().prop_map(Field::Float), ".{0,5}".prop_map(Field::Str),
    ]), 0..6)) {
        let mut builder = BatchBuilder::new();
        let head = Head { kind: "log", source: "s", timestamp_ms: 5, severity: Severity::Low, id: None, metadata: None };
        let scalars: Vec<(&str, Scalar<'_>)> = fields.iter().map(|(name, value)| (name.as_str(), value.scalar())).collect();
        builder.push_fields(&head, &scalars).unwrap();
        let event = builder.finish(0).decode().unwrap().event(0).unwrap();
        let members: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{}", serde_json::to_string(name).unwrap(), value.json())).collect();
        prop_assert_eq!(Json::parse(event.data.unwrap().get()), Json::parse(&format!("{{{}}}", members.join(","))));
    }
}

#[derive(Clone, Debug)]
enum Field {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
}

impl Field {
    fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Int(value) => Scalar::Int(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Str(value) => Scalar::Str(value),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => serde_json::to_string(value).unwrap(),
            Self::Str(value) => serde_json::to_string(value).unwrap(),
        }
    }
}

/// Many keys, in one event and over many: what does not fit columns overflows and comes back all the same.
#[test]
fn more_keys_than_columns_overflow() {
    let mut builder = BatchBuilder::new();
    let mut frames = Vec::new();
    let mut want = Vec::new();
    for event in 0..300 {
        let members: Vec<String> = (0..20)
            .map(|key| format!(r#""k{}":{{"v":[{key}],"n":{event}}}"#, event * 10 + key))
            .collect();
        let data = format!("{{{}}}", members.join(","));
        builder
            .push_json(format!(r#"{{"type":"t","source":"s","data":{data}}}"#).as_bytes(), 1)
            .unwrap();
        want.push(Json::parse(&data));
        if event % 100 == 99 {
            frames.push(builder.finish(0));
        }
    }
    let batches: Vec<Batch> = frames.iter().map(|frame| frame.decode().unwrap()).collect();
    assert!(batches.iter().all(|batch| batch.paths().count() <= 256));
    let borrowed: Vec<&Batch> = batches.iter().collect();
    let stored = chunk::open(chunk::encode(&borrowed, 1).unwrap().body.into()).unwrap();
    let got: Vec<Json> = all(&stored)
        .iter()
        .map(|event| Json::parse(event.data.as_ref().unwrap().get()))
        .collect();
    assert!(got == want);
}

/// Merging batches that together have too many columns keeps every event.
#[test]
fn more_columns_than_a_chunk_may_have_overflow() {
    let mut builder = BatchBuilder::new();
    let mut want = Vec::new();
    let batches: Vec<Batch> = (0..40)
        .map(|batch| {
            for key in 0..200 {
                let data = format!(r#"{{"b{batch}k{key}":1e15,"x":"text{key}"}}"#);
                builder
                    .push_json(format!(r#"{{"type":"t","source":"s","data":{data}}}"#).as_bytes(), 1)
                    .unwrap();
                want.push(Json::parse(&data));
            }
            builder.finish(0).decode().unwrap()
        })
        .collect();
    let borrowed: Vec<&Batch> = batches.iter().collect();
    let encoded = chunk::encode(&borrowed, 1).unwrap();
    let bloom = chunk::Bloom::new(&encoded.bloom);
    let path = streamflow_proto::path::Path::parse("data.x").unwrap();
    assert!(bloom.contains(&path, "text7"));
    assert!(!bloom.contains(&path, "something else"));
    let stored = chunk::open(encoded.body.into()).unwrap();
    let got: Vec<Json> = all(&stored)
        .iter()
        .map(|event| Json::parse(event.data.as_ref().unwrap().get()))
        .collect();
    assert!(got == want);
    assert_eq!(stored.strings(&path).unwrap().unwrap().get(5), Some("text5"));
}

/// A column of strings that stop repeating changes its form within the batch.
#[test]
fn varied_strings_come_back() {
    let mut builder = BatchBuilder::new();
    for round in 0..20 {
        for row in 0..300 {
            let data = format!(
                r#"{{"m":"message {} of {round}","s":"{}"}}"#,
                row * (round % 3),
                row % 7
            );
            builder
                .push_json(format!(r#"{{"type":"t","source":"s","data":{data}}}"#).as_bytes(), 1)
                .unwrap();
        }
        let events = all(&builder.finish(0).decode().unwrap());
        for (row, event) in events.iter().enumerate() {
            let want = format!(
                r#"{{"m":"message {} of {round}","s":"{}"}}"#,
                row * (round % 3),
                row % 7
            );
            assert_eq!(event.data.as_ref().unwrap().get(), want);
        }
    }
}

#[test]
fn frames_need_not_be_compressed() {
    let json = br#"{"type":"t","source":"s","data":{"x":"the same again and again and again"}}"#;
    let frame = |mut builder: BatchBuilder| {
        for _ in 0..500 {
            builder.push_json(json, 1).unwrap();
        }
        Frame::parse(builder.finish(0).bytes().clone()).unwrap()
    };
    let (packed, plain) = (frame(BatchBuilder::new()), frame(BatchBuilder::new().uncompressed()));
    assert!(plain.bytes().len() > 2 * packed.bytes().len());
    assert_eq!(plain.header().raw_len, plain.header().payload_len);
    assert_eq!(
        all(&plain.decode().unwrap()).len(),
        all(&packed.decode().unwrap()).len()
    );
}

#[test]
fn minted_ids_are_unique_and_ordered() {
    let mut builder = BatchBuilder::new();
    let mut ids: Vec<Uuid> = (0..1000)
        .map(|_| {
            builder
                .push_json(br#"{"type":"t","source":"s"}"#, 1_700_000_000_000)
                .unwrap()
        })
        .collect();
    let frame = builder.finish(0);
    assert_eq!(frame.decode().unwrap().ids().unwrap(), ids);
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), 1000);
    assert!(
        frame.bytes().len() < 2000,
        "a batch of minted ids is {} bytes",
        frame.bytes().len()
    );
}
