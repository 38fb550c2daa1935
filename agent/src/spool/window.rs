//! Reads a segment front to back in large blocks and hands out slices, so that scanning never holds a whole segment in memory.

use std::io;

use super::disk::DiskFile;

const BLOCK: usize = 256 << 10;

/// A moving view of one file.
#[derive(Default)]
pub struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// Forgets what was read, as the file may have changed since.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// `len` bytes at `offset`; fewer at the end of the file.
    pub fn at(&mut self, file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + len as u64 > end {
            self.fill(file, offset, len.max(BLOCK))?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..(from + len).min(self.bytes.len())])
    }

    fn fill(&mut self, file: &dyn DiskFile, offset: u64, want: usize) -> io::Result<()> {
        self.bytes.resize(want, 0);
        self.start = offset;
        let mut filled = 0;
        while filled < want {
            match file.read_at(&mut self.bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
