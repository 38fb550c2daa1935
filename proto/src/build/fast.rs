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
}

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
        loop {
            self.cursor.expect(b'"')?;
            let name = self.cursor.string()?;
            self.cursor.expect(b':')?;
            let field = self.field(name.as_str(), found)?;
            if seen & field != 0 {
                return None;
            }
            seen |= field;
            match self.cursor.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Reads one field and gives the bit that says which it was.
    fn field(&mut self, name: &str, found: &mut Found) -> Option<u16> {
        Some(match name {
            "id" => {
                found.id = match self.text()? {
                    Some(text) => Some(Uuid::try_parse(text.as_str()).ok()?),
                    None => None,
                };
                1
            }
            "type" => {
                let text = self.text()??;
                found.kind.push_str(fit(&text, MAX_TYPE)?);
                2
            }
            "source" => {
                let text = self.text()??;
                found.source.push_str(fit(&text, MAX_TEXT)?);
                4
            }
            "timestamp" => {
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
                8
            }
            "severity" => {
                found.severity = match self.text()? {
                    Some(text) => Some(text.as_str().parse().ok()?),
                    None => None,
                };
                16
            }
            "data" => {
                self.root(roots::DATA)?;
                32
            }
            "metadata" => {
                self.root(roots::METADATA)?;
                64
            }
            "tags" => {
                if self.cursor.peek()? == b'[' {
                    let tags = serde_json::from_str::<Vec<String>>(self.cursor.array()?).ok()?;
                    rules::tags(&tags).ok()?;
                    slow::put_tags(self.store, &tags);
                } else {
                    self.null()?;
                }
                128
            }
            _ => {
                let index = roots::NAMES
                    .iter()
                    .skip(roots::CORRELATION_ID as usize)
                    .position(|root| *root == name)?;
                if let Some(text) = self.text()? {
                    slow::put_text(self.store, roots::CORRELATION_ID + index as u32, fit(&text, MAX_TEXT)?);
                }
                256 << index
            }
        })
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
