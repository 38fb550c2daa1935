//! Cuts JSON text into its tokens, strictly: whatever a strict parser would refuse, or what is merely unusual, is `None`.

use super::{
    look::{Literal, Look, TENS, digits, digits_in, quote, special},
    number::{self, Number},
};
use uuid::Uuid;

/// Where the scan stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    /// Bytes that are UTF-8.
    text: &'a [u8],
    /// What is left of the text. Tokens end at bytes of ASCII, so it never begins within a character that matters.
    rest: &'a [u8],
    look: Look,
}

/// A string: its bytes as they stand, which are UTF-8, or with escapes taken out.
#[derive(Debug)]
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    Escaped(String),
}

impl Text<'_> {
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Escaped(text) => text.as_bytes(),
        }
    }

    /// The same as a `str`, which is looked at once more.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Plain(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Self::Escaped(text) => text,
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Plain(&[])
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text, which is UTF-8.
    pub(super) fn new(text: &'a [u8], look: Look) -> Self {
        Self { text, rest: text, look }
    }

    /// The byte that comes next, after any space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] => self.rest = rest,
                [byte, ..] => return Some(*byte),
                [] => return None,
            }
        }
    }

    /// The byte that comes next, after any space, which is then behind.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = self.rest.get(1..)?;
        Some(byte)
    }

    /// Passes one byte, after any space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    /// Passes exactly these bytes, without space before, if they come next.
    #[inline]
    pub(super) fn skip<B: AsRef<[u8]>>(&mut self, literal: &Literal<B>) -> bool {
        let Some(after) = literal.strip(self.rest) else {
            return false;
        };
        self.rest = after;
        true
    }

    /// As [`Cursor::skip`], after any space.
    #[inline]
    pub(super) fn skip_to<B: AsRef<[u8]>>(&mut self, literal: &Literal<B>) -> bool {
        self.skip(literal) || (self.pass_space() && self.skip(literal))
    }

    /// Passes space, and says whether there was some.
    #[inline]
    fn pass_space(&mut self) -> bool {
        let before = self.rest.len();
        self.peek().is_some() && self.rest.len() < before
    }

    /// Is there nothing but space left?
    #[inline]
    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The rest of a string whose opening quote is behind.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        if !self.look.plain {
            return self.any_string();
        }
        let (inner, after) = self.rest.split_at_checked(quote(self.rest)?)?;
        self.rest = after.get(1..)?;
        Some(Text::Plain(inner))
    }

    /// As [`Cursor::string`], of a text that is not plain.
    #[inline(never)]
    fn any_string(&mut self) -> Option<Text<'a>> {
        let (inner, after) = self.rest.split_at_checked(special(self.rest)?)?;
        let [b'"', after @ ..] = after else {
            return self.escaped();
        };
        self.rest = after;
        Some(Text::Plain(inner))
    }

    /// An id in its usual form of 36 characters, if one comes next. Whether they belong to one says whether the string ends behind them, so it is read once.
    #[inline]
    pub(super) fn uuid(&mut self) -> Option<Uuid> {
        self.peek()?;
        let (quoted, after) = self.rest.split_first_chunk::<38>()?;
        let [b'"', id @ .., b'"'] = quoted else { return None };
        let id = Uuid::try_parse_ascii(id).ok()?;
        self.rest = after;
        Some(id)
    }

    /// As [`Cursor::string`], once a backslash was seen.
    #[cold]
    fn escaped(&mut self) -> Option<Text<'a>> {
        let bytes = self.rest;
        let mut at = 0;
        loop {
            at += special(bytes.get(at..)?)?;
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => return None,
            }
        }
        let start = self.text.len() - bytes.len();
        self.rest = bytes.get(at + 1..)?;
        serde_json::from_slice(self.text.get(start - 1..=start + at)?)
            .ok()
            .map(Text::Escaped)
    }

    /// A short integer without a sign, if one comes next: most numbers are. Nothing is passed over when none does.
    #[inline(always)]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let bytes = self.rest;
        let (mut value, mut count) = digits_in(*bytes.first_chunk()?);
        if count == 8 {
            let (more, others) = digits_in(*bytes.get(8..)?.first_chunk()?);
            value = value * TENS[others & 15] + more;
            count += others;
        }
        let after = bytes.get(count..)?;
        let goes_on = matches!(after.first(), Some(b'.' | b'e' | b'E'));
        if count == 0 || count > SAFE_DIGITS || goes_on || (count > 1 && bytes.first() == Some(&b'0')) {
            return None;
        }
        self.rest = after;
        Some(value as i64)
    }

    /// A number, whose first byte comes next, and its text.
    pub(super) fn number(&mut self) -> Option<(Number, &'a [u8])> {
        let negative = self.rest.first() == Some(&b'-');
        let unsigned = self.rest.get(usize::from(negative)..)?;
        let (mantissa, count) = digits(unsigned);
        let after = unsigned.get(count..)?;
        if count == 0 || (count > 1 && unsigned.first() == Some(&b'0')) {
            return None;
        }
        if count > SAFE_DIGITS || matches!(after.first(), Some(b'.' | b'e' | b'E')) || (mantissa == 0 && negative) {
            return self.fraction(negative, mantissa, count);
        }
        let text = self.rest.get(..count + usize::from(negative))?;
        self.rest = after;
        let value = mantissa as i64;
        Some((Number::Int(if negative { -value } else { value }), text))
    }

    /// As [`Cursor::number`], once the digits before the point are known.
    fn fraction(&mut self, negative: bool, whole: u64, count: usize) -> Option<(Number, &'a [u8])> {
        let behind = |at: usize| self.rest.get(at..);
        let mut at = usize::from(negative) + count;
        let (mut mantissa, mut all, mut places) = (whole, count, 0);
        if behind(at)?.first() == Some(&b'.') {
            let fraction;
            (fraction, places) = digits(behind(at + 1)?);
            if places == 0 {
                return None;
            }
            at += 1 + places;
            all += places;
            if all <= SAFE_DIGITS {
                mantissa = mantissa * TENS[places] + fraction;
            }
        }
        let mut exact = all <= SAFE_DIGITS;
        if let Some(b'e' | b'E') = behind(at)?.first() {
            at += 1;
            at += usize::from(matches!(behind(at)?.first(), Some(b'+' | b'-')));
            let (_, exponent) = digits(behind(at)?);
            if exponent == 0 {
                return None;
            }
            at += exponent;
            exact = false;
        }
        let (text, after) = self.rest.split_at_checked(at)?;
        self.rest = after;
        let number = match mantissa {
            _ if !exact => number::classify(std::str::from_utf8(text).ok()?),
            0 if places == 0 && negative => Number::Text,
            _ if places == 0 => Number::Int(if negative { -(mantissa as i64) } else { mantissa as i64 }),
            // Both are exact in an `f64`, so the quotient is the nearest there is.
            _ => {
                let value = mantissa as i64 as f64 / TENS[places] as f64;
                Number::Float(if negative { -value } else { value })
            }
        };
        Some((number, text))
    }

    /// An array as it stands, whose opening bracket comes next.
    pub(super) fn array(&mut self) -> Option<&'a str> {
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<&serde_json::value::RawValue>();
        let array = values.next()?.ok()?.get();
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(array)
    }
}

