//! Damaged and hand-made bytes: refused or read, never a panic and never memory that the bytes do not pay for.

use bytes::Bytes;
use proptest::prelude::*;
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::BatchBuilder,
    chunk,
    frame::{self, Frame, FrameError, FrameHeader, HEADER_LEN},
    path::Path,
};

fn sample() -> Frame {
    let mut builder = BatchBuilder::new();
    for row in 0..20 {
        let json = format!(
            r#"{{"type":"t{}","source":"s","timestamp":{},"user_id":"u","tags":["x"],"data":{{"i":{row},"f":{row}.5,"b":{},"s":"text {row}","n":null,"o":{{"a":[{row}],"e":{{}}}},"big":12345678901234567890123}},"metadata":{{"k":"{}"}}}}"#,
            row % 3,
            1_700_000_000_000i64 + row,
            row % 2 == 0,
            row % 4,
        );
        builder.push_json(json.as_bytes(), 0).unwrap();
    }
    builder.finish(3)
}

/// Everything a reader may ask of a batch.
fn read_all(batch: &Batch) {
    let sound = batch.check().is_ok();
    let events = batch.events(&Bitmap::new(batch.len(), true));
    assert!(!sound || events.is_ok(), "checked, but {events:?}");
    for path in [
        "type",
        "source",
        "severity",
        "id",
        "timestamp",
        "tags",
        "user_id",
        "data.i",
        "data.f",
        "data.s",
        "data.o.a",
    ] {
        let path = Path::parse(path).unwrap();
        let answers = [
            batch.dict(&path).is_ok(),
            batch.strings(&path).is_ok(),
            batch.numbers(&path).is_ok(),
            batch.bools(&path).is_ok(),
            batch.integers(&path).is_ok(),
            batch.present(&path).is_ok(),
        ];
        assert!(
            !sound || answers.iter().all(|answer| *answer),
            "checked, but {path}: {answers:?}"
        );
        batch.range(&path);
    }
    assert_eq!(
        batch.paths().count(),
        batch.paths().filter(|(path, _)| !path.segments().is_empty()).count()
    );
    if let Ok(encoded) = chunk::encode(&[batch], 1) {
        let stored = chunk::open(encoded.body.into());
        assert!(!sound || stored.is_ok_and(|stored| stored.len() == batch.len()));
    }
}

/// A frame around any payload, with a header that fits it.
fn wrap(header: &FrameHeader, raw: &[u8]) -> Frame {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&frame::MAGIC);
    bytes.extend_from_slice(&[frame::VERSION, frame::CODEC_RAW, 0, 0]);
    bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&header.count.to_le_bytes());
    bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header.seq.to_le_bytes());
    bytes.extend_from_slice(&header.min_ts.to_le_bytes());
    bytes.extend_from_slice(&header.max_ts.to_le_bytes());
    bytes.extend_from_slice(raw);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Frame::parse(bytes.into()).unwrap()
}

fn raw_payload(frame: &Frame) -> Vec<u8> {
    let payload = &frame.bytes()[HEADER_LEN..];
    zstd::bulk::decompress(payload, frame.header().raw_len as usize).unwrap()
}

#[test]
fn every_truncation_and_flipped_bit_of_a_frame_is_noticed() {
    let frame = sample();
    let bytes = frame.bytes().to_vec();
    for len in 0..bytes.len() {
        assert!(Frame::parse(Bytes::copy_from_slice(&bytes[..len])).is_err());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(Frame::parse(bytes.into()).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn damage_behind_a_good_checksum_is_survived() {
    let frame = sample();
    let raw = raw_payload(&frame);
    read_all(&wrap(frame.header(), &raw).decode().unwrap());
    for len in 0..raw.len() {
        assert!(wrap(frame.header(), &raw[..len]).decode().is_err());
    }
    for at in 0..raw.len() {
        for bit in [0, 3, 7] {
            let mut raw = raw.clone();
            raw[at] ^= 1 << bit;
            if let Ok(batch) = wrap(frame.header(), &raw).decode() {
                read_all(&batch);
            }
        }
    }
}

#[test]
fn a_damaged_chunk_is_survived() {
    let batch = sample().decode().unwrap();
    let body = chunk::encode(&[&batch, &batch], 1).unwrap().body;
    for len in 0..body.len() {
        assert!(chunk::open(Bytes::copy_from_slice(&body[..len])).is_err());
    }
    for at in 0..body.len() {
        let mut body = body.clone();
        body[at] ^= 1 << (at % 8);
        if let Ok(batch) = chunk::open(body.into()) {
            read_all(&batch);
        }
    }
}

#[test]
fn absurd_numbers_in_a_header_are_named() {
    let good = sample().bytes().to_vec();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        FrameHeader::parse(&bytes).unwrap_err()
    };
    assert!(matches!(with(0, b"SFB2"), FrameError::Magic(_)));
    assert_eq!(with(4, &[9]), FrameError::Version(9));
    assert_eq!(with(5, &[9]), FrameError::Codec(9));
    assert_eq!(with(6, &[1]), FrameError::Flags(1));
    for (at, what) in [(8, "payload length"), (16, "count"), (20, "raw length")] {
        assert!(matches!(with(at, &[0xff; 4]), FrameError::Limit { what: named, .. } if named == what));
    }
}

/// Little that inflates to much: the stated length is the limit, whatever the payload would give.
#[test]
fn a_bomb_stops_at_its_stated_length() {
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
    let mut bytes = sample().bytes()[..HEADER_LEN].to_vec();
    bytes[8..12].copy_from_slice(&(bomb.len() as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&(4096u32).to_le_bytes());
    bytes.extend_from_slice(&bomb);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    assert!(Frame::parse(bytes.into()).unwrap().decode().is_err());
}

#[test]
fn the_place_in_the_log_can_change() {
    let frame = sample();
    let moved = frame.with_seq(99);
    assert_eq!(Frame::parse(moved.bytes().clone()).unwrap().header().seq, 99);
    assert_eq!(moved.decode().unwrap().len(), frame.decode().unwrap().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_payload_is_refused_or_read(at in any::<prop::sample::Index>(), patch in prop::collection::vec(any::<u8>(), 1..12)) {
        let frame = sample();
        let mut raw = raw_payload(&frame);
        let at = at.index(raw.len());
        let end = (at + patch.len()).min(raw.len());
        raw.splice(at..end, patch);
        if let Ok(batch) = wrap(frame.header(), &raw).decode() {
            read_all(&batch);
        }
    }

    #[test]
    fn any_bytes_are_no_frame_or_one(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Frame::parse(Bytes::from(bytes.clone())).is_err());
        if let Ok(batch) = chunk::open(Bytes::from(bytes)) {
            read_all(&batch);
        }
    }
}
