//! The way most events take: one pass of a JSON parser that writes straight into columns.
//!
//! Whatever is unusual (a key that stands twice, a number that an `f64` may not hold, too many columns, anything wrong)
//! ends the pass with an error; the careful way of `slow.rs` then decides.

mod array;
mod object;

use super::{
    number,
    schema::roots,
    store::{Full, Store},
};
use crate::{
    batch::ColumnKind,
    event::{MAX_TAGS, MAX_TEXT, MAX_TYPE, Severity, time},
};
use array::put_array;
use object::{ObjectVisitor, RootSeed};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use uuid::Uuid;

/// The fields that every event has, as they are found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) id: Option<Uuid>,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) timestamp: Option<i64>,
    pub(super) severity: Option<Severity>,
}

impl Found {
    fn clear(&mut self) {
        self.kind.clear();
        self.source.clear();
        (self.id, self.timestamp, self.severity) = (None, None, None);
    }
}

/// Where the pass writes.
pub(super) struct Pass<'a> {
    pub(super) store: &'a mut Store,
    /// The text being parsed, to look at again when a float leaves a doubt.
    pub(super) json: &'a str,
    /// Memory for the text of arrays.
    pub(super) scratch: &'a mut Vec<u8>,
    /// Was there a number with a fraction or exponent?
    pub(super) floats: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(store: &'a mut Store, json: &'a str, scratch: &'a mut Vec<u8>) -> Self {
        Self {
            store,
            json,
            scratch,
            floats: false,
        }
    }

    /// Did an `f64` take all there was to its number?
    fn is_exact(&self) -> bool {
        !self.floats || !number::has_long_fraction(self.json.as_bytes())
    }
}

/// Parses a whole event.
pub(super) fn event(mut pass: Pass<'_>, found: &mut Found) -> Result<(), serde_json::Error> {
    found.clear();
    let json = pass.json;
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_map(EventVisitor { pass: &mut pass, found })?;
    parser.end()?;
    if pass.is_exact() { Ok(()) } else { Err(unusual()) }
}

/// Parses an object into the columns below a root.
pub(super) fn object(mut pass: Pass<'_>, root: u32) -> Result<(), serde_json::Error> {
    let json = pass.json;
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_map(ObjectVisitor {
        pass: &mut pass,
        node: root,
        depth: 2,
    })?;
    parser.end()?;
    if pass.is_exact() { Ok(()) } else { Err(unusual()) }
}

fn unusual<E: Error>() -> E {
    E::custom("unusual")
}

fn full<E: Error>(_: Full) -> E {
    unusual()
}

struct EventVisitor<'a, 'b> {
    pass: &'a mut Pass<'b>,
    found: &'a mut Found,
}

impl<'de> Visitor<'de> for EventVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pass, found } = self;
        let mut seen = 0u16;
        while let Some(field) = map.next_key_seed(FieldSeed)? {
            if seen & 1 << field != 0 {
                return Err(unusual());
            }
            seen |= 1 << field;
            match field {
                ID => map.next_value_seed(TextSeed(|text: &str| {
                    found.id = Uuid::try_parse(text).ok();
                    found.id.is_some()
                }))?,
                KIND => map.next_value_seed(TextSeed(|text: &str| {
                    found.kind.push_str(text);
                    text.len() <= MAX_TYPE
                }))?,
                SOURCE => map.next_value_seed(TextSeed(|text: &str| {
                    found.source.push_str(text);
                    text.len() <= MAX_TEXT
                }))?,
                TIMESTAMP => found.timestamp = map.next_value_seed(TimestampSeed)?,
                SEVERITY => map.next_value_seed(TextSeed(|text: &str| {
                    found.severity = text.parse().ok();
                    found.severity.is_some()
                }))?,
                DATA => map.next_value_seed(RootSeed {
                    pass: &mut *pass,
                    node: roots::DATA,
                })?,
                METADATA => map.next_value_seed(RootSeed {
                    pass: &mut *pass,
                    node: roots::METADATA,
                })?,
                TAGS => map.next_value_seed(TagsSeed(&mut *pass))?,
                _ => {
                    let node = roots::CORRELATION_ID + u32::from(field - CORRELATION_ID);
                    let store = &mut *pass.store;
                    map.next_value_seed(TextSeed(|text: &str| {
                        text.len() <= MAX_TEXT && store.text(node, ColumnKind::Text, text).is_ok()
                    }))?;
                }
            }
        }
        if found.kind.is_empty() || found.source.is_empty() {
            Err(unusual())
        } else {
            Ok(())
        }
    }
}

const ID: u8 = 0;
const KIND: u8 = 1;
const SOURCE: u8 = 2;
const TIMESTAMP: u8 = 3;
const SEVERITY: u8 = 4;
const DATA: u8 = 5;
const METADATA: u8 = 6;
const TAGS: u8 = 7;
/// Then `session_id` and `user_id`, as in [`roots`].
const CORRELATION_ID: u8 = 8;

struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u8, E> {
        Ok(match name {
            "id" => ID,
            "type" => KIND,
            "source" => SOURCE,
            "timestamp" => TIMESTAMP,
            "severity" => SEVERITY,
            "data" => DATA,
            "metadata" => METADATA,
            "tags" => TAGS,
            "correlation_id" => CORRELATION_ID,
            "session_id" => CORRELATION_ID + 1,
            "user_id" => CORRELATION_ID + 2,
            _ => return Err(unusual()),
        })
    }
}

/// A string that the function takes or refuses; `null` is as good as nothing.
struct TextSeed<F>(F);

impl<'de, F: FnOnce(&str) -> bool> DeserializeSeed<'de> for TextSeed<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<F: FnOnce(&str) -> bool> Visitor<'_> for TextSeed<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if (self.0)(text) { Ok(()) } else { Err(unusual()) }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

struct TimestampSeed;

impl<'de> DeserializeSeed<'de> for TimestampSeed {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<i64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for TimestampSeed {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<i64>, E> {
        time::parse_rfc3339(text).map(Some).ok_or_else(unusual)
    }

    fn visit_i64<E: Error>(self, ms: i64) -> Result<Option<i64>, E> {
        if time::is_representable(ms) {
            Ok(Some(ms))
        } else {
            Err(unusual())
        }
    }

    fn visit_u64<E: Error>(self, ms: u64) -> Result<Option<i64>, E> {
        self.visit_i64(i64::try_from(ms).map_err(|_| unusual())?)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }
}

struct TagsSeed<'a, 'b>(&'a mut Pass<'b>);

impl<'de> DeserializeSeed<'de> for TagsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TagsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tags: A) -> Result<(), A::Error> {
        let pass = self.0;
        pass.scratch.clear();
        pass.scratch.push(b'[');
        let mut count = 0;
        let write = |out: &mut Vec<u8>, tag: &str| tag.len() <= MAX_TEXT && serde_json::to_writer(out, tag).is_ok();
        while tags
            .next_element_seed(TagSeed(|tag: &str| write(pass.scratch, tag)))?
            .is_some()
        {
            pass.scratch.push(b',');
            count += 1;
            if count > MAX_TAGS {
                return Err(unusual());
            }
        }
        pass.close(0, b']');
        put_array(pass.store, roots::TAGS, pass.scratch)
    }
}

/// A string that must be one.
struct TagSeed<F>(F);

impl<'de, F: FnOnce(&str) -> bool> DeserializeSeed<'de> for TagSeed<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(TextSeed(self.0))
    }
}
