//! Cuts JSON text into its tokens, strictly: whatever a strict parser would refuse, or what is merely unusual, is `None`.

use super::number::{self, Number};
use uuid::Uuid;

/// Where the scan stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A string: as it stands, or with escapes taken out.
#[derive(Debug)]
pub(super) enum Text<'a> {
    Plain(&'a str),
    Escaped(String),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Escaped(text) => text,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte that comes next, after any space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// The byte that comes next, after any space, which is then behind.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Passes one byte, after any space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    /// Passes exactly these bytes, without space before, if they come next.
    #[inline]
    pub(super) fn skip(&mut self, bytes: &[u8]) -> bool {
        let found = self
            .text
            .as_bytes()
            .get(self.at..)
            .and_then(|rest| rest.get(..bytes.len()))
            .is_some_and(|start| same(start, bytes));
        self.at += if found { bytes.len() } else { 0 };
        found
    }

    /// Is there nothing but space left?
    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The rest of a string whose opening quote is behind.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        let start = self.at;
        let end = start + special(self.text.as_bytes().get(start..)?)?;
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Some(Text::Plain(self.text.get(start..end)?));
        }
        self.escaped(start)
    }

    /// An id in its usual form of 36 characters, if one comes next. Whether they belong to one says whether the string ends behind them, so it is read once.
    #[inline]
    pub(super) fn uuid(&mut self) -> Option<Uuid> {
        self.peek()?;
        let quoted = self.text.as_bytes().get(self.at..)?.first_chunk::<38>()?;
        let [b'"', id @ .., b'"'] = quoted else { return None };
        let id = Uuid::try_parse_ascii(id).ok()?;
        self.at += quoted.len();
        Some(id)
    }

    /// As [`Cursor::string`], once a backslash was seen.
    #[cold]
    fn escaped(&mut self, start: usize) -> Option<Text<'a>> {
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            at += special(bytes.get(at..)?)?;
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => return None,
            }
        }
        self.at = at + 1;
        serde_json::from_str(self.text.get(start - 1..=at)?)
            .ok()
            .map(Text::Escaped)
    }

    /// A number, whose first byte comes next.
    #[inline]
    pub(super) fn number(&mut self) -> Option<(Number, &'a str)> {
        /// Digits that every `f64` gives back.
        const SAFE_DIGITS: usize = 15;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = bytes.get(start) == Some(&b'-');
        let mut at = start + usize::from(negative);
        let whole = at;
        let mut mantissa = 0u64;
        let mut digits = |at: &mut usize| {
            let from = *at;
            while let Some(digit) = bytes.get(*at).filter(|byte| byte.is_ascii_digit()) {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                *at += 1;
            }
            *at - from
        };
        let mut count = digits(&mut at);
        if count == 0 || (count > 1 && bytes.get(whole) == Some(&b'0')) {
            return None;
        }
        let mut places = 0;
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            places = digits(&mut at);
            count += places;
            if places == 0 {
                return None;
            }
        }
        let integer = places == 0;
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            if digits(&mut at) == 0 {
                return None;
            }
            count = usize::MAX;
        }
        self.at = at;
        let text = self.text.get(start..at)?;
        let number = match mantissa {
            _ if count > SAFE_DIGITS => number::classify(text),
            0 if integer && negative => Number::Text,
            _ if integer => Number::Int(if negative { -(mantissa as i64) } else { mantissa as i64 }),
            // Both are exact in an `f64`, so the quotient is the nearest there is.
            _ => {
                let value = mantissa as f64 / TENS[places];
                Number::Float(if negative { -value } else { value })
            }
        };
        Some((number, text))
    }

    /// An array as it stands, whose opening bracket comes next.
    pub(super) fn array(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
        let array = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        Some(array)
    }
}

/// Powers of ten for as many places as safe digits allow.
const TENS: [f64; 16] = [
    1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Are they equal? Most texts here are so short that the call of a general comparison costs more than the comparison.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ends = |text: &[u8]| Some((*text.first_chunk::<8>()?, *text.last_chunk::<8>()?));
    let short = |text: &[u8]| Some((*text.first_chunk::<4>()?, *text.last_chunk::<4>()?));
    match a.len() {
        0..4 => a.iter().eq(b),
        4..8 => short(a) == short(b),
        8..=16 => ends(a) == ends(b),
        _ => a == b,
    }
}

