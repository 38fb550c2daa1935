//! The way most events take: one pass of a JSON parser that writes straight into columns.
//!
//! Whatever is unusual (a key that stands twice, a number that an `f64` may not hold, too many columns, anything wrong)
//! ends the pass with an error; the careful way of `slow.rs` then decides.

use super::{
    number,
    schema::{NONE, roots},
    store::{Full, Store},
};
use crate::{
    batch::ColumnKind,
    event::{MAX_DEPTH, MAX_TAGS, MAX_TEXT, MAX_TYPE, Severity, time},
};
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
}

/// Parses a whole event.
pub(super) fn event(mut pass: Pass<'_>, found: &mut Found) -> Result<(), serde_json::Error> {
    found.clear();
    let json = pass.json;
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_map(EventVisitor { pass: &mut pass, found })?;
    parser.end()
}

/// Parses an object into the columns below a root.
pub(super) fn object(mut pass: Pass<'_>, root: u32) -> Result<(), serde_json::Error> {
    let json = pass.json;
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_map(ObjectVisitor { pass: &mut pass, node: root, depth: 2 })?;
    parser.end()
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
                DATA => map.next_value_seed(RootSeed { pass: &mut *pass, node: roots::DATA })?,
                METADATA => map.next_value_seed(RootSeed { pass: &mut *pass, node: roots::METADATA })?,
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
        if found.kind.is_empty() || found.source.is_empty() { Err(unusual()) } else { Ok(()) }
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
        if time::is_representable(ms) { Ok(Some(ms)) } else { Err(unusual()) }
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
        let Pass { store, scratch, .. } = self.0;
        scratch.clear();
        let mut count = 0;
        loop {
            let before = scratch.len();
            scratch.push(if count == 0 { b'[' } else { b',' });
            let write = |tag: &str| tag.len() <= MAX_TEXT && serde_json::to_writer(&mut **scratch, tag).is_ok();
            if tags.next_element_seed(TagSeed(write))?.is_none() {
                scratch.truncate(before);
                break;
            }
            count += 1;
            if count > MAX_TAGS {
                return Err(unusual());
            }
        }
        if count == 0 {
            return store.flag(roots::TAGS, ColumnKind::EmptyArray).map_err(full);
        }
        scratch.push(b']');
        put_array(store, roots::TAGS, scratch)
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

fn put_array<E: Error>(store: &mut Store, node: u32, json: &[u8]) -> Result<(), E> {
    let text = std::str::from_utf8(json).map_err(|_| unusual())?;
    store.text(node, ColumnKind::Array, text).map_err(full)
}

/// `data` or `metadata`: an object or nothing.
struct RootSeed<'a, 'b> {
    pass: &'a mut Pass<'b>,
    node: u32,
}

impl<'de> DeserializeSeed<'de> for RootSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RootSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        ObjectVisitor { pass: self.pass, node: self.node, depth: 2 }.visit_map(map)
    }
}

/// The members of an object, each into the columns of its node.
struct ObjectVisitor<'a, 'b> {
    pass: &'a mut Pass<'b>,
    node: u32,
    depth: usize,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pass, node, depth } = self;
        if depth > MAX_DEPTH {
            return Err(unusual());
        }
        let mut previous = NONE;
        while let Some(child) = map.next_key_seed(KeySeed { store: &mut *pass.store, parent: node, previous })? {
            map.next_value_seed(ValueSeed { pass: &mut *pass, node: child, depth })?;
            previous = child;
        }
        if previous == NONE { pass.store.flag(node, ColumnKind::EmptyObject).map_err(full) } else { Ok(()) }
    }
}

struct KeySeed<'a> {
    store: &'a mut Store,
    parent: u32,
    previous: u32,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = u32;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_str<E: Error>(self, key: &str) -> Result<u32, E> {
        self.store.enter(self.parent, self.previous, key).ok_or_else(unusual)
    }
}

struct ValueSeed<'a, 'b> {
    pass: &'a mut Pass<'b>,
    node: u32,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.pass.store.text(self.node, ColumnKind::Text, text).map_err(full)
    }

    #[inline]
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.pass.store.int(self.node, value).map_err(full)
    }

    #[inline]
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).map_err(|_| unusual())?)
    }

    #[inline]
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.pass.exact(value)?;
        self.pass.store.float(self.node, value).map_err(full)
    }

    #[inline]
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.pass.store.bool(self.node, value).map_err(full)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.pass.store.flag(self.node, ColumnKind::Null).map_err(full)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        ObjectVisitor { pass: self.pass, node: self.node, depth: self.depth + 1 }.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let Self { pass, node, depth } = self;
        pass.scratch.clear();
        ArrayVisitor { pass: &mut *pass, depth: depth + 1 }.visit_seq(seq)?;
        match pass.scratch.as_slice() {
            b"[]" => pass.store.flag(node, ColumnKind::EmptyArray).map_err(full),
            json => put_array(pass.store, node, json),
        }
    }
}

impl Pass<'_> {
    /// Fails when the number's text may have said something else.
    fn exact<E: Error>(&self, value: f64) -> Result<(), E> {
        let doubtful = number::is_ambiguous(value) || (value == 0.0 && number::may_underflow(self.json.as_bytes()));
        if doubtful { Err(unusual()) } else { Ok(()) }
    }

    fn write<E: Error>(&mut self, value: impl serde::Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut *self.scratch, &value).map_err(|_| unusual())
    }
}

/// Anything inside an array, written back as compact JSON.
struct ArrayVisitor<'a, 'b> {
    pass: &'a mut Pass<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ArrayVisitor<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ArrayVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.pass.write(text)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.pass.write(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.pass.write(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.pass.exact(value)?;
        self.pass.write(value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.pass.write(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.pass.write(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { pass, depth } = self;
        if depth > MAX_DEPTH {
            return Err(unusual());
        }
        let open = pass.scratch.len();
        pass.scratch.push(b'[');
        while seq.next_element_seed(ArrayVisitor { pass: &mut *pass, depth: depth + 1 })?.is_some() {
            pass.scratch.push(b',');
        }
        pass.close(open, b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pass, depth } = self;
        if depth > MAX_DEPTH {
            return Err(unusual());
        }
        let open = pass.scratch.len();
        pass.scratch.push(b'{');
        while map.next_key_seed(ArrayVisitor { pass: &mut *pass, depth })?.is_some() {
            pass.scratch.push(b':');
            map.next_value_seed(ArrayVisitor { pass: &mut *pass, depth: depth + 1 })?;
            pass.scratch.push(b',');
        }
        pass.close(open, b'}');
        Ok(())
    }
}

impl Pass<'_> {
    /// Turns the comma after the last member, if there is one, into the closing bracket.
    fn close(&mut self, open: usize, bracket: u8) {
        if self.scratch.len() > open + 1 {
            self.scratch.pop();
        }
        self.scratch.push(bracket);
    }
}
