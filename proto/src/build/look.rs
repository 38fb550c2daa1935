//! Questions to many bytes at a time: without branches that are hard to foresee, and so that the compiler can ask sixteen of them at once.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// What is known of a text after one look at all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// It has neither a backslash nor a control character, so that every string in it ends at its first quote.
    pub(super) plain: bool,
    /// All of it is ASCII.
    pub(super) ascii: bool,
}

impl Look {
    /// Looks at all of it.
    pub(super) fn at(bytes: &[u8]) -> Self {
        let blocks = bytes.len() & !(BLOCK - 1);
        let first = Self::at_part(bytes.get(..blocks).unwrap_or(&[]));
        // The last block overlaps the ones before, rather than being looked at byte by byte.
        let last = match bytes.last_chunk::<BLOCK>() {
            Some(last) => Self::at_part(last),
            None => Self::at_part(bytes),
        };
        Self {
            plain: first.plain & last.plain,
            ascii: first.ascii & last.ascii,
        }
    }

    /// Without branches, so that the compiler looks at many bytes at once.
    #[inline]
    fn at_part(bytes: &[u8]) -> Self {
        let (mut least, mut all) = (u8::MAX, 0);
        for byte in bytes {
            // Zero for control characters, zero for a backslash.
            least = least.min(byte.saturating_sub(0x1f)).min(byte ^ b'\\');
            all |= byte;
        }
        Self {
            plain: least > 0,
            ascii: all < 0x80,
        }
    }
}

/// Bytes that are looked at at once.
const BLOCK: usize = 32;

/// The highest bit of each byte that is zero. Bits above the lowest one may be wrong; that one never is.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Bytes before the first one that is asked for, eight at a time.
#[inline(always)]
fn before(bytes: &[u8], in_word: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let end = bytes.get(at..)?.iter().position(|byte| is_it(*byte))?;
    Some(at + end)
}

/// Bytes before the first quote. Most strings are shorter than a block that `memchr` would look at, and a call of it takes longer than they do.
#[inline(always)]
pub(super) fn quote(bytes: &[u8]) -> Option<usize> {
    before(bytes, quotes, |byte| byte == b'"')
}

#[inline]
fn quotes(word: u64) -> u64 {
    zeros(word ^ (b'"' as u64 * ONES))
}

/// Bytes before the first quote, backslash or control character.
pub(super) fn special(bytes: &[u8]) -> Option<usize> {
    let in_word = |word: u64| {
        let slashes = zeros(word ^ (b'\\' as u64 * ONES));
        let control = word.wrapping_sub(0x20 * ONES) & !word & HIGH;
        quotes(word) | slashes | control
    };
    before(bytes, in_word, |byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// Bytes that are expected to come next, mostly a key. Those of usual length are compared as two words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Literal<B> {
    words: [u64; 2],
    masks: [u64; 2],
    bytes: B,
}

/// Bytes that are compared as words.
const WORDS: usize = 16;

impl<B: AsRef<[u8]>> Literal<B> {
    pub(super) fn new(bytes: B) -> Self {
        let [words, masks] = Literal::words(bytes.as_ref());
        Self { words, masks, bytes }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// What comes behind these bytes, if they come first.
    #[inline]
    pub(super) fn strip<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let bytes = self.bytes.as_ref();
        match text.first_chunk::<WORDS>() {
            Some(start) if bytes.len() <= WORDS => {
                let [a, b] = words(start);
                let differ = (a ^ self.words[0]) & self.masks[0] | (b ^ self.words[1]) & self.masks[1];
                if differ == 0 { text.get(bytes.len()..) } else { None }
            }
            _ => text.strip_prefix(bytes),
        }
    }
}

impl Literal<&'static [u8]> {
    pub(super) const fn of(bytes: &'static [u8]) -> Self {
        let [words, masks] = Literal::words(bytes);
        Self { words, masks, bytes }
    }

    const fn words(bytes: &[u8]) -> [[u64; 2]; 2] {
        let (mut words, mut masks) = ([0; 2], [0; 2]);
        let mut at = 0;
        while at < bytes.len() && at < WORDS {
            words[at / 8] |= (bytes[at] as u64) << (at % 8 * 8);
            masks[at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        [words, masks]
    }
}

/// Sixteen bytes as two words.
#[inline]
fn words(bytes: &[u8; WORDS]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

/// The value of the digits that come first, and how many they are. The value is right if they are at most 19.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> (u64, usize) {
    let (mut value, mut count) = (0u64, 0);
    while let Some(word) = bytes.get(count..).and_then(|rest| rest.first_chunk::<8>()) {
        let (eight, found) = digits_in(*word);
        value = value.wrapping_mul(TENS[found & 15]).wrapping_add(eight);
        count += found;
        if found < 8 {
            return (value, count);
        }
    }
    while let Some(digit) = bytes.get(count).filter(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        count += 1;
    }
    (value, count)
}

/// The same within eight bytes: no branch depends on how many there are, which is hard to foresee.
#[inline]
pub(super) fn digits_in(word: [u8; 8]) -> (u64, usize) {
    const PAIR: u64 = 0x0000_00ff_0000_00ff;
    let word = u64::from_le_bytes(word) ^ (b'0' as u64 * ONES);
    // Anything from ten on carries into the highest bit. What is carried further lies behind the first one found.
    let others = (word.wrapping_add(0x76 * ONES) | word) & (0x80 * ONES);
    let count = others.trailing_zeros() / 8;
    // The digits move to the end, zeros come before them; then pairs, fours and eights are added up.
    let eight = word.unbounded_shl(64 - 8 * count);
    let pairs = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let high = (pairs & PAIR).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & PAIR).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count as usize)
}

/// Powers of ten for as many places as safe digits allow.
pub(super) const TENS: [u64; 16] = {
    let mut tens = [1; 16];
    let mut at = 1;
    while at < tens.len() {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

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

#[cfg(test)]
mod tests {
    use super::{Literal, Look, digits, quote, same, special};
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'a'), Just(b'"'), Just(b'\\'), any::<u8>()];
        (0usize..90, prop::collection::vec(byte, 0..40)).prop_map(|(plain, rest)| [vec![b'x'; plain], rest].concat())
    }

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
            let rest = [&b[..], b"x"].concat();
            let after = Literal::new(&a).strip(&rest).map(<[u8]>::len);
            prop_assert_eq!(after, rest.strip_prefix(&a[..]).map(<[u8]>::len));
        }

        #[test]
        fn finds_the_end_of_strings(bytes in text()) {
            prop_assert_eq!(special(&bytes), bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)));
            prop_assert_eq!(quote(&bytes), bytes.iter().position(|byte| *byte == b'"'));
        }

        #[test]
        fn a_look_sees_every_byte(bytes in text()) {
            let want = Look {
                plain: bytes.iter().all(|byte| !matches!(byte, b'\\' | 0..0x20)),
                ascii: bytes.is_ascii(),
            };
            prop_assert_eq!(Look::at(&bytes), want);
        }

        #[test]
        fn digits_are_read_as_a_number(number in any::<u64>(), zeros in 0usize..9, rest in "([^0-9].{0,12})?") {
            let number = number / 10;
            let text = format!("{}{number}{rest}", "0".repeat(zeros));
            let count = zeros + number.to_string().len();
            prop_assert_eq!(digits(text.as_bytes()), (number, count));
            prop_assert_eq!(digits(rest.as_bytes()), (0, 0));
        }
    }
}
