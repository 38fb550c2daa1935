//! `key=value key="quoted value" flag`: the pairs of a line. Pure.

use std::borrow::Cow;

use streamflow_proto::build::Scalar;

const MAX_PAIRS: usize = 128;

/// A value and whether it stood in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its text without quotes and escapes.
    pub text: Cow<'a, str>,
    quoted: bool,
}

/// Pairs in order.
pub type Pairs<'a> = Vec<(&'a str, Value<'a>)>;

/// The pairs of a line; of a key that occurs twice, the first. None when the line is something else: at least one of its words must be a pair,
/// and if `strict` all of them, as a line of prose may well hold one.
pub fn parse(line: &str, strict: bool) -> Option<Pairs<'_>> {
    let mut pairs = Pairs::new();
    let mut rest = line.trim();
    let mut real = false;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace() || c == '"')
            .unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() || after.starts_with('"') || pairs.len() == MAX_PAIRS {
            return None;
        }
        let value = match after.strip_prefix('=') {
            Some(after) => {
                real = true;
                let (value, after) = value(after)?;
                rest = after;
                value
            }
            None if strict => return None,
            None => {
                rest = after;
                Value {
                    text: "true".into(),
                    quoted: false,
                }
            }
        };
        // What follows a value is a space or the end.
        let trimmed = rest.trim_start();
        if !rest.is_empty() && trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed;
        if !pairs.iter().any(|(known, _)| *known == key) {
            pairs.push((key, value));
        }
    }
    real.then_some(pairs)
}

fn value(text: &str) -> Option<(Value<'_>, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((
            Value {
                text: value.into(),
                quoted: false,
            },
            rest,
        ));
    };
    let mut escaped = false;
    let mut any = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => (escaped, any) = (true, true),
            '"' => {
                let raw = &inner[..at];
                let text = if any { unescape(raw).into() } else { raw.into() };
                return Some((Value { text, quoted: true }, &inner[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}

/// A bare number or `true` and `false` become what they look like, unless writing them again would change the text.
pub fn scalar<'a>(value: &'a Value<'_>) -> Scalar<'a> {
    let text: &str = &value.text;
    if value.quoted {
        return Scalar::Str(text);
    }
    match text {
        "true" => return Scalar::Bool(true),
        "false" => return Scalar::Bool(false),
        _ => {}
    }
    let plain = text.strip_prefix('-').unwrap_or(text);
    let numeric = plain.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && (plain == "0" || !plain.starts_with('0') || plain.starts_with("0."))
        && plain.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !numeric {
        return Scalar::Str(text);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Scalar::Int(number);
    }
    match text.parse::<f64>() {
        Ok(number) if plain.contains('.') && plain.len() <= 16 => Scalar::Float(number),
        _ => Scalar::Str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(line: &str) -> Option<Vec<(String, String)>> {
        parse(line, false).map(|pairs| {
            pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.text.into_owned()))
                .collect()
        })
    }

    #[test]
    fn pairs_quotes_and_flags() {
        let line = r#"level=info msg="hello \"you\"" dur=3.5 cached path=/a/b?x=1 empty="#;
        let expected = [
            ("level", "info"),
            ("msg", "hello \"you\""),
            ("dur", "3.5"),
            ("cached", "true"),
            ("path", "/a/b?x=1"),
            ("empty", ""),
        ];
        assert_eq!(
            pairs(line),
            Some(expected.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec())
        );
        for line in [
            "",
            "plain words only",
            "=x",
            "a=\"open",
            "a=\"b\"c",
            "say \"hi\" a=b",
            "x=y\"z",
        ] {
            assert_eq!(pairs(line), None, "{line}");
        }
        assert_eq!(pairs("a=1 a=2").map(|pairs| pairs.len()), Some(1));
        assert_eq!(parse("10:00 kernel: a=1", true), None);
        assert!(parse("10:00 kernel: a=1", false).is_some());
    }

    #[test]
    fn numbers_only_where_nothing_is_lost() {
        let of = |line| parse(line, false).map(|pairs| scalar(&pairs[0].1) == Scalar::Str(&pairs[0].1.text));
        for line in [
            "v=007",
            "v=1.2.3",
            "v=\"5\"",
            "v=1e5",
            "v=10.0.0.1",
            "v=99999999999999999999",
            "v=-",
            "v=1_000",
        ] {
            assert_eq!(of(line), Some(true), "{line}");
        }
        let value = |text: &str| Value {
            text: text.to_owned().into(),
            quoted: false,
        };
        assert_eq!(scalar(&value("-42")), Scalar::Int(-42));
        assert_eq!(scalar(&value("0.25")), Scalar::Float(0.25));
        assert_eq!(scalar(&value("true")), Scalar::Bool(true));
    }

    proptest! {
        #[test]
        fn any_line_is_pairs_or_not(line in "[a=\" \\\\é1.]{0,60}") {
            let _ = parse(&line, false);
        }
    }
}
