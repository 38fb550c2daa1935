//! JSON with its numbers as text: what "equal" means for a lossless codec, and a generator of it.

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value whose members keep their order and whose numbers keep their digits.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// Normalised: sign, digits, exponent, and whether it was written as an integer.
    Number(Number),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A number apart from how it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
    integer: bool,
}

impl Number {
    fn of(text: &str) -> Self {
        let integer = !text.contains(['.', 'e', 'E']);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent: i64 = exponent.parse().unwrap();
        let (negative, mantissa) = mantissa
            .strip_prefix('-')
            .map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        exponent -= fraction.len() as i64;
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let trimmed = significant.trim_end_matches('0');
        exponent += (significant.len() - trimmed.len()) as i64;
        if trimmed.is_empty() {
            exponent = 0;
        }
        Self {
            negative,
            digits: trimmed.to_owned(),
            exponent,
            integer,
        }
    }
}

impl Json {
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            b'[' | b'{' => serde_json::from_str::<Parts>(text).unwrap().0,
            _ => Self::Number(Number::of(text)),
        }
    }
}

struct Parts(Json);

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Box<RawValue>>()? {
                    items.push(Json::parse(item.get()));
                }
                Ok(Parts(Json::Array(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
                let mut members: Vec<(String, Json)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    let value = Json::parse(value.get());
                    match members.iter_mut().find(|(known, _)| *known == key) {
                        Some(member) => member.1 = value,
                        None => members.push((key, value)),
                    }
                }
                Ok(Parts(Json::Object(members)))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// JSON text of a number, in the many ways to write one.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<i64>().prop_map(|value| value.to_string()),
        2 => (-1000i64..1000).prop_map(|value| value.to_string()),
        2 => any::<u64>().prop_map(|value| value.to_string()),
        1 => "[1-9][0-9]{18,40}",
        2 => any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        2 => (-100_000i64..100_000, 0u32..4).prop_map(|(value, places)| format!("{:?}", value as f64 / 10f64.powi(places as i32))),
        2 => "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,25}",
        2 => "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,5})?[eE][+-]?[0-9]{1,3}",
        1 => prop::sample::select(vec!["-0", "0.0", "-0.0", "1.0", "1e400", "-1e-400", "5e-324", "9007199254740993", "9007199254740992.0", "0e0", "1E5"])
            .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let plain =
        prop::sample::select(vec!["", "a", "b", "get", "überall", "\u{1f600}", "\u{0}\n\"\\"]).prop_map(str::to_owned);
    prop_oneof![3 => plain, 1 => any::<String>()].prop_map(|text| serde_json::to_string(&text).unwrap())
}

fn key() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec!["a", "b", "c", "a.b", "", "é", "d\"", "id"]).prop_map(str::to_owned);
    prop_oneof![8 => plain, 1 => any::<String>()].prop_map(|key| serde_json::to_string(&key).unwrap())
}

fn object_of(value: impl Strategy<Value = String>, space: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec((key(), value), 0..6).prop_map(move |members| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, value)| format!("{key}{space}:{value}"))
            .collect();
        format!("{{{space}{}}}", members.join(","))
    })
}

/// JSON text of any value; equal keys may stand in one object.
pub fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "[]", "{}"]).prop_map(str::to_owned),
        number(),
        text(),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            2 => object_of(inner.clone(), " "),
            1 => prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

/// JSON text of any object.
pub fn object() -> impl Strategy<Value = String> {
    object_of(value(), "")
}
