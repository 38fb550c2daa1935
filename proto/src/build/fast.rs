//! The way most events take: one pass over the text that writes straight into columns.
//!
//! Whatever is unusual (a key that stands twice, too many columns, anything wrong) ends the pass with `None`; the careful
//! way of `slow.rs` then decides.

use super::{
    look::{Literal, Look},
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
pub(super) struct Found<'a> {
    pub(super) id: Option<Uuid>,
    pub(super) kind: Text<'a>,
    pub(super) source: Text<'a>,
    pub(super) timestamp: Option<i64>,
    pub(super) severity: Option<Severity>,
}

/// The fields of the event before, in their order: the next event's stand in the same more often than not.
#[derive(Clone, Debug, Default)]
pub(super) struct Order([u8; FIELDS.len()]);

/// All fields, each as it stands in JSON before its value.
const FIELDS: [Literal<&[u8]>; 11] = [
    Literal::of(b"\"id\":"),
    Literal::of(b"\"type\":"),
    Literal::of(b"\"source\":"),
    Literal::of(b"\"timestamp\":"),
    Literal::of(b"\"severity\":"),
    Literal::of(b"\"data\":"),
    Literal::of(b"\"metadata\":"),
    Literal::of(b"\"tags\":"),
    Literal::of(b"\"correlation_id\":"),
    Literal::of(b"\"session_id\":"),
    Literal::of(b"\"user_id\":"),
];
const ID: usize = 0;
const TYPE: usize = 1;
const SOURCE: usize = 2;
const TIMESTAMP: usize = 3;
const SEVERITY: usize = 4;
const DATA: usize = 5;
const METADATA: usize = 6;
const TAGS: usize = 7;

/// Reads a whole event.
pub(super) fn event<'a>(store: &mut Store, json: &'a [u8], look: Look, order: &mut Order) -> Option<Found<'a>> {
    let mut pass = Pass {
        store,
        cursor: Cursor::new(json, look),
    };
    let mut found = Found::default();
    pass.cursor.expect(b'{')?;
    pass.fields(&mut found, order)?;
    let complete = !found.kind.bytes().is_empty() && !found.source.bytes().is_empty();
    (complete && pass.cursor.is_done()).then_some(found)
}

/// Reads an object into the columns below a root.
pub(super) fn object(store: &mut Store, json: &str, root: u32) -> Option<()> {
    let mut pass = Pass {
        store,
        cursor: Cursor::new(json.as_bytes(), Look::at(json.as_bytes())),
    };
    pass.cursor.expect(b'{')?;
    pass.object(root, 2)?;
    pass.cursor.is_done().then_some(())
}

struct Pass<'s, 'a> {
    store: &'s mut Store,
    cursor: Cursor<'a>,
}

impl<'a> Pass<'_, 'a> {
    #[inline]
    fn fields(&mut self, found: &mut Found<'a>, order: &mut Order) -> Option<()> {
        let mut seen = 0u16;
        for place in &mut order.0 {
            let guess = usize::from(*place);
            let field = match FIELDS.get(guess) {
                Some(name) if self.cursor.skip_to(name) => guess,
                _ => {
                    let field = self.name()?;
                    *place = field as u8;
                    field
                }
            };
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

    /// The field whose name comes next.
    #[cold]
    fn name(&mut self) -> Option<usize> {
        self.cursor.expect(b'"')?;
        let name = self.cursor.string()?;
        let is_it =
            |field: &Literal<&[u8]>| matches!(field.bytes(), [b'"', own @ .., b'"', b':'] if *own == *name.bytes());
        let field = FIELDS.iter().position(is_it)?;
        self.cursor.expect(b':')?;
        Some(field)
    }

    /// Reads the value of one field.
    #[inline]
    fn field(&mut self, field: usize, found: &mut Found<'a>) -> Option<()> {
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
            TYPE => found.kind = fit(self.text()??, MAX_TYPE)?,
            SOURCE => found.source = fit(self.text()??, MAX_TEXT)?,
            TIMESTAMP => {
                found.timestamp = match self.cursor.peek()? {
                    b'"' | b'n' => match self.text()? {
                        Some(text) => Some(time::parse_rfc3339(text.as_str())?),
                        None => None,
                    },
                    _ => match self.cursor.integer() {
                        Some(ms) => Some(ms),
                        None => match self.cursor.number()?.0 {
                            Number::Int(ms) => Some(ms),
                            _ => return None,
                        },
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
                    let text = fit(text, MAX_TEXT)?;
                    self.store.utf8(root, ColumnKind::Text, text.bytes()).ok()?;
                }
            }
        }
        Some(())
    }

    /// A string, or nothing when it is `null`.
    #[inline]
    fn text(&mut self) -> Option<Option<Text<'a>>> {
        if self.cursor.peek()? == b'"' {
            self.cursor.take();
            return self.cursor.string().map(Some);
        }
        self.null().map(|()| None)
    }

    fn null(&mut self) -> Option<()> {
        self.cursor.skip(&NULL).then_some(())
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
            let child = match self.store.guess(node, previous) {
                Some((guess, key)) if self.cursor.skip_to(key) => self.store.mark(guess)?,
                _ => self.key(node, previous)?,
            };
            self.value(child, depth)?;
            previous = child;
            match self.cursor.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A key that was not foreseen.
    fn key(&mut self, node: u32, previous: u32) -> Option<u32> {
        self.cursor.expect(b'"')?;
        let key = self.cursor.string()?;
        let child = self.store.enter(node, previous, key.as_str())?;
        self.cursor.expect(b':')?;
        Some(child)
    }

    #[inline]
    fn value(&mut self, node: u32, depth: usize) -> Option<()> {
        let store = &mut *self.store;
        match self.cursor.peek()? {
            b'"' => {
                self.cursor.take();
                store.utf8(node, ColumnKind::Text, self.cursor.string()?.bytes())
            }
            b'-' | b'0'..=b'9' => match self.cursor.integer() {
                Some(value) => store.int(node, value),
                None => match self.cursor.number()? {
                    (Number::Int(value), _) => store.int(node, value),
                    (Number::Float(value), _) => store.float(node, value),
                    (Number::Text, text) => store.utf8(node, ColumnKind::Number, text),
                },
            },
            b't' if self.cursor.skip(&TRUE) => store.bool(node, true),
            b'f' if self.cursor.skip(&FALSE) => store.bool(node, false),
            b'n' if self.cursor.skip(&NULL) => store.flag(node, ColumnKind::Null),
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

const NULL: Literal<&[u8]> = Literal::of(b"null");
const TRUE: Literal<&[u8]> = Literal::of(b"true");
const FALSE: Literal<&[u8]> = Literal::of(b"false");

#[inline]
fn fit(text: Text<'_>, max: usize) -> Option<Text<'_>> {
    (text.bytes().len() <= max).then_some(text)
}