/// Digits that every `f64` gives back.
const SAFE_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::{Cursor, Look, Number};
    use proptest::prelude::*;

    fn cursor(text: &str) -> Cursor<'_> {
        Cursor::new(text.as_bytes(), Look::at(text.as_bytes()))
    }

    proptest! {
        /// What is taken for a number is one, and its value is the nearest `f64`, whatever comes behind it.
        #[test]
        fn numbers_are_those_of_json(text in "-?[0-9]{0,18}(\\.[0-9]{0,18})?([eE][+-]?[0-9]{0,3})?", behind in "(|,|} ,|}     ,\"a\":1)") {
            let line = format!("{text}{behind}");
            let found = cursor(&line).number().filter(|(_, taken)| *taken == text.as_bytes());
            let valid = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(found.is_some(), valid, "{}", text);
            match found {
                Some((Number::Int(value), _)) => prop_assert_eq!(text.parse(), Ok(value)),
                Some((Number::Float(value), _)) => prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits()),
                _ => {}
            }
            let mut integer = cursor(&line);
            match integer.integer() {
                Some(value) => {
                    prop_assert_eq!(found.map(|(number, _)| number), Some(Number::Int(value)));
                    prop_assert_eq!(integer.rest, behind.as_bytes());
                }
                None => prop_assert_eq!(integer.rest, line.as_bytes()),
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
            let mut cursor = cursor(&text);
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
            // The quote that opens it stands before the text in real use; give the scan the same.
            let quoted = format!("\"{text}");
            let mut real = cursor(&quoted);
            prop_assert_eq!(real.take(), Some(b'"'));
            let found = real.string().filter(|_| real.is_done());
            let want = serde_json::from_str::<String>(&quoted).ok();
            prop_assert_eq!(found.as_ref().map(|found| found.as_str()), want.as_deref());
        }
    }
}
