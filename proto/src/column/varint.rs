//! Integers of one to ten bytes: seven bits a byte, low bits first; signed ones zigzag.

use crate::batch::DecodeError;

/// Folds the sign into the lowest bit so that small magnitudes stay short.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends an unsigned integer.
#[inline(always)]
pub(crate) fn write(out: &mut Vec<u8>, value: u64) {
    if value >= 1 << 28 {
        return write_long(out, value);
    }
    // How many bytes a value takes is hard to foresee, so no branch depends on it: four are written, and those that it takes stay.
    let value = value as u32;
    let spread = value & 0x7f | (value & 0x3f80) << 1 | (value & 0x1f_c000) << 2 | (value & 0xfe0_0000) << 3;
    let more = (31 - (value | 1).leading_zeros()) / 7;
    let goes_on = 0x0080_8080 & ((1 << (8 * more)) - 1);
    let len = out.len() + more as usize + 1;
    out.extend_from_slice(&(spread | goes_on).to_le_bytes());
    out.truncate(len);
}

#[cold]
#[inline(never)]
fn write_long(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads integers off the front of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// The next unsigned integer.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<u64, DecodeError> {
        match self.bytes {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(*byte))
            }
            _ => self.next_long(),
        }
    }

    fn next_long(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Err(DecodeError::Malformed(self.what));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.bytes = self.bytes.get(index + 1..).unwrap_or(&[]);
                return Ok(value);
            }
        }
        if self.bytes.len() < 10 {
            Err(DecodeError::Truncated(self.what))
        } else {
            Err(DecodeError::Malformed(self.what))
        }
    }

    /// The next unsigned integer where only 32 bits make sense.
    pub(crate) fn next_u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.next()?).map_err(|_| DecodeError::Malformed(self.what))
    }

    /// The next signed integer.
    #[inline]
    pub(crate) fn next_signed(&mut self) -> Result<i64, DecodeError> {
        self.next().map(unzigzag)
    }

    /// Fails when anything is left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed(self.what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, unzigzag, write, write_long, zigzag};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_come_back(values in prop::collection::vec(any::<i64>(), 0..20)) {
            let mut bytes = Vec::new();
            for value in &values {
                write(&mut bytes, zigzag(*value));
            }
            let mut reader = Reader::new(&bytes, "test");
            for value in &values {
                prop_assert_eq!(unzigzag(zigzag(*value)), *value);
                prop_assert_eq!(reader.next_signed(), Ok(*value));
            }
            prop_assert!(reader.end().is_ok());
            prop_assert!(reader.next().is_err());
        }

        #[test]
        fn short_ones_are_written_as_long_ones_are(value in any::<u64>(), bits in 0u32..64) {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            write(&mut short, value >> bits);
            write_long(&mut long, value >> bits);
            prop_assert_eq!(short, long);
        }
    }

    #[test]
    fn too_many_bits_are_refused() {
        assert!(Reader::new(&[0xff; 10], "test").next().is_err());
        assert!(Reader::new(&[0xff; 3], "test").next().is_err());
        assert!(
            Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], "test")
                .next()
                .is_err()
        );
    }
}
