//! Where a batch's streams are kept: side by side in a frame, in compressed blocks in a chunk.

use crate::batch::DecodeError;
use bytes::Bytes;
use std::{cell::RefCell, ops::Range, sync::OnceLock};

/// The streams of a batch.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Inflated already.
    Flat { raw: Bytes, ranges: Vec<Range<usize>> },
    /// Inflated block by block on first touch.
    Blocks {
        blocks: Vec<LazyBlock>,
        places: Vec<(u32, Range<usize>)>,
    },
}

/// A compressed block and, once somebody asked, what is in it.
#[derive(Debug)]
pub(crate) struct LazyBlock {
    stored: Bytes,
    raw_len: usize,
    raw: OnceLock<Result<Vec<u8>, DecodeError>>,
}

impl LazyBlock {
    pub(crate) fn new(stored: Bytes, raw_len: usize) -> Self {
        Self {
            stored,
            raw_len,
            raw: OnceLock::new(),
        }
    }

    fn bytes(&self) -> Result<&[u8], DecodeError> {
        let inflated = self
            .raw
            .get_or_init(|| inflate(&self.stored, self.raw_len, "chunk block"));
        inflated.as_deref().map_err(Clone::clone)
    }
}

impl Streams {
    /// The bytes of a stream.
    pub(crate) fn get(&self, index: usize) -> Result<&[u8], DecodeError> {
        let found = match self {
            Self::Flat { raw, ranges } => ranges.get(index).and_then(|range| raw.get(range.clone())),
            Self::Blocks { blocks, places } => match places.get(index) {
                Some((_, range)) if range.is_empty() => Some([].as_slice()),
                Some((block, range)) => match blocks.get(*block as usize) {
                    Some(block) => block.bytes()?.get(range.clone()),
                    None => None,
                },
                None => None,
            },
        };
        found.ok_or(DecodeError::Truncated("stream"))
    }
}

/// Inflates one zstd frame that must give exactly `raw_len` bytes.
pub(crate) fn inflate(stored: &[u8], raw_len: usize, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    thread_local! {
        static CONTEXT: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    // A frame cannot promise more than zstd can deliver from so few bytes, so the promise is safe to allocate.
    if raw_len > stored.len().saturating_mul(MAX_RATIO).saturating_add(1024) {
        return Err(DecodeError::Inflate(what));
    }
    CONTEXT.with_borrow_mut(|context| {
        let decompressor = match context {
            Some(decompressor) => decompressor,
            None => context.insert(zstd::bulk::Decompressor::new().map_err(|_| DecodeError::Inflate(what))?),
        };
        match decompressor.decompress(stored, raw_len) {
            Ok(raw) if raw.len() == raw_len => Ok(raw),
            _ => Err(DecodeError::Inflate(what)),
        }
    })
}

/// A zstd block of four bytes can stand for 128 KiB, so no honest frame shrinks further than this.
const MAX_RATIO: usize = 64 * 1024;
