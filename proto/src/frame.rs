//! `SFB1`: the unit of wire, spool, queue, inbox and acknowledgement.
//!
//! 48 bytes of little-endian header, then the payload: `SFB1` | version u8 | codec u8 | flags u16 | payload length u32 |
//! crc32c u32 over all that follows | count u32 | raw length u32 | seq u64 | min timestamp i64 | max timestamp i64.

use crate::batch::{Batch, DecodeError};
use bytes::Bytes;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 48;
/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"SFB1";
/// The newest version of the format, which is the one written.
pub const VERSION: u8 = 1;
/// The longest payload on the wire.
pub const MAX_PAYLOAD: usize = 1024 * 1024;
/// The longest payload once inflated.
pub const MAX_RAW: usize = 16 * 1024 * 1024;
/// The most events in a frame.
pub const MAX_COUNT: u32 = 65_536;

/// The payload stands as it is.
pub const CODEC_RAW: u8 = 0;
/// The payload is one zstd frame.
pub const CODEC_ZSTD: u8 = 1;

/// The numbers before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Of the format.
    pub version: u8,
    /// [`CODEC_RAW`] or [`CODEC_ZSTD`].
    pub codec: u8,
    /// None are defined yet.
    pub flags: u16,
    /// Bytes after the header.
    pub payload_len: u32,
    /// crc32c of everything after this field.
    pub crc: u32,
    /// Events in the frame.
    pub count: u32,
    /// Bytes of the payload once inflated.
    pub raw_len: u32,
    /// Place in the sender's log.
    pub seq: u64,
    /// The earliest event.
    pub min_ts: i64,
    /// The latest event.
    pub max_ts: i64,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes are needed.
    #[error("frame is cut short: {have} of {need} bytes")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes that a whole frame has.
        need: usize,
    },
    /// Something else follows.
    #[error("{0} bytes follow the frame")]
    Trailing(usize),
    /// Not our format.
    #[error("not a frame: it begins with {0:02x?}")]
    Magic([u8; 4]),
    /// Written by a newer release.
    #[error("frame version {0} is not known here; the newest known is {VERSION}")]
    Version(u8),
    /// Written by a newer release.
    #[error("frame codec {0} is not known")]
    Codec(u8),
    /// A codec that would not have given these lengths.
    #[error("frame codec {codec} with {payload_len} bytes for {raw_len}")]
    Length {
        /// Of the header.
        codec: u8,
        /// Of the header.
        payload_len: u32,
        /// Of the header.
        raw_len: u32,
    },
    /// Written by a newer release.
    #[error("frame flags {0:#06x} are not known")]
    Flags(u16),
    /// A number beyond what is allowed.
    #[error("frame {what} is {value}, allowed is {max}")]
    Limit {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        max: u64,
    },
    /// Bits were lost.
    #[error("frame checksum is {found:08x}, the header says {stated:08x}")]
    Checksum {
        /// In the header.
        stated: u32,
        /// Of the bytes.
        found: u32,
    },
}

