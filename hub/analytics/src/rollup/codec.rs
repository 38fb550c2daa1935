//! An aggregate as stored bytes: a version and bincode. What does not fit exactly is not read at all.

use streamflow_proto::aggregate::Accumulator;

/// Raised with every change of a type that an accumulator holds; stored windows of another version are not read.
const VERSION: u8 = 1;

/// Why stored bytes are not an aggregate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("it has version {0}, this hub writes {VERSION}")]
    Version(u8),
    #[error("it is damaged")]
    Damaged,
    #[error("it does not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("it does not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

pub(super) fn encode(accumulator: &Accumulator) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION];
    bincode::serde::encode_into_std_write(accumulator, &mut bytes, bincode::config::standard())?;
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Accumulator, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Damaged)?;
    if *version != VERSION {
        return Err(CodecError::Version(*version));
    }
    let (accumulator, read) = bincode::serde::decode_from_slice(body, bincode::config::standard())?;
    if read == body.len() {
        Ok(accumulator)
    } else {
        Err(CodecError::Damaged)
    }
}
