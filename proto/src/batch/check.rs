//! Whole-batch inspection, for bytes from outside before they are stored.

use super::{Batch, ColumnKind, DecodeError, Values};
use crate::event::{MAX_OBJECT, MAX_TEXT, MAX_TYPE};
use serde_json::value::RawValue;

/// JSON text is at most this much longer than what was sent: `1e15` comes back with all its digits.
const MAX_TEXT_OF_JSON: usize = 8 * MAX_OBJECT;

impl Batch {
    /// Decodes everything once, so that no later reader of the same bytes can fail.
    ///
    /// A door that takes frames from elsewhere calls this; whoever reads what passed the door need not.
    pub fn check(&self) -> Result<(), DecodeError> {
        let shapes = self.shapes()?;
        for shape in 0..shapes.len() {
            self.template(shapes, shape)?;
        }
        self.ids()?;
        self.severities()?;
        for (place, max, what) in [
            (self.layout.kind, MAX_TYPE, "type"),
            (self.layout.source, MAX_TEXT, "source"),
        ] {
            let texts = self.text_values(place, self.len())?;
            if texts.strings.iter().any(|text| text.is_empty() || text.len() > max) {
                return Err(DecodeError::Malformed(what));
            }
        }
        for (index, column) in self.layout.columns.iter().enumerate() {
            let Values::Text(texts) = self.values(index)? else {
                continue;
            };
            if column.kind == ColumnKind::Text {
                continue;
            }
            let is_root = self.layout.nodes[column.node].parent.is_none();
            let sound = |text: &str| match column.kind {
                _ if text.len() > MAX_TEXT_OF_JSON => false,
                ColumnKind::Array if is_root => serde_json::from_str::<Vec<String>>(text).is_ok(),
                ColumnKind::Array => is_json(text, |first| first == b'['),
                ColumnKind::Object => is_json(text, |first| first == b'{'),
                _ => is_json(text, |first| first == b'-' || first.is_ascii_digit()),
            };
            if !texts.strings.iter().all(sound) {
                return Err(DecodeError::Malformed("column"));
            }
        }
        Ok(())
    }
}

fn is_json(text: &str, begins: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(begins) && serde_json::from_str::<&RawValue>(text).is_ok()
}
