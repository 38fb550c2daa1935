//! Bloom filters beside a chunk: is a value surely not in it?
//!
//! A stored filter is a version byte, then the bits. Ten bits a value and six probes leave one false answer in a hundred.
//! Version 1 places a probe by the remainder of a division, version 2 by the upper half of a multiplication (Lemire, "Fast
//! random integer generation in an interval", 2019), which costs a tenth.

use crate::path::Path;
use uuid::Uuid;

/// What is written. Older filters stay readable.
const VERSION: u8 = 2;
const BITS_PER_VALUE: usize = 10;
const PROBES: u64 = 6;

/// A view of a stored Bloom filter.
#[derive(Clone, Copy, Debug)]
pub struct Bloom<'a> {
    version: u8,
    bits: &'a [u8],
}

impl<'a> Bloom<'a> {
    /// Reads a filter. Bytes that are not one (none at all, a later version) rule nothing out.
    pub fn new(bytes: &'a [u8]) -> Self {
        match bytes {
            [version @ 1..=VERSION, bits @ ..] => Self {
                version: *version,
                bits,
            },
            _ => Self {
                version: VERSION,
                bits: &[],
            },
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
        let has = |bit: usize| self.bits[bit / 8] >> (bit % 8) & 1 == 1;
        match self.version {
            _ if self.bits.is_empty() => true,
            1 => {
                let bits = self.bits.len() as u64 * 8;
                probes(hash).all(|probe| has((probe % bits) as usize))
            }
            _ => probes(hash).all(|probe| has(place(probe, self.bits.len()))),
        }
    }
}

fn probes(hash: u64) -> impl Iterator<Item = u64> {
    let step = mix(hash) | 1;
    (0..PROBES).map(move |probe| hash.wrapping_add(step.wrapping_mul(probe)))
}

/// The place of a probe among so many bytes of bits.
fn place(probe: u64, bytes: usize) -> usize {
    ((u128::from(probe) * (bytes as u128 * 8)) >> 64) as usize
}

/// The filter over the ids of a chunk, hardly any of which stand twice.
pub(crate) fn of_ids(ids: &[Uuid]) -> Vec<u8> {
    write(ids.len(), ids.iter().map(|id| id_hash(*id)))
}

/// Writes the filter that has so many hashes. No two releases may differ in what they write or read of one version.
fn write(count: usize, hashes: impl Iterator<Item = u64>) -> Vec<u8> {
    let bytes = (count * BITS_PER_VALUE).div_ceil(8).max(8);
    let mut out = vec![0; 1 + bytes];
    out[0] = VERSION;
    for hash in hashes {
        for probe in probes(hash) {
            let bit = place(probe, bytes);
            out[1 + bit / 8] |= 1 << (bit % 8);
        }
    }
    out
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

    pub(crate) fn add_all(&mut self, hashes: impl Iterator<Item = u64>) {
        self.hashes.extend(hashes);
    }

    /// Writes the filter, as large as so many hashes need: those that were added many times make it larger than it must be, and sorting them out takes longer
    /// than all the rest.
    pub(crate) fn finish(mut self, repeats: bool) -> Vec<u8> {
        if repeats {
            self.hashes.sort_unstable();
            self.hashes.dedup();
        }
        write(self.hashes.len(), self.hashes.iter().copied())
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
    hash_of_values(path)(value.as_bytes())
}

/// The hash of each of many values at a path, which are UTF-8.
pub(crate) fn hash_of_values(path: u64) -> impl Fn(&[u8]) -> u64 {
    let seed = mix(!path);
    move |value| seeded_hash(seed, value)
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
    seeded_hash(mix(seed), text.as_bytes())
}

fn seeded_hash(seed: u64, text: &[u8]) -> u64 {
    let (words, rest) = text.as_chunks::<8>();
    let hash = words
        .iter()
        .fold(seed, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
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
    use super::{Bloom, BloomWriter, path_hash, probes, unlisted_hash, value_hash};
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
        let bytes = writer.finish(true);
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
        let bytes = writer.finish(true);
        assert!(Bloom::new(&bytes).contains(&path, "anything"));
        assert!(!Bloom::new(&bytes).contains(&Path::parse("data.level").unwrap(), "anything"));
        assert!(Bloom::new(&[]).contains(&path, "anything"));
        assert!(Bloom::new(&[9, 0, 0]).contains(&path, "anything"));
    }

    /// A filter of the first version, as that release wrote it.
    #[test]
    fn older_filters_are_still_read() {
        let path = Path::parse("data.user").unwrap();
        let hashes: Vec<u64> = (0..200)
            .map(|value: u32| value_hash(of(&path), &value.to_string()))
            .collect();
        let mut bytes = vec![0; 1 + 250];
        bytes[0] = 1;
        for bit in hashes
            .iter()
            .flat_map(|hash| probes(*hash))
            .map(|probe| (probe % 2000) as usize)
        {
            bytes[1 + bit / 8] |= 1 << (bit % 8);
        }
        let bloom = Bloom::new(&bytes);
        assert!((0..200).all(|value| bloom.contains(&path, &value.to_string())));
        assert!(
            (200..1200)
                .filter(|value: &i32| bloom.contains(&path, &value.to_string()))
                .count()
                < 60
        );
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
