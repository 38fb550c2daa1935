//! Arrays as compact JSON text.

use super::{Pass, full, unusual};
use crate::{
    batch::ColumnKind,
    build::{number, store::Store},
    event::MAX_DEPTH,
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Puts the text of an array into its column.
pub(super) fn put_array<E: Error>(store: &mut Store, node: u32, json: &[u8]) -> Result<(), E> {
    if json == b"[]" {
        return store.flag(node, ColumnKind::EmptyArray).map_err(full);
    }
    let text = std::str::from_utf8(json).map_err(|_| unusual())?;
    store.text(node, ColumnKind::Array, text).map_err(full)
}

impl Pass<'_> {
    /// Fails when the number's text may have said something else.
    pub(super) fn exact<E: Error>(&mut self, value: f64) -> Result<(), E> {
        self.floats = true;
        let doubtful = number::is_ambiguous(value) || (value == 0.0 && number::may_underflow(self.json.as_bytes()));
        if doubtful { Err(unusual()) } else { Ok(()) }
    }

    fn write<E: Error>(&mut self, value: impl serde::Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut *self.scratch, &value).map_err(|_| unusual())
    }
}

/// Anything inside an array, written back as compact JSON.
pub(super) struct ArrayVisitor<'a, 'b> {
    pub(super) pass: &'a mut Pass<'b>,
    pub(super) depth: usize,
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
        while seq
            .next_element_seed(ArrayVisitor {
                pass: &mut *pass,
                depth: depth + 1,
            })?
            .is_some()
        {
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
        while map
            .next_key_seed(ArrayVisitor {
                pass: &mut *pass,
                depth,
            })?
            .is_some()
        {
            pass.scratch.push(b':');
            map.next_value_seed(ArrayVisitor {
                pass: &mut *pass,
                depth: depth + 1,
            })?;
            pass.scratch.push(b',');
        }
        pass.close(open, b'}');
        Ok(())
    }
}

impl Pass<'_> {
    /// Turns the comma after the last member, if there is one, into the closing bracket.
    pub(super) fn close(&mut self, open: usize, bracket: u8) {
        if self.scratch.len() > open + 1 {
            self.scratch.pop();
        }
        self.scratch.push(bracket);
    }
}
