//! A place in the log with everything that a rule needs to go on from there, and its form in the store.

use serde::{Deserialize, Serialize};

use super::{ledger::Ledger, order::Order};
use crate::engine::agents::Agents;

const MAGIC: [u8; 4] = *b"SFPR";
/// Raised with every change of a type that a mark holds.
const VERSION: u16 = 2;
const HEADER: usize = 10;

/// A place in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Everything up to here has been shown to the plugin.
    pub(super) position: u64,
    /// Batches stored before, when the rule was not there yet or asked something else, do not count.
    pub(super) since: i64,
    /// What the plugin saved; none = it begins.
    pub(super) guest: Option<Vec<u8>>,
    pub(super) agents: Agents,
    pub(super) order: Order,
    /// The last time of which the plugin has heard, event time.
    pub(super) ticked: i64,
    pub(super) ledger: Ledger,
}

/// A place before events that a version of the plugin could not take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failed {
    /// The version.
    pub(super) fingerprint: String,
    pub(super) mark: Mark,
}

/// What the store holds of a rule.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// What the rule asked.
    pub(super) question: String,
    pub(super) mark: Mark,
    pub(super) failed: Option<Failed>,
}

/// Why a saved state is not used, in words.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    #[error("it is damaged")]
    Damaged,
    #[error("it has version {0}, this hub writes {VERSION}")]
    Version(u16),
    #[error("{0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("{0}")]
    Encode(#[from] bincode::error::EncodeError),
}

impl Mark {
    /// After `position`, having seen nothing.
    pub(super) const fn new(position: u64, since: i64) -> Self {
        Self {
            position,
            since,
            guest: None,
            agents: Agents::new(i64::MIN),
            order: Order::new(),
            ticked: i64::MIN,
            ledger: Ledger::new(),
        }
    }
}

impl Saved {
    pub(super) fn encode(&self) -> Result<Vec<u8>, MarkError> {
        let body = bincode::serde::encode_to_vec(self, bincode::config::standard())?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(crc32c::crc32c(&body).to_le_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MarkError> {
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(MarkError::Damaged)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(MarkError::Damaged)?;
        let (crc, body) = rest.split_first_chunk::<4>().ok_or(MarkError::Damaged)?;
        let version = u16::from_le_bytes(*version);
        if *magic != MAGIC {
            return Err(MarkError::Damaged);
        }
        if version != VERSION {
            return Err(MarkError::Version(version));
        }
        if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return Err(MarkError::Damaged);
        }
        let (saved, read) = bincode::serde::decode_from_slice(body, bincode::config::standard())?;
        if read == body.len() {
            Ok(saved)
        } else {
            Err(MarkError::Damaged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_intact_mark_is_read() {
        let mark = Mark {
            guest: Some(b"state".to_vec()),
            ..Mark::new(7, 0)
        };
        let failed = Some(Failed {
            fingerprint: "aa".to_owned(),
            mark: mark.clone(),
        });
        let saved = Saved {
            question: "q".to_owned(),
            mark,
            failed,
        };
        let bytes = saved.encode().unwrap();
        let read = Saved::decode(&bytes).unwrap();
        assert_eq!(
            (read.mark.position, read.mark.guest.as_deref()),
            (7, Some(b"state".as_slice()))
        );
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(Saved::decode(&broken).is_err(), "byte {at}");
            assert!(Saved::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
