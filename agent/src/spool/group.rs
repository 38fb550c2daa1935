//! The head of a group commit: `SFG1`, what the group holds, and the source positions that become true with it.
//!
//! A group is one write and one sync: this head, the positions, then the frames. Groups are numbered without a gap, so recovery can tell
//! the stale contents of a recycled file from the log, and damage inside the log from a write that power loss cut short: whatever stands
//! before a later group had been synced.

use super::position::{self, Position};

/// Bytes of the head itself.
pub const HEAD_LEN: usize = 56;
const MAGIC: [u8; 4] = *b"SFG1";

/// The head of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// One more than the group before it.
    pub number: u64,
    /// Sequence number that the next frame, in this group or a later one, gets at least.
    pub next_seq: u64,
    /// Events in all groups before this one since the spool was made.
    pub events_before: u64,
    /// Frames that follow.
    pub frames: u32,
    /// Their bytes.
    pub frames_len: u32,
    /// Bytes of positions between the head and the frames.
    pub positions_len: u32,
    /// Checksum of the positions.
    pub positions_crc: u32,
    /// The positions are all that are known, not changes.
    pub snapshot: bool,
}

impl Group {
    /// Bytes of the whole group.
    pub fn total_len(&self) -> u64 {
        (HEAD_LEN as u64) + u64::from(self.positions_len) + u64::from(self.frames_len)
    }

    /// Bytes before the first frame.
    pub fn prefix_len(&self) -> u64 {
        (HEAD_LEN as u64) + u64::from(self.positions_len)
    }

    /// Appends head and positions to `out` and fills in what describes the positions.
    pub fn encode<'a>(mut self, positions: impl IntoIterator<Item = &'a Position>, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.resize(start + HEAD_LEN, 0);
        position::encode(positions, out);
        let body = &out[start + HEAD_LEN..];
        self.positions_len = body.len() as u32;
        self.positions_crc = crc32c::crc32c(body);
        let head = &mut out[start..start + HEAD_LEN];
        head[0..4].copy_from_slice(&MAGIC);
        head[8..16].copy_from_slice(&self.number.to_le_bytes());
        head[16..24].copy_from_slice(&self.next_seq.to_le_bytes());
        head[24..32].copy_from_slice(&self.events_before.to_le_bytes());
        head[32..36].copy_from_slice(&self.frames.to_le_bytes());
        head[36..40].copy_from_slice(&self.frames_len.to_le_bytes());
        head[40..44].copy_from_slice(&self.positions_len.to_le_bytes());
        head[44..48].copy_from_slice(&self.positions_crc.to_le_bytes());
        head[48..56].copy_from_slice(&u64::from(self.snapshot).to_le_bytes());
        let crc = crc32c::crc32c(&head[8..]);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        self
    }

    /// Reads a head; `None` when these bytes are not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEAD_LEN)?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        if head[..4] != MAGIC || u32_at(4)? != crc32c::crc32c(&head[8..]) {
            return None;
        }
        Some(Self {
            number: u64_at(8)?,
            next_seq: u64_at(16)?,
            events_before: u64_at(24)?,
            frames: u32_at(32)?,
            frames_len: u32_at(36)?,
            positions_len: u32_at(40)?,
            positions_crc: u32_at(44)?,
            snapshot: u64_at(48)? & 1 == 1,
        })
    }

    /// The positions, when their bytes are the ones that were written.
    pub fn positions(&self, bytes: &[u8]) -> Option<Vec<Position>> {
        if crc32c::crc32c(bytes) != self.positions_crc {
            return None;
        }
        position::decode(bytes)
    }

    /// Where the next possible head starts in `bytes`, from `from` on.
    pub fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
        memchr::memmem::find(bytes.get(from..)?, &MAGIC).map(|at| at + from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_any_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        let group = Group {
            number: 7,
            next_seq: 9,
            events_before: 11,
            frames: 2,
            frames_len: 300,
            snapshot: true,
            ..Group::default()
        }
        .encode([], &mut bytes);
        assert_eq!(Group::parse(&bytes), Some(group));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Group::parse(&flipped), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Group::parse(&bytes[..len]), None);
        }
    }
}
