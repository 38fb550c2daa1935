//! How far each source file has been read, written in the same commit as the events that were read from it.

use std::collections::HashMap;
use std::sync::Arc;

/// A file as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What a file begins with; tells a file from a later one that got the same inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many bytes it covers, at most 256.
    pub len: u16,
    /// Hash of these bytes.
    pub hash: u64,
}

/// Where to go on reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which file.
    pub file: FileId,
    /// How it began when it was last read.
    pub fingerprint: Fingerprint,
    /// First byte that is not yet in the spool.
    pub offset: u64,
    /// The offset is inside an over-long line, whose rest is skipped.
    pub mid_line: bool,
    /// Last known path.
    pub path: Arc<str>,
    /// The file is gone and can be forgotten.
    pub gone: bool,
}

/// The newest position of every file.
pub type Positions = HashMap<FileId, Position>;

const FIXED: usize = 8 + 8 + 2 + 8 + 8 + 1 + 2;
const MID_LINE: u8 = 1;
const GONE: u8 = 2;

/// Takes newer positions over older ones.
pub fn merge(into: &mut Positions, newer: impl IntoIterator<Item = Position>) {
    for position in newer {
        if position.gone {
            into.remove(&position.file);
        } else {
            into.insert(position.file, position);
        }
    }
}

/// Appends positions in their stored form.
pub fn encode<'a>(positions: impl IntoIterator<Item = &'a Position>, out: &mut Vec<u8>) {
    for position in positions {
        let path = &position.path.as_bytes()[..position.path.len().min(usize::from(u16::MAX))];
        let flags = u8::from(position.mid_line) * MID_LINE + u8::from(position.gone) * GONE;
        out.extend_from_slice(&position.file.dev.to_le_bytes());
        out.extend_from_slice(&position.file.ino.to_le_bytes());
        out.extend_from_slice(&position.fingerprint.len.to_le_bytes());
        out.extend_from_slice(&position.fingerprint.hash.to_le_bytes());
        out.extend_from_slice(&position.offset.to_le_bytes());
        out.push(flags);
        out.extend_from_slice(&(path.len() as u16).to_le_bytes());
        out.extend_from_slice(path);
    }
}

/// Reads back what [`encode`] wrote; `None` when it is not that.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Position>> {
    let mut positions = Vec::new();
    while !bytes.is_empty() {
        let (fixed, rest) = bytes.split_at_checked(FIXED)?;
        let u64_at = |at: usize| Some(u64::from_le_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
        let u16_at = |at: usize| Some(u16::from_le_bytes(fixed.get(at..at + 2)?.try_into().ok()?));
        let (path, rest) = rest.split_at_checked(usize::from(u16_at(35)?))?;
        positions.push(Position {
            file: FileId {
                dev: u64_at(0)?,
                ino: u64_at(8)?,
            },
            fingerprint: Fingerprint {
                len: u16_at(16)?,
                hash: u64_at(18)?,
            },
            offset: u64_at(26)?,
            mid_line: fixed[34] & MID_LINE != 0,
            path: String::from_utf8_lossy(path).into(),
            gone: fixed[34] & GONE != 0,
        });
        bytes = rest;
    }
    Some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_position()(
            (dev, ino, len, hash, offset) in any::<(u64, u64, u16, u64, u64)>(),
            (mid_line, gone) in any::<(bool, bool)>(),
            path in ".{0,80}",
        ) -> Position {
            Position {
                file: FileId { dev, ino }, fingerprint: Fingerprint { len, hash }, offset, mid_line, path: path.into(), gone,
            }
        }
    }

    proptest! {
        #[test]
        fn positions_come_back_as_written(positions in prop::collection::vec(any_position(), 0..8)) {
            let mut bytes = Vec::new();
            encode(&positions, &mut bytes);
            prop_assert_eq!(decode(&bytes), Some(positions));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
