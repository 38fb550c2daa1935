//! The name of this spool's sequence numbers: a random number drawn when the spool was made, and again when the hub knows numbers that
//! the spool does not.

use std::io;

use super::disk::{Disk, write_all_at};

const NAME: &str = "epoch";
const NEW: &str = "epoch.new";
const LEN: usize = 20;

/// An epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The random number.
    pub id: u64,
    /// Sequence numbers below this one belong to an earlier epoch.
    pub floor: u64,
}

/// What the file says; none when there is none or it is damaged.
pub fn read(disk: &dyn Disk) -> io::Result<Option<Epoch>> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(NAME)?;
    let mut bytes = [0; LEN];
    let mut read = 0;
    while read < LEN {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => return Ok(None),
            more => read += more,
        }
    }
    let (id, floor, crc) = (&bytes[..8], &bytes[8..16], &bytes[16..]);
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    if crc != crc32c::crc32c(&bytes[..16]).to_le_bytes() {
        return Ok(None);
    }
    Ok(number(id).zip(number(floor)).map(|(id, floor)| Epoch { id, floor }))
}

/// Replaces the file as a whole.
pub fn write(disk: &dyn Disk, epoch: Epoch) -> io::Result<()> {
    if disk.list()?.iter().any(|name| name == NEW) {
        disk.remove(NEW)?;
    }
    let mut bytes = [epoch.id.to_le_bytes(), epoch.floor.to_le_bytes()].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let file = disk.create(NEW, LEN as u64)?;
    write_all_at(&*file, &bytes, 0)?;
    file.sync()?;
    disk.rename(NEW, NAME)?;
    disk.sync_dir()
}
