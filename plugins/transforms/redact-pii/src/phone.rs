//! Finds phone numbers in the forms in which people write them. A bare run of digits is none: it may be anything.

use std::ops::Range;

/// Longest number, with its country.
const MOST: usize = 15;

/// `+49 171 2345678`, `(020) 7946 0958`, `0171-2345678`, `415-555-0123`.
pub(crate) fn numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let alone = match byte {
            b'+' | b'(' => !before.is_ascii_alphanumeric(),
            b'0'..=b'9' => !before.is_ascii_alphanumeric() && !b"+-./_".contains(&before),
            _ => false,
        };
        let begins = alone && can_begin(&bytes[at..]);
        let end = begins.then(|| number(bytes, at)).flatten();
        found.extend(end.map(|end| at..end));
        at = end.unwrap_or(at + 1);
    }
    found
}

/// Whether it is worth a closer look: most digits of a log are not.
const fn can_begin(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'+' | b'(' | b'0', b'0'..=b'9', ..] | [_, b'-' | b'.', ..] | [_, _, _, b'-' | b'.', ..]
    )
}

/// A number in the making.
#[derive(Default)]
struct Number {
    plus: bool,
    /// Its first group stands in brackets.
    bracket: bool,
    /// The first three digits.
    first: Vec<u8>,
    groups: Vec<usize>,
    /// What stands between groups.
    parted: Vec<u8>,
}

/// Where the longest number ends that begins here.
fn number(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut number = Number {
        plus: bytes[begin] == b'+',
        bracket: bytes[begin] == b'(',
        ..Number::default()
    };
    let (mut at, mut end) = (begin + usize::from(number.plus || number.bracket), None);
    loop {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        number.first.extend(
            bytes[at..at + digits]
                .iter()
                .take(3usize.saturating_sub(number.first.len())),
        );
        number.groups.push(digits);
        at += digits;
        if digits == 0 || number.digits() > MOST {
            return end;
        }
        if !bytes.get(at).is_some_and(u8::is_ascii_alphabetic) && number.is_one() {
            end = Some(at);
        }
        // A bracket closes the first group, or the second one after a country.
        if bytes.get(at) == Some(&b')') {
            at += 1;
        }
        match bytes.get(at) {
            Some(byte @ (b' ' | b'-' | b'.' | b'/')) => {
                number.parted.push(*byte);
                at += 1;
            }
            Some(b'0'..=b'9') => {}
            _ => return end,
        }
        at += usize::from(bytes.get(at) == Some(&b'('));
    }
}

impl Number {
    fn digits(&self) -> usize {
        self.groups.iter().sum()
    }

    fn is_one(&self) -> bool {
        let (digits, all) = (self.digits(), |parts: &[u8]| {
            self.parted.iter().all(|part| parts.contains(part))
        });
        if self.plus {
            return (8..=MOST).contains(&digits) && all(b" -/");
        }
        if self.bracket {
            return self.groups.len() >= 2 && (2..=5).contains(&self.groups[0]) && (9..=12).contains(&digits);
        }
        let trunk = matches!(
            self.first.as_slice(),
            [b'0', b'1'..=b'9', _] | [b'0', b'0', b'1'..=b'9']
        );
        let area = self.groups.len() >= 2 && trunk && (3..=5).contains(&self.groups[0]) && all(b" -/");
        let american = matches!(self.groups.as_slice(), [3, 3, 4] | [1, 3, 3, 4]) && (all(b"-") || all(b"."));
        (area && (9..=13).contains(&digits)) || american
    }
}
