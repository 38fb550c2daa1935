//! Stored batches: many frames merged column by column, every stream compressed on its own so that a query reads only what it needs.

pub use crate::bloom::Bloom;
use crate::batch::{Batch, DecodeError};
use bytes::Bytes;
use uuid::Uuid;

/// A chunk to store, with what an index needs to skip it.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// The chunk itself; [`open`] reads it.
    pub body: Vec<u8>,
    /// Events in it.
    pub count: u32,
    /// The earliest event.
    pub min_ts: i64,
    /// The latest event.
    pub max_ts: i64,
    /// A [`Bloom`] over `path=value`.
    pub bloom: Vec<u8>,
    /// A [`Bloom`] over event ids.
    pub id_bloom: Vec<u8>,
    /// The smallest event id.
    pub min_id: Uuid,
    /// The largest event id.
    pub max_id: Uuid,
}

/// Why batches cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A batch that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More than a chunk may hold.
    #[error("{0} events are too many for a chunk")]
    TooMany(usize),
    /// The compressor failed.
    #[error("compression failed: {0}")]
    Compress(String),
}

/// Merges batches in order into one chunk, compressed at a zstd `level`.
pub fn encode(_batches: &[&Batch], _level: i32) -> Result<EncodedChunk, EncodeError> {
    Err(EncodeError::TooMany(0))
}

/// Reads a chunk's directory; a stream is inflated when it is first touched.
pub fn open(_body: Bytes) -> Result<Batch, DecodeError> {
    Err(DecodeError::Truncated("chunk"))
}
