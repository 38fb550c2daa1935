//! Records out of a byte stream, without ever holding more than one incomplete record.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};

use super::control::{self, CONTROL_HEADER_LEN, ControlMessage, MAX_CONTROL};
use crate::frame::{Frame, FrameError, FrameHeader, HEADER_LEN};

const FRAME_MAGIC: [u8; 4] = *b"SFB1";

/// One record.
#[derive(Debug, Clone)]
pub enum Incoming<M> {
    /// A data frame whose checksum is right.
    Frame(Frame),
    /// A control message.
    Control(M),
}

/// The stream is broken; nothing after this point can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Neither a frame nor a control message begins here.
    #[error("no record begins with {0:02x?}")]
    Magic([u8; 4]),
    /// A length beyond its limit.
    #[error("a record of {len} bytes is over the limit of {max}")]
    TooLong {
        /// What it says.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A frame's header or checksum is wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A control message's body does not decode.
    #[error("a control message does not decode")]
    Message,
}

/// Cuts records out of a stream. After [`Decoder::next`] has answered `None` it holds less than one record, and a
/// record's length is checked as soon as its header is there; so its memory is bounded by the largest record and the
/// largest piece fed.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: BytesMut,
    direction: PhantomData<M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            direction: PhantomData,
        }
    }
}

impl<M: ControlMessage> Decoder<M> {
    /// Adds bytes of the stream. Call [`Decoder::next`] until it answers `None` before feeding more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes held.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next record, if it is complete.
    ///
    /// # Errors
    /// When the stream is broken; the connection must be closed.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible and not the end when it answers none"
    )]
    pub fn next(&mut self) -> Result<Option<Incoming<M>>, WireError> {
        let Some(magic) = self.buffer.first_chunk::<4>().copied() else {
            return Ok(None);
        };
        match magic {
            FRAME_MAGIC => self.next_frame(),
            control::MAGIC => self.next_control(),
            other => Err(WireError::Magic(other)),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Incoming<M>>, WireError> {
        let Some(header) = self.buffer.get(..HEADER_LEN) else {
            return Ok(None);
        };
        // parse refuses a payload over the limit, so what is waited for and reserved below is bounded
        let len = HEADER_LEN + FrameHeader::parse(header)?.payload_len as usize;
        Ok(if self.complete(len) {
            Some(Incoming::Frame(Frame::parse(self.buffer.split_to(len).freeze())?))
        } else {
            None
        })
    }

    fn next_control(&mut self) -> Result<Option<Incoming<M>>, WireError> {
        let Some(header) = self.buffer.first_chunk::<CONTROL_HEADER_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if len > MAX_CONTROL {
            return Err(WireError::TooLong { len, max: MAX_CONTROL });
        }
        if !self.complete(CONTROL_HEADER_LEN + len) {
            return Ok(None);
        }
        self.buffer.advance(CONTROL_HEADER_LEN);
        control::decode(&self.buffer.split_to(len)).map(|message| Some(Incoming::Control(message)))
    }

    fn complete(&mut self, len: usize) -> bool {
        let missing = len.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing);
        missing == 0
    }
}
