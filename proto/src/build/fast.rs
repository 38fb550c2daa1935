//! The way most events take: one pass over the text that writes straight into columns.
//!
//! Whatever is unusual (a key that stands twice, too many columns, anything wrong) ends the pass with `None`; the careful
//! way of `slow.rs` then decides.

use super::{
    number::Number,
    rules,
    scan::{Cursor, Text},
    schema::{NONE, roots},
    slow,
    store::Store,
};
use crate::{
    batch::ColumnKind,
    event::{MAX_DEPTH, MAX_TEXT, MAX_TYPE, Severity, time},
};
use uuid::Uuid;

/// The fields that every event has, as they are found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) id: Option<Uuid>,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) timestamp: Option<i64>,
    pub(super) severity: Option<Severity>,
    /// The fields of the event before, in their order: the next event's stand in the same more often than not.
    order: [u8; FIELDS.len()],
}

/// The names of all fields, each as it stands in JSON after its opening quote.
const FIELDS: [&str; 11] = [
    "id\"",
    "type\"",
    "source\"",
    "timestamp\"",
    "severity\"",
    "data\"",
    "metadata\"",
    "tags\"",
    "correlation_id\"",
    "session_id\"",
    "user_id\"",
];
const ID: usize = 0;
const TYPE: usize = 1;
const SOURCE: usize = 2;
const TIMESTAMP: usize = 3;
const SEVERITY: usize = 4;
const DATA: usize = 5;
const METADATA: usize = 6;
const TAGS: usize = 7;

impl Found {
    fn clear(&mut self) {
        self.kind.clear();
        self.source.clear();
        (self.id, self.timestamp, self.severity) = (None, None, None);
    }
}

/// Reads a whole event.
pub(super) fn event(store: &mut Store, json: &str, found: &mut Found) -> Option<()> {
    found.clear();
    let mut pass = Pass {
        store,
        cursor: Cursor::new(json),
    };
    pass.cursor.expect(b'{')?;
    pass.fields(found)?;
    let complete = !found.kind.is_empty() && !found.source.is_empty();
    (complete && pass.cursor.is_done()).then_some(())
}

/// Reads an object into the columns below a root.
pub(super) fn object(store: &mut Store, json: &str, root: u32) -> Option<()> {
    let mut pass = Pass {
        store,
        cursor: Cursor::new(json),
    };
    pass.cursor.expect(b'{')?;
    pass.object(root, 2)?;
    pass.cursor.is_done().then_some(())
}

struct Pass<'a> {
    store: &'a mut Store,
    cursor: Cursor<'a>,
}

