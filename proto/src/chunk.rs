//! Stored batches: many frames merged column by column, every stream compressed on its own so that a query reads only
//! what it needs.
//!
//! It begins with 16 bytes (magic `SFK1` | version u8 | three zero bytes | length of the packed head u32 | length of the raw
//! head u32), the head as zstd of bincode, then the blocks. A large stream has a block of its own; small ones share.

mod concat;
mod index;
mod merge;
mod narrow;

pub use crate::bloom::Bloom;
pub(crate) use index::Index;
use merge::{Merged, Plan};

use crate::{
    batch::{Batch, DecodeError, Layout, MAX_CHUNK_COLUMNS},
    bloom,
    build::{Streams as Written, TAIL},
    column::{
        layout::{self, Block, ChunkHead, Directory, Place},
        streams::{LazyBlock, Streams, inflate},
    },
    frame::{MAX_COUNT, MAX_RAW},
};
use bytes::Bytes;
use std::{cell::Cell, io::Cursor, sync::Arc};
use uuid::Uuid;
use zstd::zstd_safe::CParameter;

const MAGIC: [u8; 4] = *b"SFK1";
const VERSION: u8 = 1;
const HEAD_LEN: usize = 16;
/// Small streams share a block until it has this many bytes.
const SHARED_BLOCK: usize = 4096;
/// The most bytes of a block once inflated.
const MAX_BLOCK: u32 = 256 * 1024 * 1024;

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
    #[error("{0} events are too many for a chunk of at most {MAX_COUNT}")]
    TooMany(usize),
    /// It could be written, but not read again.
    #[error("{bytes} bytes are too many for a part of a chunk, which holds at most {max}")]
    TooLarge {
        /// Bytes of a block or of the head before they are compressed.
        bytes: usize,
        /// As many may they be.
        max: usize,
    },
    /// The compressor failed.
    #[error("compression failed: {0}")]
    Compress(String),
}

/// Merges batches in order into one chunk of at most 65,536 events, compressed at a zstd `level`.
pub fn encode(batches: &[&Batch], level: i32) -> Result<EncodedChunk, EncodeError> {
    let count = batches.iter().map(|batch| batch.len()).sum();
    if count > MAX_COUNT as usize {
        return Err(EncodeError::TooMany(count));
    }
    let plan = Plan::of(batches);
    if plan.columns.len() <= MAX_CHUNK_COLUMNS {
        return write(batches, plan, level);
    }
    let narrowed = narrow::narrow(batches)?;
    let narrowed: Vec<&Batch> = narrowed.iter().collect();
    write(&narrowed, Plan::of(&narrowed), level)
}

fn write(batches: &[&Batch], plan: Plan<'_>, level: i32) -> Result<EncodedChunk, EncodeError> {
    let (mut streams, mut index) = (Written::default(), Index::new());
    let Merged { directory, ids } = merge::merge(batches, plan, &mut streams, &mut index)?;
    seal(directory, &streams, index, &ids, level)
}

/// Compresses the streams of a batch and puts its directory before them.
pub(crate) fn seal(
    directory: Directory<'_>,
    streams: &Written<'_>,
    index: Index,
    ids: &[Uuid],
    level: i32,
) -> Result<EncodedChunk, EncodeError> {
    let (count, min_ts, max_ts) = (directory.count, directory.min_ts, directory.max_ts);
    let mut packer = Packer::new(level)?;
    for (place, stream) in streams.iter().enumerate() {
        if place == layout::ID_TAILS && stream.len() >= SHARED_BLOCK && is_random(stream) {
            packer.put_random(stream)?;
        } else {
            packer.put(stream)?;
        }
    }
    packer.flush()?;
    let mut raw_head = Vec::new();
    layout::write(
        &ChunkHead {
            directory,
            blocks: std::mem::take(&mut packer.blocks),
            streams: std::mem::take(&mut packer.places),
        },
        &mut raw_head,
    );
    readable(raw_head.len(), MAX_RAW)?;
    let head = packer.compressor.compress(&raw_head).map_err(failed)?;
    let mut body = Vec::with_capacity(HEAD_LEN + head.len() + packer.body.len());
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&[VERSION, 0, 0, 0]);
    body.extend_from_slice(&(head.len() as u32).to_le_bytes());
    body.extend_from_slice(&(raw_head.len() as u32).to_le_bytes());
    body.extend_from_slice(&head);
    body.extend_from_slice(&packer.body);
    packer.keep();
    Ok(EncodedChunk {
        body,
        count,
        min_ts,
        max_ts,
        bloom: index.finish(),
        id_bloom: bloom::of_ids(ids),
        min_id: Uuid::from_u128(ids.iter().map(Uuid::as_u128).min().unwrap_or(0)),
        max_id: Uuid::from_u128(ids.iter().map(Uuid::as_u128).max().unwrap_or(0)),
    })
}

