//! Whole-batch inspection, for bytes from outside before they are stored.

use super::{Batch, ColumnKind, DecodeError, Values};
use crate::event::{MAX_OBJECT, MAX_TEXT, MAX_TYPE};

/// JSON text is at most this much longer than what was sent: `1e15` comes back with all its digits.
const MAX_TEXT_OF_JSON: usize = 8 * MAX_OBJECT;

impl Batch {
    /// Decodes everything once, so that no later reader of the same bytes can fail.
    ///
    /// A door that takes frames from elsewhere calls this; whoever reads what passed the door need not.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.shapes()?;
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
            for text in texts.strings.iter() {
                let json = serde_json::from_str::<&serde_json::value::RawValue>(text).map(|json| json.get());
                let fits = match (column.kind, json) {
                    (ColumnKind::Array, Ok(json)) => json.starts_with('['),
                    (ColumnKind::Object, Ok(json)) => json.starts_with('{'),
                    (ColumnKind::Number, Ok(json)) => json.starts_with(|c: char| c == '-' || c.is_ascii_digit()),
                    _ => false,
                };
                if !fits || text.len() > MAX_TEXT_OF_JSON {
                    return Err(DecodeError::Malformed("column"));
                }
            }
        }
        Ok(())
    }
}
