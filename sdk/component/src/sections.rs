//! The outermost sections of a component: where each begins and ends, and the name of a custom one.

use std::ops::Range;

/// Bytes before the first section: magic, version and layer.
const PREAMBLE: usize = 8;
/// Identifier of custom sections.
const CUSTOM: u8 = 0;

/// One outermost section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// Its first byte.
    pub(crate) start: usize,
    /// Name and contents of a custom section.
    pub(crate) custom: Option<(&'a str, &'a [u8])>,
}

/// All outermost sections in order; `None` when the bytes are cut somewhere.
pub(crate) fn sections(bytes: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut found = Vec::new();
    let mut at = PREAMBLE;
    while at < bytes.len() {
        let start = at;
        let id = bytes[at];
        let size;
        (size, at) = number(bytes, at + 1)?;
        let body = bytes.get(range(at, size)?)?;
        at += size;
        let custom = if id == CUSTOM {
            let (length, begin) = number(body, 0)?;
            let end = begin.checked_add(length)?;
            let name = std::str::from_utf8(body.get(begin..end)?).ok()?;
            Some((name, body.get(end..)?))
        } else {
            None
        };
        found.push(Section { start, custom });
    }
    Some(found)
}

fn range(at: usize, size: usize) -> Option<Range<usize>> {
    Some(at..at.checked_add(size)?)
}

/// An unsigned LEB128 number of 32 bits, and the place after it.
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_and_cut_bytes_are_not_read() {
        let bytes =
            wat::parse_str("(component (core module (@custom \"inner\" \"x\")) (@custom \"a\" \"bc\"))").unwrap();
        let found = sections(&bytes).unwrap();
        let customs: Vec<_> = found.iter().filter_map(|section| section.custom).collect();
        assert_eq!(customs, [("a", b"bc".as_slice())]);
        let last = found.last().unwrap().start;
        for end in PREAMBLE + 1..bytes.len() {
            let cut = sections(&bytes[..end]);
            assert!(
                cut.is_none() || found.iter().any(|section| section.start == end),
                "{end} of {last}"
            );
        }
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 0), None);
    }
}