impl FrameHeader {
    /// Reads the first [`HEADER_LEN`] bytes and checks magic, version and limits; the checksum needs [`Frame::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some((head, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(FrameError::Short {
                have: bytes.len(),
                need: HEADER_LEN,
            });
        };
        let magic = array(head, 0);
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let header = Self {
            version: head[4],
            codec: head[5],
            flags: u16::from_le_bytes(array(head, 6)),
            payload_len: u32::from_le_bytes(array(head, 8)),
            crc: u32::from_le_bytes(array(head, 12)),
            count: u32::from_le_bytes(array(head, 16)),
            raw_len: u32::from_le_bytes(array(head, 20)),
            seq: u64::from_le_bytes(array(head, 24)),
            min_ts: i64::from_le_bytes(array(head, 32)),
            max_ts: i64::from_le_bytes(array(head, 40)),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), FrameError> {
        if self.version != VERSION {
            return Err(FrameError::Version(self.version));
        }
        if self.codec > CODEC_ZSTD {
            return Err(FrameError::Codec(self.codec));
        }
        if self.flags != 0 {
            return Err(FrameError::Flags(self.flags));
        }
        let limits = [
            ("payload length", self.payload_len, MAX_PAYLOAD),
            ("raw length", self.raw_len, MAX_RAW),
            ("count", self.count, MAX_COUNT as usize),
        ];
        for (what, value, max) in limits {
            if value as usize > max {
                return Err(FrameError::Limit {
                    what,
                    value: value.into(),
                    max: max as u64,
                });
            }
        }
        // Compression is used only where it helps, and the codec stands before what the checksum covers.
        let Self {
            codec,
            payload_len,
            raw_len,
            ..
        } = *self;
        let fits = if codec == CODEC_RAW {
            payload_len == raw_len
        } else {
            payload_len < raw_len
        };
        if fits {
            Ok(())
        } else {
            Err(FrameError::Length {
                codec,
                payload_len,
                raw_len,
            })
        }
    }

    /// Bytes of header and payload together.
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }

    /// Writes itself over the first bytes and works out the checksum of what follows.
    fn stamp(&mut self, bytes: &mut [u8]) {
        if let Some(head) = bytes.first_chunk_mut::<HEADER_LEN>() {
            *head = self.write();
        }
        self.crc = crc32c::crc32c(bytes.get(16..).unwrap_or(&[]));
        if let Some(field) = bytes.get_mut(12..16) {
            field.copy_from_slice(&self.crc.to_le_bytes());
        }
    }

    fn write(&self) -> [u8; HEADER_LEN] {
        let mut head = [0; HEADER_LEN];
        head[0..4].copy_from_slice(&MAGIC);
        head[4] = self.version;
        head[5] = self.codec;
        head[6..8].copy_from_slice(&self.flags.to_le_bytes());
        head[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        head[12..16].copy_from_slice(&self.crc.to_le_bytes());
        head[16..20].copy_from_slice(&self.count.to_le_bytes());
        head[20..24].copy_from_slice(&self.raw_len.to_le_bytes());
        head[24..32].copy_from_slice(&self.seq.to_le_bytes());
        head[32..40].copy_from_slice(&self.min_ts.to_le_bytes());
        head[40..48].copy_from_slice(&self.max_ts.to_le_bytes());
        head
    }
}

/// Copies a field out of the header.
fn array<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|index| head[at + index])
}

/// A checked frame; cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    header: FrameHeader,
    bytes: Bytes,
}

impl Frame {
    /// Takes exactly one frame and checks header, length and checksum.
    pub fn parse(bytes: Bytes) -> Result<Self, FrameError> {
        let header = FrameHeader::parse(&bytes)?;
        let need = header.frame_len();
        if bytes.len() < need {
            return Err(FrameError::Short {
                have: bytes.len(),
                need,
            });
        }
        if bytes.len() > need {
            return Err(FrameError::Trailing(bytes.len() - need));
        }
        let found = crc32c::crc32c(bytes.get(16..).unwrap_or(&[]));
        if found != header.crc {
            return Err(FrameError::Checksum {
                stated: header.crc,
                found,
            });
        }
        Ok(Self { header, bytes })
    }

    /// Puts a header before a payload.
    pub(crate) fn seal(header: FrameHeader, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
        bytes.resize(HEADER_LEN, 0);
        bytes.extend_from_slice(payload);
        Self::seal_in_place(header, bytes)
    }

    /// Writes the header into the first [`HEADER_LEN`] bytes, which were left free before the payload.
    pub(crate) fn seal_in_place(mut header: FrameHeader, mut bytes: Vec<u8>) -> Self {
        header.payload_len = bytes.len().saturating_sub(HEADER_LEN) as u32;
        header.stamp(&mut bytes);
        Self {
            header,
            bytes: bytes.into(),
        }
    }

    /// The numbers before the payload.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Header and payload, as they go on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN.min(self.bytes.len())..)
    }

    /// The same events at another place in the log.
    #[must_use]
    pub fn with_seq(&self, seq: u64) -> Self {
        Self::seal(FrameHeader { seq, ..self.header }, &self.payload())
    }

    /// As [`Frame::with_seq`], without a copy when nobody else holds the frame.
    #[must_use]
    pub fn into_seq(self, seq: u64) -> Self {
        let mut header = FrameHeader { seq, ..self.header };
        match self.bytes.try_into_mut() {
            Ok(mut bytes) => {
                header.stamp(&mut bytes);
                Self {
                    header,
                    bytes: bytes.freeze(),
                }
            }
            Err(shared) => Self::seal(header, shared.get(HEADER_LEN..).unwrap_or(&[])),
        }
    }

    /// Inflates the payload and reads its directory; columns stay encoded until they are asked for.
    pub fn decode(&self) -> Result<Batch, DecodeError> {
        Batch::from_frame(&self.header, self.payload())
    }
}
