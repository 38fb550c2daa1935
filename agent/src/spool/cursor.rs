//! The highest sequence number that the hub has acknowledged, in two slots written in turn.
//!
//! It is a hint: an old value only makes the hub see frames again, which it recognises. So it is written without a sync.

use std::io;

use super::disk::{Disk, DiskFile, write_all_at};

const NAME: &str = "cursor";
const SLOT: usize = 16;

/// The file and what it says.
pub struct Cursor {
    file: Box<dyn DiskFile>,
    turn: u32,
    acked: u64,
}

impl Cursor {
    /// Opens or makes the file.
    pub fn open(disk: &dyn Disk) -> io::Result<Self> {
        if !disk.list()?.iter().any(|name| name == NAME) {
            let file = disk.create(NAME, 2 * SLOT as u64)?;
            disk.sync_dir()?;
            return Ok(Self {
                file,
                turn: 0,
                acked: 0,
            });
        }
        let file = disk.open(NAME)?;
        let mut bytes = [0; 2 * SLOT];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let newest = bytes.chunks_exact(SLOT).filter_map(parse).max_by_key(|(turn, _)| *turn);
        let (turn, acked) = newest.unwrap_or_default();
        Ok(Self { file, turn, acked })
    }

    /// What was last written.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Writes a new value into the older slot.
    pub fn store(&mut self, acked: u64) -> io::Result<()> {
        let turn = self.turn.wrapping_add(1);
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&acked.to_le_bytes());
        slot[8..12].copy_from_slice(&turn.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..12]);
        slot[12..].copy_from_slice(&crc.to_le_bytes());
        write_all_at(&*self.file, &slot, u64::from(turn % 2) * SLOT as u64)?;
        (self.turn, self.acked) = (turn, acked);
        Ok(())
    }
}

fn parse(slot: &[u8]) -> Option<(u32, u64)> {
    let crc = u32::from_le_bytes(slot[12..16].try_into().ok()?);
    let turn = u32::from_le_bytes(slot[8..12].try_into().ok()?);
    let acked = u64::from_le_bytes(slot[..8].try_into().ok()?);
    (crc == crc32c::crc32c(&slot[..12]) && turn != 0).then_some((turn, acked))
}
