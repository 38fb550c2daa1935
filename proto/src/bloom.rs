//! Bloom filters beside a chunk: is a value surely not in it?
//!
//! A stored filter is a version byte, then the bits. Ten bits a value and six probes leave one false answer in a hundred.

use crate::path::Path;
use uuid::Uuid;

const VERSION: u8 = 1;
const BITS_PER_VALUE: usize = 10;
const PROBES: u64 = 6;

/// A view of a stored Bloom filter.
#[derive(Clone, Copy, Debug)]
pub struct Bloom<'a> {
    bits: &'a [u8],
}

impl<'a> Bloom<'a> {
    /// Reads a filter. Bytes that are not one (none at all, a later version) rule nothing out.
    pub fn new(bytes: &'a [u8]) -> Self {
        match bytes {
            [VERSION, bits @ ..] => Self { bits },
            _ => Self { bits: &[] },
        }
    }

    /// May an event with this string at this path be in the chunk?
    pub fn contains(&self, path: &Path, value: &str) -> bool {
        let path = path_hash(path.segments().iter().map(String::as_str));
        self.has(value_hash(path, value)) || self.has(unlisted_hash(path)) || self.has(EVERYTHING)
    }

    /// May the event be in the chunk? For the filter over ids.
    pub fn contains_id(&self, id: Uuid) -> bool {
        self.has(id_hash(id))
    }

    fn has(&self, hash: u64) -> bool {
        self.bits.is_empty() || probes(hash, self.bits.len()).all(|bit| self.bits[bit / 8] >> (bit % 8) & 1 == 1)
    }
}

/// The places of a hash among so many bytes of bits.
fn probes(hash: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let (step, bits) = (mix(hash) | 1, bytes as u64 * 8);
    (0..PROBES).map(move |probe| (hash.wrapping_add(step.wrapping_mul(probe)) % bits) as usize)
}

/// Gathers hashes, then writes the filter that has them.
#[derive(Debug, Default)]
pub(crate) struct BloomWriter {
    hashes: Vec<u64>,
}

impl BloomWriter {
    pub(crate) fn add(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// Writes the filter. No two releases may differ in what they write or read here.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let bytes = (self.hashes.len() * BITS_PER_VALUE).div_ceil(8).max(8);
        let mut out = vec![0; 1 + bytes];
        out[0] = VERSION;
        for hash in self.hashes {
            for bit in probes(hash, bytes) {
                out[1 + bit / 8] |= 1 << (bit % 8);
            }
        }
        out
    }
}

/// Stands for every value at every path.
pub(crate) const EVERYTHING: u64 = 0x5f5f_616c_6c5f_5f21;

/// The hash of a path, from its segments.
pub(crate) fn path_hash<'a>(segments: impl IntoIterator<Item = &'a str>) -> u64 {
    segments.into_iter().fold(0x7370_6174_6821, bytes_hash)
}

/// The hash of a path one key longer.
pub(crate) fn path_join(path: u64, key: &str) -> u64 {
    bytes_hash(path, key)
}

/// The hash of a value at a path.
pub(crate) fn value_hash(path: u64, value: &str) -> u64 {
    bytes_hash(!path, value)
}

/// Stands for every value at a path whose values are not listed.
pub(crate) fn unlisted_hash(path: u64) -> u64 {
    mix(path ^ EVERYTHING)
}

/// The hash of an id.
pub(crate) fn id_hash(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(mix(high).wrapping_add(low))
}

/// Eight bytes at a time, the length last so that no value runs into another.
fn bytes_hash(seed: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words
        .iter()
        .fold(mix(seed), |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
    let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    mix(mix(hash ^ tail) ^ text.len() as u64)
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Bloom, BloomWriter, path_hash, unlisted_hash, value_hash};
    use crate::path::Path;

    fn of(path: &Path) -> u64 {
        path_hash(path.segments().iter().map(String::as_str))
    }

    #[test]
    fn has_what_was_added_and_little_else() {
        let path = Path::parse("data.user").unwrap();
        let mut writer = BloomWriter::default();
        for value in 0..10_000 {
            writer.add(value_hash(of(&path), &value.to_string()));
        }
        let bytes = writer.finish();
        let bloom = Bloom::new(&bytes);
        assert!((0..10_000).all(|value| bloom.contains(&path, &value.to_string())));
        let wrong = (10_000..30_000)
            .filter(|value: &i32| bloom.contains(&path, &value.to_string()))
            .count();
        assert!(wrong < 600, "{wrong} of 20,000");
        let other = Path::parse("data.other").unwrap();
        let wrong = (0..10_000)
            .filter(|value: &i32| bloom.contains(&other, &value.to_string()))
            .count();
        assert!(wrong < 300, "{wrong} of 10,000");
    }

    #[test]
    fn what_is_not_listed_is_not_ruled_out() {
        let path = Path::parse("data.message").unwrap();
        let mut writer = BloomWriter::default();
        writer.add(unlisted_hash(of(&path)));
        let bytes = writer.finish();
        assert!(Bloom::new(&bytes).contains(&path, "anything"));
        assert!(!Bloom::new(&bytes).contains(&Path::parse("data.level").unwrap(), "anything"));
        assert!(Bloom::new(&[]).contains(&path, "anything"));
        assert!(Bloom::new(&[9, 0, 0]).contains(&path, "anything"));
    }

    /// Stored filters must stay readable.
    #[test]
    fn hashes_never_change() {
        assert_eq!(
            value_hash(of(&Path::parse("data.a").unwrap()), "hello world"),
            9_411_840_819_542_628_110
        );
    }
}
