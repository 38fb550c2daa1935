//! The careful way for events that the fast pass gave up on: keeps the text of numbers, lets the last of equal keys win,
//! overflows into JSON when columns run out, and says exactly what is wrong with an event that is not taken.

use super::{
    fast::Found,
    number::{self, Number},
    rules,
    scan::Text,
    schema::{NONE, roots},
    store::{Full, Store},
};
use crate::{
    batch::ColumnKind,
    event::{MAX_DEPTH, Rejection},
};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::HashMap, fmt};

/// The members of an object, the last of equal keys only.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    match places.get(&key) {
                        Some(place) => members[*place].1 = value,
                        None => {
                            places.insert(key.clone(), members.len());
                            members.push((key, value));
                        }
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Reads a whole event into columns.
pub(super) fn event(store: &mut Store, json: &str, max_object: usize) -> Result<Found<'static>, Rejection> {
    let members: Members<'_> = serde_json::from_str(json).map_err(|error| rules::not_json("event", &error))?;
    let mut found = Found::default();
    let (mut kind, mut source) = (String::new(), String::new());
    let mut objects = [None, None];
    let mut tags = None;
    let mut texts = [const { None::<String> }; 3];
    for (name, value) in members.0 {
        let null = value.get() == "null";
        match name.as_str() {
            "type" => kind = rules::read_text("type", value)?,
            "source" => source = rules::read_text("source", value)?,
            "id" if !null => found.id = Some(rules::read_id(value)?),
            "timestamp" if !null => found.timestamp = Some(rules::read_timestamp(value)?),
            "severity" if !null => found.severity = Some(rules::read_severity(value)?),
            "data" if !null => objects[0] = Some(value),
            "metadata" if !null => objects[1] = Some(value),
            "tags" if !null => tags = Some(rules::read_tags(value)?),
            "correlation_id" | "session_id" | "user_id" if !null => {
                let text = rules::read_text(&name, value)?;
                rules::text(&name, &text)?;
                texts[roots::NAMES
                    .iter()
                    .skip(roots::CORRELATION_ID as usize)
                    .position(|root| *root == name)
                    .unwrap_or(0)] = Some(text);
            }
            "id" | "timestamp" | "severity" | "data" | "metadata" | "tags" | "correlation_id" | "session_id"
            | "user_id" => {}
            _ => return Err(rules::unknown_field(&name)),
        }
    }
    required("type", &kind).and_then(|()| rules::kind(&kind))?;
    required("source", &source).and_then(|()| rules::source(&source))?;
    (found.kind, found.source) = (Text::Escaped(kind), Text::Escaped(source));
    for (root, value) in (roots::DATA..).zip(objects) {
        if let Some(value) = value {
            object(store, root, value.get(), max_object)?;
        }
    }
    if let Some(tags) = tags {
        put_tags(store, &tags);
    }
    for (root, text) in (roots::CORRELATION_ID..).zip(&texts) {
        if let Some(text) = text {
            put_text(store, root, text);
        }
    }
    Ok(found)
}

fn required(field: &str, text: &str) -> Result<(), Rejection> {
    if text.is_empty() {
        Err(Rejection::new(field, "required: a string that is not empty"))
    } else {
        Ok(())
    }
}

/// Writes an array's compact text.
pub(super) fn put_array(store: &mut Store, node: u32, json: &str) -> Result<(), Full> {
    match json {
        "[]" => store.flag(node, ColumnKind::EmptyArray),
        _ => store.text(node, ColumnKind::Array, json),
    }
}

/// Writes `tags`, checked before.
pub(super) fn put_tags(store: &mut Store, tags: &[String]) {
    let json = serde_json::Value::from(tags).to_string();
    let written = put_array(store, roots::TAGS, &json);
    debug_assert!(written.is_ok(), "roots always have room");
}

/// Writes one of the id strings, checked before.
pub(super) fn put_text(store: &mut Store, root: u32, text: &str) {
    let written = store.text(root, ColumnKind::Text, text);
    debug_assert!(written.is_ok(), "roots always have room");
}

/// Reads an object into the columns below a root, or whole into the overflow when it has no room there.
pub(super) fn object(store: &mut Store, root: u32, json: &str, max_len: usize) -> Result<(), Rejection> {
    let field = roots::NAMES[root as usize];
    if json.len() > max_len {
        return Err(rules::too_large(field, json.len()));
    }
    let json = json.trim_ascii();
    if !json.starts_with('{') {
        return Err(Rejection::new(field, "must be an object"));
    }
    let len = store.shape.len();
    let mut walk = Walk { store, field };
    match walk.members(root, json, 2) {
        Ok(()) => Ok(()),
        Err(Stop::Rejected(rejection)) => Err(rejection),
        Err(Stop::Full) => {
            store.rewind(len);
            let text = compact(field, json, 1)?;
            let written = store.text(root, ColumnKind::Object, &text);
            debug_assert!(written.is_ok(), "roots always have room");
            Ok(())
        }
    }
}

enum Stop {
    Full,
    Rejected(Rejection),
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

struct Walk<'a> {
    store: &'a mut Store,
    field: &'static str,
}

impl Walk<'_> {
    fn members(&mut self, node: u32, json: &str, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(rules::too_deep(self.field).into());
        }
        let members: Members<'_> = serde_json::from_str(json).map_err(|error| rules::not_json(self.field, &error))?;
        if members.0.is_empty() {
            return Ok(self.store.flag(node, ColumnKind::EmptyObject)?);
        }
        let mut previous = NONE;
        for (key, value) in members.0 {
            previous = self.store.enter(node, previous, &key).ok_or(Stop::Full)?;
            self.value(previous, value.get(), depth)?;
        }
        Ok(())
    }

    fn value(&mut self, node: u32, json: &str, depth: usize) -> Result<(), Stop> {
        match json.as_bytes().first() {
            Some(b'n') => self.store.flag(node, ColumnKind::Null)?,
            Some(b't') => self.store.bool(node, true)?,
            Some(b'f') => self.store.bool(node, false)?,
            Some(b'{') => self.members(node, json, depth + 1)?,
            Some(b'"') => {
                let text: String = serde_json::from_str(json).map_err(|error| rules::not_json(self.field, &error))?;
                self.store.text(node, ColumnKind::Text, &text)?;
            }
            Some(b'[') => put_array(self.store, node, &compact(self.field, json, depth)?)?,
            _ => match number::classify(json) {
                Number::Int(value) => self.store.int(node, value)?,
                Number::Float(value) => self.store.float(node, value)?,
                Number::Text => self.store.text(node, ColumnKind::Number, json)?,
            },
        }
        Ok(())
    }
}

/// JSON that has been scanned, without the space between its parts. Checks what the scan leaves out: nesting and that
/// escaped surrogates come in pairs.
pub(super) fn compact(field: &str, json: &str, mut depth: usize) -> Result<String, Rejection> {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let len = match first {
            b'"' => {
                string_len(rest).ok_or_else(|| Rejection::new(field, "holds a string with half a surrogate pair"))?
            }
            _ => 1,
        };
        let (part, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        match first {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(rules::too_deep(field));
        }
        if !first.is_ascii_whitespace() {
            out.push_str(part);
        }
        rest = after;
    }
    Ok(out)
}

/// Bytes of the string literal at the front, unless it escapes half a surrogate pair.
fn string_len(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let literal = json.get(..=at)?;
                let sound = !literal.contains("\\u") || serde_json::from_str::<String>(literal).is_ok();
                return sound.then_some(at + 1);
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Some(json.len())
}
