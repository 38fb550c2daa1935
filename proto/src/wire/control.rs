//! Control messages as bytes: `SFC1`, length, bincode.

use super::{decoder::WireError, message};

pub(super) const MAGIC: [u8; 4] = *b"SFC1";

/// Magic and length.
pub const CONTROL_HEADER_LEN: usize = 8;

/// Largest body of a control message.
pub const MAX_CONTROL: usize = 64 * 1024;

/// One direction's messages: [`message::ToHub`] or [`message::ToAgent`].
pub trait ControlMessage: bincode::Encode + bincode::Decode<()> {}

impl ControlMessage for message::ToHub {}
impl ControlMessage for message::ToAgent {}

/// The record of a message.
///
/// # Errors
/// When it is larger than [`MAX_CONTROL`].
pub fn encode<M: ControlMessage>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut record = vec![0; CONTROL_HEADER_LEN];
    let len = bincode::encode_into_std_write(message, &mut record, bincode::config::standard())
        .map_err(|_| WireError::Message)?;
    let wire_len = u32::try_from(len)
        .ok()
        .filter(|_| len <= MAX_CONTROL)
        .ok_or(WireError::TooLong { len, max: MAX_CONTROL })?;
    record[..4].copy_from_slice(&MAGIC);
    record[4..8].copy_from_slice(&wire_len.to_le_bytes());
    Ok(record)
}

/// The message in a record's body.
pub(super) fn decode<M: ControlMessage>(body: &[u8]) -> Result<M, WireError> {
    let config = bincode::config::standard().with_limit::<MAX_CONTROL>();
    match bincode::decode_from_slice::<M, _>(body, config) {
        Ok((message, used)) if used == body.len() => Ok(message),
        Ok(_) | Err(_) => Err(WireError::Message),
    }
}
