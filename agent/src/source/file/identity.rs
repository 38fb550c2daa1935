//! Which file a path stands for: device and inode, and what the file begins with, as inodes are used again.

use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::spool::position::{FileId, Fingerprint};

/// Most bytes of a fingerprint.
pub const PRINT_LEN: usize = 256;

/// Device and inode.
pub fn id(metadata: &Metadata) -> FileId {
    FileId { dev: metadata.dev(), ino: metadata.ino() }
}

/// The fingerprint of these first bytes.
pub fn fingerprint(start: &[u8]) -> Fingerprint {
    let start = &start[..start.len().min(PRINT_LEN)];
    // A fixed seed: the value is stored.
    let mut hasher = foldhash::quality::FixedState::with_seed(0x5f5b).build_hasher();
    hasher.write(start);
    Fingerprint { len: start.len() as u16, hash: hasher.finish() }
}

/// The first bytes of a file.
pub fn read_start(file: &File, buffer: &mut [u8; PRINT_LEN]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < PRINT_LEN {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a file that now begins with `start` is the one that had this fingerprint.
pub fn matches(known: Fingerprint, start: &[u8]) -> bool {
    start.get(..usize::from(known.len)).is_some_and(|prefix| fingerprint(prefix) == known)
}

use std::hash::BuildHasher;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_is_the_same_and_one_that_was_rewritten_is_not() {
        let known = fingerprint(b"first line\n");
        assert!(matches(known, b"first line\nsecond line\n"));
        assert!(!matches(known, b"other line\nsecond line\n"));
        assert!(!matches(known, b"first"));
        assert!(matches(fingerprint(b""), b"anything"));
        assert_eq!(fingerprint(&[7; 300]).len, 256);
        assert_eq!(fingerprint(b"stored"), Fingerprint { len: 6, hash: 0 });
    }
}