/// Is it a quote, a backslash or a control character?
#[inline]
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// Bytes before the first quote, backslash or control character.
#[inline]
fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if let Some(before) = special_in(*word) {
            return Some(at * 8 + before);
        }
        at += 1;
        // Most strings have ended by now; the others are long enough to be looked at in larger blocks.
        if at == 2 {
            at += 2 * plain_blocks(bytes.get(16..).unwrap_or(&[]));
        }
    }
    let end = rest.iter().position(|byte| is_special(*byte))?;
    Some(words.len() * 8 + end)
}

/// The same within eight bytes.
#[inline]
fn special_in(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let word = u64::from_le_bytes(word);
    // The classic test for a zero byte; the lowest one found is always a true one.
    let quote = word ^ (b'"' as u64 * ONES);
    let slash = word ^ (b'\\' as u64 * ONES);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(0x20 * ONES) & !word);
    (found & HIGH != 0).then(|| (found & HIGH).trailing_zeros() as usize / 8)
}

/// How many blocks of sixteen bytes follow without one. No block is left early, which lets the compiler look at all of its bytes at once.
#[inline]
fn plain_blocks(bytes: &[u8]) -> usize {
    let is_plain = |block: &&[u8; 16]| !block.iter().fold(false, |found, byte| found | is_special(*byte));
    bytes.as_chunks::<16>().0.iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Number, same, special};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compares_as_slices_do(a in prop::collection::vec(0u8..3, 0..40), at in any::<prop::sample::Index>(), change in any::<bool>()) {
            let mut b = a.clone();
            if change && !b.is_empty() {
                let at = at.index(b.len());
                b[at] ^= 1;
            }
            prop_assert_eq!(same(&a, &b), a == b);
            prop_assert!(!same(&a, &[&a[..], &[0]].concat()));
        }

        #[test]
        fn finds_the_end_of_strings(bytes in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'"'), any::<u8>()], 0..40), plain in 0usize..90) {
            let bytes = [vec![b'x'; plain], bytes].concat();
            prop_assert_eq!(special(&bytes), bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)));
        }

        /// What is taken for a number is one, and its value is the nearest `f64`.
        #[test]
        fn numbers_are_those_of_json(text in "-?[0-9]{0,18}(\\.[0-9]{0,18})?([eE][+-]?[0-9]{0,3})?") {
            let mut cursor = Cursor::new(&text);
            let found = cursor.number().filter(|(_, taken)| *taken == text);
            let valid = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(found.is_some(), valid, "{}", text);
            match found {
                Some((Number::Int(value), _)) => prop_assert_eq!(text.parse(), Ok(value)),
                Some((Number::Float(value), _)) => prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits()),
                _ => {}
            }
        }

        #[test]
        fn ids_are_taken_whole_or_not_at_all(id in any::<u128>(), upper in any::<bool>(), at in 0usize..36, change in "[g\"\\\\é0]?") {
            let mut id_text = uuid::Uuid::from_u128(id).to_string();
            if upper {
                id_text.make_ascii_uppercase();
            }
            if !change.is_empty() {
                id_text.replace_range(at..at + 1, &change);
            }
            let text = format!(" \"{id_text}\",");
            let mut cursor = Cursor::new(&text);
            match cursor.uuid() {
                Some(found) => {
                    prop_assert_eq!(Ok(found), id_text.parse());
                    prop_assert_eq!(cursor.peek(), Some(b','));
                }
                None => {
                    prop_assert!(!change.is_empty());
                    prop_assert_eq!(cursor.take(), Some(b'"'));
                }
            }
        }

        #[test]
        fn strings_are_those_of_json(inner in "([a-zé\\\\\"nu0-9]|\\\\u00e9|\\\\n){0,12}") {
            let text = format!("{inner}\"");
            let mut cursor = Cursor::new(&text);
            // The quote that opens it stands before the text in real use; give the scan the same.
            let quoted = format!("\"{text}");
            let mut real = Cursor { text: &quoted, at: 1 };
            let found = real.string().filter(|_| real.is_done());
            let want = serde_json::from_str::<String>(&quoted).ok();
            prop_assert_eq!(found.as_ref().map(|found| found.as_str()), want.as_deref());
            prop_assert!(cursor.peek().is_some());
        }
    }
}
