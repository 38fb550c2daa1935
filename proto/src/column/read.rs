//! Reads the streams of a column into values, checking every length.

use super::varint::Reader;
use crate::batch::DecodeError;

/// Exactly `count` zigzag varints.
pub(crate) fn ints(bytes: &[u8], count: usize) -> Result<Vec<i64>, DecodeError> {
    // Every value takes a byte at least: a lying count fails before it allocates.
    if bytes.len() < count {
        return Err(DecodeError::Truncated("integers"));
    }
    let mut reader = Reader::new(bytes, "integers");
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(reader.next_signed()?);
    }
    reader.end()?;
    Ok(values)
}

/// Exactly `count` scaled decimals.
pub(crate) fn decimals(bytes: &[u8], count: usize, exponent: u8) -> Result<Vec<f64>, DecodeError> {
    let scale = scale(exponent).ok_or(DecodeError::Malformed("decimals"))?;
    Ok(ints(bytes, count)?
        .into_iter()
        .map(|value| value as f64 / scale)
        .collect())
}

/// The power of ten that a decimal column is scaled by.
pub(crate) fn scale(exponent: u8) -> Option<f64> {
    [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]
        .get(usize::from(exponent))
        .copied()
}

/// Exactly `count` little-endian doubles, all of which JSON can show.
pub(crate) fn doubles(bytes: &[u8], count: usize) -> Result<Vec<f64>, DecodeError> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    if chunks.len() != count || !rest.is_empty() {
        return Err(DecodeError::Truncated("doubles"));
    }
    let values: Vec<f64> = chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(DecodeError::Malformed("doubles"))
    }
}

/// Strings side by side.
#[derive(Clone, Debug)]
pub(crate) struct Strings<'a> {
    text: &'a str,
    ends: Vec<u32>,
}

impl<'a> Strings<'a> {
    /// Exactly `count` strings whose lengths add up to the bytes there are.
    pub(crate) fn read(lengths: &[u8], bytes: &'a [u8], count: usize) -> Result<Self, DecodeError> {
        if lengths.len() < count {
            return Err(DecodeError::Truncated("string lengths"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("strings"))?;
        let mut reader = Reader::new(lengths, "string lengths");
        let mut ends = Vec::with_capacity(count);
        let mut end = 0usize;
        for _ in 0..count {
            end = end.saturating_add(reader.next_u32()? as usize);
            if !text.is_char_boundary(end) {
                return Err(DecodeError::Malformed("string lengths"));
            }
            ends.push(end as u32);
        }
        reader.end()?;
        if end != bytes.len() {
            return Err(DecodeError::Malformed("string lengths"));
        }
        Ok(Self { text, ends })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of the strings; empty beyond the end.
    pub(crate) fn get(&self, index: usize) -> &'a str {
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| *end as usize);
        let end = self.ends.get(index).map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or("")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Exactly `count` ids of `width` bytes, each below `entries`.
pub(crate) fn ids(bytes: &[u8], count: usize, entries: u32, width: u8) -> Result<Vec<u32>, DecodeError> {
    let fail = DecodeError::Malformed("ids");
    if bytes.len() != count * usize::from(width) || (entries == 0 && count > 0) {
        return Err(fail);
    }
    let ids: Vec<u32> = match width {
        0 => vec![0; count],
        1 => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        2 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|id| u32::from(u16::from_le_bytes(*id)))
            .collect(),
        4 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|id| u32::from_le_bytes(*id))
            .collect(),
        _ => return Err(fail),
    };
    if ids.iter().all(|id| *id < entries) {
        Ok(ids)
    } else {
        Err(fail)
    }
}
