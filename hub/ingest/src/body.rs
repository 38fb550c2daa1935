//! A request's body: bounded as it comes, and bounded again as it inflates.

use std::{io::Read, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Limited};
use streamflow_web::ApiError;

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// From `Content-Encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Self::Identity);
        };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => Err(ApiError::unsupported(format!(
                "Content-Encoding `{other}` is not read here; use gzip, zstd or none"
            ))),
        }
    }

    /// The plain body.
    ///
    /// # Errors
    /// 413 beyond `limit`, 400 when it does not inflate.
    pub(crate) fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, ApiError> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => inflate(flate2::read::MultiGzDecoder::new(&body[..]), "gzip", body.len(), limit),
            Self::Zstd => {
                let reader = zstd::stream::read::Decoder::with_buffer(&body[..]).and_then(|mut reader| {
                    // a frame may ask for a window of gigabytes before it yields a byte
                    reader.window_log_max(24)?;
                    Ok(reader)
                });
                let reader = reader.map_err(|error| ApiError::bad_request(format!("the body is not zstd: {error}")))?;
                inflate(reader, "zstd", body.len(), limit)
            }
        }
    }
}

fn inflate(reader: impl Read, name: &str, packed: usize, limit: usize) -> Result<Bytes, ApiError> {
    let mut plain = Vec::with_capacity((packed * 4).min(limit));
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid {name}: {error}")))?;
    if plain.len() > limit {
        Err(too_large(limit))
    } else {
        Ok(plain.into())
    }
}

/// Bytes to ask admission for: what the body as sent will be at most.
pub(crate) fn expected_bytes(headers: &HeaderMap, limit: usize) -> Result<usize, ApiError> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    match length {
        Some(length) if length > limit => Err(too_large(limit)),
        Some(length) => Ok(length),
        None => Ok(limit),
    }
}

/// A refused body is read on for this long and this far, because a client that still sends when the connection closes sees a broken pipe
/// instead of the answer.
const DISCARD: (Duration, usize) = (Duration::from_secs(5), 64 << 20);

/// Throws a refused body away as it comes.
pub(crate) async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut left = DISCARD.1;
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    if tokio::time::timeout(DISCARD.0, reading).await.is_err() {
        tracing::debug!("a refused body was still being sent when it was cut");
    }
}

/// Reads the whole body as sent, in the pieces in which it came: joining them would copy every byte once more.
///
/// # Errors
/// 413 beyond `limit`, 400 when it breaks off.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Vec<Bytes>, ApiError> {
    let read = Limited::new(body, limit).collect().await.map_err(|error| {
        let mut cause = Some(&*error as &dyn std::error::Error);
        while let Some(at) = cause {
            if at.is::<http_body_util::LengthLimitError>() {
                return too_large(limit);
            }
            cause = at.source();
        }
        ApiError::bad_request("the body could not be read to its end")
    })?;
    let mut all = read.aggregate();
    let mut pieces = Vec::new();
    while all.has_remaining() {
        pieces.push(all.copy_to_bytes(all.chunk().len()));
    }
    Ok(pieces)
}

/// Bytes in all pieces together.
pub(crate) fn len(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

/// The pieces as one.
pub(crate) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => pieces.concat().into(),
    }
}

/// The same bytes in pieces that end with a line: only lines that are cut are copied.
pub(crate) fn whole_lines(pieces: Vec<Bytes>) -> Vec<Bytes> {
    let mut whole = Vec::with_capacity(2 * pieces.len());
    let mut begun = Vec::new();
    for mut piece in pieces {
        if !begun.is_empty() {
            let Some(end) = memchr::memchr(b'\n', &piece) else {
                begun.extend_from_slice(&piece);
                continue;
            };
            begun.extend_from_slice(&piece.split_to(end + 1));
            whole.push(Bytes::from(std::mem::take(&mut begun)));
        }
        let complete = memchr::memrchr(b'\n', &piece).map_or(0, |end| end + 1);
        begun.extend_from_slice(&piece.split_off(complete));
        if !piece.is_empty() {
            whole.push(piece);
        }
    }
    if !begun.is_empty() {
        whole.push(begun.into());
    }
    whole
}

fn too_large(limit: usize) -> ApiError {
    ApiError::too_large(format!("the body is larger than {limit} bytes; send it in parts"))
        .with_details(serde_json::json!({"max_body_bytes": limit}))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_stay_whole_however_they_come(text in "[ab\n]{0,40}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([text.len()]);
            let mut start = 0;
            let pieces: Vec<Bytes> = ends
                .map(|end| Bytes::copy_from_slice(&text.as_bytes()[std::mem::replace(&mut start, end)..end]))
                .collect();
            let whole = whole_lines(pieces);
            prop_assert_eq!(&*joined(whole.clone()), text.as_bytes());
            let inner = whole.iter().rev().skip(1);
            prop_assert!(inner.clone().all(|piece| piece.ends_with(b"\n")));
        }
    }

    #[test]
    fn bombs_are_refused_and_good_bodies_come_out_equal() {
        let plain = vec![b'a'; 100_000];
        let gzip = {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            writer.write_all(&plain).unwrap();
            Bytes::from(writer.finish().unwrap())
        };
        let zstd = Bytes::from(zstd::stream::encode_all(&plain[..], 3).unwrap());
        for (encoding, body) in [
            (Encoding::Gzip, gzip),
            (Encoding::Zstd, zstd),
            (Encoding::Identity, Bytes::from(plain.clone())),
        ] {
            assert_eq!(encoding.decode(body.clone(), 100_000).unwrap(), plain, "{encoding:?}");
            if encoding != Encoding::Identity {
                assert_eq!(encoding.decode(body.clone(), 99_999).unwrap_err().status(), 413);
                assert_eq!(
                    encoding
                        .decode(body.slice(..body.len() / 2), 100_000)
                        .unwrap_err()
                        .status(),
                    400
                );
                assert_eq!(
                    encoding
                        .decode(Bytes::from_static(b"plain"), 100_000)
                        .unwrap_err()
                        .status(),
                    400
                );
            }
        }
    }
}