impl<'a> Pass<'a> {
    fn fields(&mut self, found: &mut Found) -> Option<()> {
        let mut seen = 0u16;
        for place in 0..FIELDS.len() {
            self.cursor.expect(b'"')?;
            let guess = usize::from(found.order[place]);
            let field = if self.cursor.skip(FIELDS[guess].as_bytes()) {
                guess
            } else {
                let name = self.cursor.string()?;
                let is_it = |field: &&str| field.strip_suffix('"') == Some(name.as_str());
                let field = FIELDS.iter().position(is_it)?;
                found.order[place] = field as u8;
                field
            };
            self.cursor.expect(b':')?;
            if seen & 1 << field != 0 {
                return None;
            }
            seen |= 1 << field;
            self.field(field, found)?;
            match self.cursor.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// Reads the value of one field.
    #[inline]
    fn field(&mut self, field: usize, found: &mut Found) -> Option<()> {
        match field {
            ID => {
                found.id = self.cursor.uuid();
                if found.id.is_none() {
                    found.id = match self.text()? {
                        Some(text) => Some(Uuid::try_parse(text.as_str()).ok()?),
                        None => None,
                    };
                }
            }
            TYPE => {
                let text = self.text()??;
                found.kind.push_str(fit(&text, MAX_TYPE)?);
            }
            SOURCE => {
                let text = self.text()??;
                found.source.push_str(fit(&text, MAX_TEXT)?);
            }
            TIMESTAMP => {
                found.timestamp = match self.cursor.peek()? {
                    b'"' | b'n' => match self.text()? {
                        Some(text) => Some(time::parse_rfc3339(text.as_str())?),
                        None => None,
                    },
                    _ => match self.cursor.number()?.0 {
                        Number::Int(ms) => Some(ms),
                        _ => return None,
                    },
                };
            }
            SEVERITY => {
                found.severity = match self.text()? {
                    Some(text) => Some(text.as_str().parse().ok()?),
                    None => None,
                };
            }
            DATA => self.root(roots::DATA)?,
            METADATA => self.root(roots::METADATA)?,
            TAGS => {
                if self.cursor.peek()? == b'[' {
                    let tags = serde_json::from_str::<Vec<String>>(self.cursor.array()?).ok()?;
                    rules::tags(&tags).ok()?;
                    slow::put_tags(self.store, &tags);
                } else {
                    self.null()?;
                }
            }
            _ => {
                if let Some(text) = self.text()? {
                    let root = roots::CORRELATION_ID + (field - TAGS - 1) as u32;
                    slow::put_text(self.store, root, fit(&text, MAX_TEXT)?);
                }
            }
        }
        Some(())
    }

    /// A string, or nothing when it is `null`.
    fn text(&mut self) -> Option<Option<Text<'a>>> {
        if self.cursor.peek()? == b'"' {
            self.cursor.take();
            return self.cursor.string().map(Some);
        }
        self.null().map(|()| None)
    }

    fn null(&mut self) -> Option<()> {
        self.cursor.skip(b"null").then_some(())
    }

    /// `data` or `metadata`: an object, or `null`.
    fn root(&mut self, node: u32) -> Option<()> {
        if self.cursor.peek()? == b'{' {
            self.cursor.take();
            return self.object(node, 2);
        }
        self.null()
    }

    /// The members of an object whose opening brace is behind.
    fn object(&mut self, node: u32, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.cursor.peek()? == b'}' {
            self.cursor.take();
            return self.store.flag(node, ColumnKind::EmptyObject).ok();
        }
        let mut previous = NONE;
        loop {
            self.cursor.expect(b'"')?;
            let child = match self.store.guess(node, previous) {
                Some((guess, key)) if self.cursor.skip(key) => self.store.mark(guess)?,
                _ => {
                    let key = self.cursor.string()?;
                    self.store.enter(node, previous, key.as_str())?
                }
            };
            self.cursor.expect(b':')?;
            self.value(child, depth)?;
            previous = child;
            match self.cursor.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    #[inline]
    fn value(&mut self, node: u32, depth: usize) -> Option<()> {
        let store = &mut *self.store;
        match self.cursor.peek()? {
            b'"' => {
                self.cursor.take();
                store.text(node, ColumnKind::Text, self.cursor.string()?.as_str())
            }
            b'-' | b'0'..=b'9' => match self.cursor.number()? {
                (Number::Int(value), _) => store.int(node, value),
                (Number::Float(value), _) => store.float(node, value),
                (Number::Text, text) => store.text(node, ColumnKind::Number, text),
            },
            b't' if self.cursor.skip(b"true") => store.bool(node, true),
            b'f' if self.cursor.skip(b"false") => store.bool(node, false),
            b'n' if self.cursor.skip(b"null") => store.flag(node, ColumnKind::Null),
            b'{' => {
                self.cursor.take();
                return self.object(node, depth + 1);
            }
            b'[' => {
                let json = slow::compact(roots::NAMES[0], self.cursor.array()?, depth).ok()?;
                slow::put_array(store, node, &json)
            }
            _ => return None,
        }
        .ok()
    }
}

fn fit<'a>(text: &'a Text<'_>, max: usize) -> Option<&'a str> {
    let text = text.as_str();
    (text.len() <= max).then_some(text)
}
