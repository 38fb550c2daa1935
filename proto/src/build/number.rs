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

#[cfg(test)]
mod tests {
    use super::{Number, classify};
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
