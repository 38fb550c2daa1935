//! A point in time as requests give it and answers show it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{
    RefOr, Schema,
    schema::{ObjectBuilder, SchemaType, Type},
};

/// Milliseconds since 1970. Requests may hold RFC 3339 text or integer ms; answers hold RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub i64);

impl Instant {
    /// The wall clock now.
    #[must_use]
    pub fn now() -> Self {
        Self(Timestamp::now().as_millisecond())
    }

    /// Reads RFC 3339 or integer milliseconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<i64>()
            .ok()
            .or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond))
            .map(Self)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Instant;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time or integer milliseconds since 1970")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Instant, E> {
                Instant::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<Instant, E> {
                Ok(Instant(ms))
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Instant, E> {
                i64::try_from(ms)
                    .map(Instant)
                    .map_err(|_| E::custom("too far in the future"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl utoipa::PartialSchema for Instant {
    fn schema() -> RefOr<Schema> {
        text_or_integer(
            "RFC 3339, or integer milliseconds since 1970 in requests",
            "2026-01-02T03:04:05.678Z",
        )
    }
}
impl utoipa::ToSchema for Instant {}

impl utoipa::PartialSchema for crate::Span {
    fn schema() -> RefOr<Schema> {
        text_or_integer("A length of time, or whole seconds in requests", "5m")
    }
}
impl utoipa::ToSchema for crate::Span {}

fn text_or_integer(description: &str, example: &str) -> RefOr<Schema> {
    let types = SchemaType::from_iter([Type::String, Type::Integer]);
    ObjectBuilder::new()
        .schema_type(types)
        .description(Some(description))
        .examples([serde_json::json!(example)])
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_instant() {
        let text: Instant = serde_json::from_str("\"2026-01-02T03:04:05.678Z\"").unwrap();
        let number: Instant = serde_json::from_str("1767323045678").unwrap();
        assert_eq!(text, number);
        assert_eq!(text.to_string(), "2026-01-02T03:04:05.678Z");
    }
}
