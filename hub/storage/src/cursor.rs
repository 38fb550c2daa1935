//! Where a page of events ended, as an opaque text.
//!
//! The key is (event time, place in the log, row in the frame). None of the three changes while events are appended, merged or
//! expired, so the next page goes on exactly behind the last event of the page before.

use std::cmp::Ordering;

use crate::{StoreError, store::Order};

/// The place of an event in a query's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Event time.
    pub ts: i64,
    /// Place of its frame in the log.
    pub position: u64,
    /// Row in that frame.
    pub row: u32,
}

/// Version of the text; another version is refused instead of misread.
const VERSION: u8 = 1;
const LEN: usize = 22;

impl Key {
    /// How two events stand in an answer.
    #[must_use]
    pub fn compare(&self, other: &Self, order: Order) -> Ordering {
        match order {
            Order::Asc => self.cmp(other),
            Order::Desc => other.cmp(self),
        }
    }

    /// The cursor of a page that ended with this event.
    #[must_use]
    pub fn to_cursor(self, order: Order) -> String {
        let mut bytes = [0; LEN];
        bytes[0] = VERSION;
        bytes[1] = order as u8;
        bytes[2..10].copy_from_slice(&self.ts.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.position.to_be_bytes());
        bytes[18..].copy_from_slice(&self.row.to_be_bytes());
        bytes.iter().fold(String::with_capacity(LEN * 2), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
            text
        })
    }

    /// Reads a cursor of a query in the same order.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub fn from_cursor(text: &str, order: Order) -> Result<Self, StoreError> {
        let bytes = unhex(text).ok_or(StoreError::BadCursor)?;
        if bytes[0] != VERSION || bytes[1] != order as u8 {
            return Err(StoreError::BadCursor);
        }
        let [
            _,
            _,
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
            p7,
            r0,
            r1,
            r2,
            r3,
        ] = bytes;
        Ok(Self {
            ts: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            position: u64::from_be_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
            row: u32::from_be_bytes([r0, r1, r2, r3]),
        })
    }
}

fn unhex(text: &str) -> Option<[u8; LEN]> {
    if text.len() != LEN * 2 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; LEN];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_it_wrote(ts: i64, position: u64, row: u32, desc: bool) {
            let order = if desc { Order::Desc } else { Order::Asc };
            let other = if desc { Order::Asc } else { Order::Desc };
            let key = Key { ts, position, row };
            prop_assert_eq!(Key::from_cursor(&key.to_cursor(order), order).unwrap(), key);
            prop_assert!(Key::from_cursor(&key.to_cursor(order), other).is_err());
        }

        #[test]
        fn refuses_anything_else(text in ".{0,60}") {
            prop_assert!(Key::from_cursor(&text, Order::Desc).is_err());
        }
    }
}
