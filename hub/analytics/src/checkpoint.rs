//! The engine's state as bytes: `SFAC` | version u16 | crc32c u32 of the rest | bincode. What does not fit exactly is not read at all.

use crate::engine::{EngineState, EngineStateRef};

const MAGIC: [u8; 4] = *b"SFAC";
/// Raised with every change of a type that a checkpoint holds.
const VERSION: u16 = 6;
const HEADER: usize = 10;

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("it is damaged")]
    Damaged,
    #[error("it has version {found}, this hub writes {VERSION}")]
    Version { found: u16 },
    #[error("it does not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("the state does not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

pub(crate) fn encode(state: &EngineStateRef<'_>) -> Result<Vec<u8>, CheckpointError> {
    let body = bincode::serde::encode_to_vec(state, bincode::config::standard())?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32c::crc32c(&body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<EngineState, CheckpointError> {
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(CheckpointError::Damaged)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(CheckpointError::Damaged)?;
    let (crc, body) = rest.split_first_chunk::<4>().ok_or(CheckpointError::Damaged)?;
    if *magic != MAGIC {
        return Err(CheckpointError::Damaged);
    }
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(CheckpointError::Version { found });
    }
    if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
        return Err(CheckpointError::Damaged);
    }
    let (state, read) = bincode::serde::decode_from_slice(body, bincode::config::standard())?;
    if read == body.len() {
        Ok(state)
    } else {
        Err(CheckpointError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, engine::Engine};

    #[test]
    fn only_an_intact_checkpoint_of_this_version_is_read() {
        let bytes = encode(&Engine::new(Options::default(), 0).state()).unwrap();
        decode(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(decode(&broken).is_err(), "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