/// Tails of ids that are looked at to learn whether they resemble one another.
const SAMPLE: usize = 64;

/// Do the tails of ids have nothing in common? Those that clients make mostly are random, and cannot be compressed.
fn is_random(tails: &[u8]) -> bool {
    let (tails, _) = tails.as_chunks::<TAIL>();
    let pairs = tails.windows(2).take(SAMPLE);
    let alike = |pair: &[[u8; TAIL]]| match pair {
        [a, b] => a.iter().zip(b).filter(|(a, b)| a == b).count(),
        _ => 0,
    };
    pairs.len() == SAMPLE && pairs.map(alike).sum::<usize>() < SAMPLE * TAIL / 8
}

/// [`open`] refuses what is larger.
fn readable(bytes: usize, max: usize) -> Result<(), EncodeError> {
    if bytes > max {
        return Err(EncodeError::TooLarge { bytes, max });
    }
    Ok(())
}

fn failed(error: std::io::Error) -> EncodeError {
    EncodeError::Compress(error.to_string())
}

thread_local! {
    /// A compressor's tables and the room for what it writes take a megabyte or more, which is worth keeping for the next chunk.
    static KEPT: Cell<Option<(zstd::bulk::Compressor<'static>, Vec<u8>)>> = const { Cell::new(None) };
}

/// The level at which every match costs more than it saves unless it is long: columns of small numbers are full of short ones.
const FAST: i32 = 1;
/// The shortest match at that level. Zero stands for what zstd finds best by itself.
const SHORTEST: u32 = 7;
/// The level of what does not compress.
const FASTEST: i32 = -1;
/// More room than this is given back.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// Compresses streams into blocks.
struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    level: i32,
    body: Vec<u8>,
    blocks: Vec<Block>,
    places: Vec<Place>,
    /// Small streams that wait for company, and where their places are.
    shared: Vec<u8>,
    waiting: Vec<usize>,
}

impl Packer {
    fn new(level: i32) -> Result<Self, EncodeError> {
        let (mut compressor, body) = match KEPT.take() {
            Some(kept) => kept,
            None => (zstd::bulk::Compressor::new(level).map_err(failed)?, Vec::new()),
        };
        compressor.set_compression_level(level).map_err(failed)?;
        let shortest = if level == FAST { SHORTEST } else { 0 };
        let shortest = CParameter::MinMatch(shortest);
        compressor.set_parameter(shortest).map_err(failed)?;
        Ok(Self {
            compressor,
            level,
            body,
            blocks: Vec::new(),
            places: Vec::new(),
            shared: Vec::new(),
            waiting: Vec::new(),
        })
    }

    /// Leaves what is worth keeping for the next chunk.
    fn keep(mut self) {
        if self.body.capacity() <= MAX_KEPT {
            self.body.clear();
            KEPT.set(Some((self.compressor, self.body)));
        }
    }

    /// A stream that does not compress: the fastest level sees that at once, the others after they have tried.
    fn put_random(&mut self, stream: &[u8]) -> Result<(), EncodeError> {
        self.compressor.set_compression_level(FASTEST).map_err(failed)?;
        let put = self.put(stream);
        self.compressor.set_compression_level(self.level).map_err(failed)?;
        put
    }

