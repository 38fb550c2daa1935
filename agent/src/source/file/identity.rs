//! Which file a path stands for: device and inode, and what the file begins with, as inodes are used again.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use sha2::{Digest, Sha256};

use crate::spool::position::{FileId, Fingerprint};

/// Most bytes of a fingerprint.
pub const PRINT_LEN: usize = 256;

/// Device and inode.
pub fn id(metadata: &Metadata) -> FileId {
    FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    }
}

/// The fingerprint of these first bytes.
pub fn fingerprint(start: &[u8]) -> Fingerprint {
    let start = &start[..start.len().min(PRINT_LEN)];
    // The value is stored, so the hash must be one that never changes.
    let hash = Sha256::digest(start);
    Fingerprint {
        len: start.len() as u16,
        hash: u64::from_le_bytes(std::array::from_fn(|at| hash[at])),
    }
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
    known.len == 0
        || start
            .get(..usize::from(known.len))
            .is_some_and(|prefix| fingerprint(prefix) == known)
}

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
        assert!(matches(Fingerprint::default(), b"anything"));
        assert_eq!(fingerprint(&[7; 300]).len, 256);
    }
}
