//! Which numbers an `f64` holds exactly as they were written.

/// A JSON number by how it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// Neither gives the text's value back.
    Text,
}

/// Sorts a number by its JSON text.
pub(super) fn classify(text: &str) -> Number {
    if !text.contains(['.', 'e', 'E']) {
        return match text.parse() {
            Ok(0) if text.starts_with('-') => Number::Text,
            Ok(value) => Number::Int(value),
            Err(_) => Number::Text,
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && comes_back(text, value) => Number::Float(value),
        _ => Number::Text,
    }
}

/// Does the shortest text of the `f64` name the same decimal?
fn comes_back(text: &str, value: f64) -> bool {
    serde_json::to_string(&value).is_ok_and(|shown| Decimal::of(text) == Decimal::of(&shown))
}

/// A decimal without the freedom of how to write it.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// From the first to the last that is not zero.
    digits: Vec<u8>,
    /// Of the last digit.
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let negative_exponent = exponent.starts_with('-');
        let saturated = if negative_exponent { i64::MIN / 2 } else { i64::MAX / 2 };
        let mut exponent = exponent
            .parse::<i64>()
            .unwrap_or(saturated)
            .clamp(i64::MIN / 2, i64::MAX / 2);
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        exponent -= fraction.len() as i64;
        let mut digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .skip_while(|digit| *digit == b'0')
            .collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            exponent = 0;
        }
        Self {
            negative,
            digits,
            exponent,
        }
    }
}

/// What a float parser's answer leaves open: whether an integer was written, or something that rounded to it.
pub(super) fn is_ambiguous(value: f64) -> bool {
    const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;
    const NEARLY_UNDERFLOWN: f64 = 1e-290;
    let magnitude = value.abs();
    (magnitude >= EXACT_INTEGERS && value.fract() == 0.0)
        || (magnitude < NEARLY_UNDERFLOWN && (magnitude > 0.0 || value.is_sign_negative()))
}

/// Could `0.0` have been written as something else, such as `1e-999`?
pub(super) fn may_underflow(json: &[u8]) -> bool {
    json.windows(2).any(|pair| matches!(pair, [b'e' | b'E', b'-']))
}

/// Fewer significant digits than this always survive an `f64`.
const SAFE_DIGITS: usize = 15;

/// Does the text hold a fraction with more digits than its `f64` gives back?
///
/// Such a number is a run of at least 16 characters, so it fills one of the words that the text is cut into, and no other
/// word costs more than a few instructions. A run inside a string is mistaken for a number, which costs time and no more.
pub(super) fn has_long_fraction(json: &[u8]) -> bool {
    let in_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let (words, _) = json.as_chunks::<8>();
    let mut done = 0;
    for (index, word) in words.iter().enumerate() {
        let at = index * 8;
        if !all_near_digits(*word) || at < done {
            continue;
        }
        let start = json[..at]
            .iter()
            .rposition(|byte| !in_number(byte))
            .map_or(0, |before| before + 1);
        let end = json[at..]
            .iter()
            .position(|byte| !in_number(byte))
            .map_or(json.len(), |len| at + len);
        let run = json.get(start..end).unwrap_or(&[]);
        if run.len() > SAFE_DIGITS && !run_comes_back(run, &json[end..]) {
            return true;
        }
        done = end;
    }
    false
}

/// Are all eight bytes digits, dots or slashes? Looks at them at once: no sum below carries into the next byte unless a
/// byte is beyond ASCII, which fails anyway.
fn all_near_digits(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let word = u64::from_le_bytes(word);
    let above = word.wrapping_add((0x7f - b'9') as u64 * ONES);
    let not_below = word.wrapping_add((0x80 - b'.') as u64 * ONES);
    (word | above | !not_below) & HIGH == 0
}

fn run_comes_back(run: &[u8], rest: &[u8]) -> bool {
    let exponent_len = match rest {
        [b'e' | b'E', b'+' | b'-' | b'0'..=b'9', more @ ..] => {
            2 + more.iter().take_while(|byte| byte.is_ascii_digit()).count()
        }
        _ => 0,
    };
    if exponent_len == 0 && !run.contains(&b'.') {
        return true;
    }
    let text = [run, &rest[..exponent_len]].concat();
    std::str::from_utf8(&text).is_ok_and(|text| matches!(classify(text), Number::Float(_)))
}

#[cfg(test)]
mod tests {
    use super::{Number, classify, has_long_fraction};
    use proptest::prelude::*;

    #[test]
    fn numbers_are_kept_as_what_gives_them_back() {
        for (text, want) in [
            ("0", Number::Int(0)),
            ("-0", Number::Text),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("9223372036854775808", Number::Text),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("1.0", Number::Float(1.0)),
            ("-0.0", Number::Float(-0.0)),
            ("1e2", Number::Float(100.0)),
            ("0.1", Number::Float(0.1)),
            ("0.30000000000000004", Number::Float(0.30000000000000004)),
            ("0.30000000000000003", Number::Text),
            ("0.1000000000000000055511151231257827", Number::Text),
            ("1e400", Number::Text),
            ("1e-400", Number::Text),
            ("0e-99999999999999999999", Number::Float(0.0)),
            ("5e-324", Number::Float(5e-324)),
            ("1e99999999999999999999", Number::Text),
        ] {
            assert_eq!(classify(text), want, "{text}");
        }
    }

    #[test]
    fn long_fractions_are_noticed_wherever_they_stand() {
        for pad in 0..40 {
            let at =
                |number: &str| has_long_fraction(format!("{}{{\"a\":{number},\"b\":1}}", " ".repeat(pad)).as_bytes());
            assert!(at("0.30000000000000003"));
            assert!(at("-1234567890.12345678901"));
            assert!(at("12345678901234567e-3"));
            assert!(!at("0.30000000000000004"));
            assert!(!at("1763911911000000000"));
            assert!(!at("1.5"));
        }
    }

    proptest! {
        #[test]
        fn what_is_called_a_float_is_one(whole in 0u64..1000, fraction in "[0-9]{1,25}", exponent in -330i32..330) {
            let text = format!("{whole}.{fraction}e{exponent}");
            if let Number::Float(value) = classify(&text) {
                prop_assert_eq!(text.parse::<f64>(), Ok(value));
            }
        }
    }
}