    fn put(&mut self, stream: &[u8]) -> Result<(), EncodeError> {
        let len = stream.len() as u32;
        if stream.len() >= SHARED_BLOCK {
            let block = self.block(stream)?;
            self.places.push(Place { block, len });
            return Ok(());
        }
        self.waiting.push(self.places.len());
        self.places.push(Place { block: 0, len });
        self.shared.extend_from_slice(stream);
        if self.shared.len() >= SHARED_BLOCK {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let shared = std::mem::take(&mut self.shared);
        if shared.is_empty() && self.waiting.is_empty() {
            return Ok(());
        }
        let block = self.block(&shared)?;
        for waiting in self.waiting.drain(..) {
            self.places[waiting].block = block;
        }
        Ok(())
    }

    fn block(&mut self, raw: &[u8]) -> Result<u32, EncodeError> {
        readable(raw.len(), MAX_BLOCK as usize)?;
        let before = self.body.len();
        self.body.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        // Writes behind what is there, in place.
        let mut end = Cursor::new(&mut self.body);
        end.set_position(before as u64);
        let stored = self.compressor.compress_to_buffer(raw, &mut end).map_err(failed)?;
        self.blocks.push(Block {
            stored: stored as u32,
            raw: raw.len() as u32,
        });
        Ok(self.blocks.len() as u32 - 1)
    }
}

/// Keeps a chunk alive for as long as somebody reads its body.
struct Shared(Arc<EncodedChunk>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}

/// As [`open`], of a chunk in memory, without copying its body.
pub fn open_shared(chunk: Arc<EncodedChunk>) -> Result<Batch, DecodeError> {
    open(Bytes::from_owner(Shared(chunk)))
}

/// Reads a chunk's directory; a stream is inflated when it is first touched.
pub fn open(body: Bytes) -> Result<Batch, DecodeError> {
    let Some((start, rest)) = body.split_first_chunk::<HEAD_LEN>() else {
        return Err(DecodeError::Truncated("chunk"));
    };
    let [m0, m1, m2, m3, version, _, _, _, l0, l1, l2, l3, r0, r1, r2, r3] = *start;
    if [m0, m1, m2, m3] != MAGIC || version != VERSION {
        return Err(DecodeError::Malformed("chunk header"));
    }
    let head_len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let raw_len = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
    if raw_len > MAX_RAW {
        return Err(DecodeError::Limit {
            what: "chunk head",
            value: raw_len as u64,
            max: MAX_RAW as u64,
        });
    }
    let head = rest.get(..head_len).ok_or(DecodeError::Truncated("chunk head"))?;
    let raw_head = inflate(head, raw_len, "chunk head")?;
    let head: ChunkHead<'_> = layout::read(&raw_head, "chunk head")?;
    let layout = Layout::read(&head.directory, MAX_CHUNK_COLUMNS)?;
    if head.streams.len() != head.directory.streams() {
        return Err(DecodeError::Malformed("streams"));
    }
    let streams = places(&head, &body.slice(HEAD_LEN + head_len..))?;
    Ok(Batch::new(layout, streams))
}

fn places(head: &ChunkHead<'_>, stored: &Bytes) -> Result<Streams, DecodeError> {
    let mut blocks = Vec::with_capacity(head.blocks.len());
    let mut at = 0usize;
    for block in &head.blocks {
        let end = at.saturating_add(block.stored as usize);
        if end > stored.len() {
            return Err(DecodeError::Truncated("chunk"));
        }
        if block.raw > MAX_BLOCK {
            return Err(DecodeError::Limit {
                what: "chunk block",
                value: block.raw.into(),
                max: MAX_BLOCK.into(),
            });
        }
        blocks.push(LazyBlock::new(stored.slice(at..end), block.raw as usize));
        at = end;
    }
    if at != stored.len() {
        return Err(DecodeError::Malformed("chunk"));
    }
    let mut filled = vec![0usize; blocks.len()];
    let mut places = Vec::with_capacity(head.streams.len());
    for place in &head.streams {
        let filled = filled
            .get_mut(place.block as usize)
            .ok_or(DecodeError::Malformed("streams"))?;
        let end = filled.saturating_add(place.len as usize);
        places.push((place.block, *filled..end));
        *filled = end;
    }
    Ok(Streams::Blocks { blocks, places })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let max = MAX_BLOCK as usize;
        let mut packer = Packer::new(1).unwrap();
        // Zeros that nobody touches take no memory.
        let refused = packer.put(&vec![0; max + 1]);
        assert_eq!(refused, Err(EncodeError::TooLarge { bytes: max + 1, max }));
        assert!(packer.body.is_empty() && packer.blocks.is_empty() && packer.places.is_empty());
    }
}
