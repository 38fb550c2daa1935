//! Objects into the columns of their keys.

use super::{
    Pass,
    array::{ArrayVisitor, put_array},
    full, unusual,
};
use crate::{batch::ColumnKind, build::schema::NONE, build::store::Store, event::MAX_DEPTH};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// `data` or `metadata`: an object or nothing.
pub(super) struct RootSeed<'a, 'b> {
    pub(super) pass: &'a mut Pass<'b>,
    pub(super) node: u32,
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
        ObjectVisitor {
            pass: self.pass,
            node: self.node,
            depth: 2,
        }
        .visit_map(map)
    }
}

/// The members of an object, each into the columns of its node.
pub(super) struct ObjectVisitor<'a, 'b> {
    pub(super) pass: &'a mut Pass<'b>,
    pub(super) node: u32,
    pub(super) depth: usize,
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
        while let Some(child) = map.next_key_seed(KeySeed {
            store: &mut *pass.store,
            parent: node,
            previous,
        })? {
            map.next_value_seed(ValueSeed {
                pass: &mut *pass,
                node: child,
                depth,
            })?;
            previous = child;
        }
        if previous == NONE {
            pass.store.flag(node, ColumnKind::EmptyObject).map_err(full)
        } else {
            Ok(())
        }
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
        ObjectVisitor {
            pass: self.pass,
            node: self.node,
            depth: self.depth + 1,
        }
        .visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let Self { pass, node, depth } = self;
        pass.scratch.clear();
        ArrayVisitor {
            pass: &mut *pass,
            depth: depth + 1,
        }
        .visit_seq(seq)?;
        match pass.scratch.as_slice() {
            b"[]" => pass.store.flag(node, ColumnKind::EmptyArray).map_err(full),
            json => put_array(pass.store, node, json),
        }
    }
}
