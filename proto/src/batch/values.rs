//! The decoded values of one column, dense: one for each row that has it.

use super::{Batch, ColumnKind, DecodeError, layout::Place};
use crate::{
    bitmap::Bitmap,
    column::{
        layout::Encoding,
        read::{self, Strings},
    },
};

/// What a column's streams say.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    Flag,
    Bits(Bitmap),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Text(TextValues<'a>),
}

/// Strings, by dictionary or plain.
#[derive(Debug)]
pub(crate) struct TextValues<'a> {
    pub(crate) strings: Strings<'a>,
    pub(crate) ids: Option<Vec<u32>>,
}

impl<'a> TextValues<'a> {
    pub(crate) fn get(&self, index: usize) -> &'a str {
        match &self.ids {
            None => self.strings.get(index),
            Some(ids) => ids.get(index).map_or("", |id| self.strings.get(*id as usize)),
        }
    }
}

impl Batch {
    /// Decodes a column by its number.
    pub(crate) fn values(&self, column: usize) -> Result<Values<'_>, DecodeError> {
        let column = self
            .layout
            .columns
            .get(column)
            .ok_or(DecodeError::Truncated("columns"))?;
        let Place { encoding, stream } = column.place;
        Ok(match encoding {
            Encoding::Flag => Values::Flag,
            Encoding::Bits => {
                let bits = Bitmap::from_bytes(self.stream(stream)?, column.present);
                Values::Bits(bits.ok_or(DecodeError::Truncated("booleans"))?)
            }
            Encoding::Varint => Values::Ints(read::ints(self.stream(stream)?, column.present)?),
            Encoding::Decimal(exponent) => {
                Values::Floats(read::decimals(self.stream(stream)?, column.present, exponent)?)
            }
            Encoding::Double => Values::Floats(read::doubles(self.stream(stream)?, column.present)?),
            Encoding::Plain | Encoding::Dictionary { .. } => {
                Values::Text(self.text_values(column.place, column.present)?)
            }
        })
    }

    /// Decodes `count` strings.
    pub(crate) fn text_values(&self, place: Place, count: usize) -> Result<TextValues<'_>, DecodeError> {
        let lengths = self.stream(place.stream)?;
        let bytes = self.stream(place.stream + 1)?;
        match place.encoding {
            Encoding::Dictionary { entries, width } => {
                let strings = Strings::read(lengths, bytes, entries as usize)?;
                let ids = read::ids(self.stream(place.stream + 2)?, count, entries, width)?;
                Ok(TextValues {
                    strings,
                    ids: Some(ids),
                })
            }
            Encoding::Plain => Ok(TextValues {
                strings: Strings::read(lengths, bytes, count)?,
                ids: None,
            }),
            _ => Err(DecodeError::Malformed("strings")),
        }
    }

    /// The rows that have a column.
    pub(crate) fn rows_of(&self, column: usize) -> Result<Bitmap, DecodeError> {
        match self.layout.columns.get(column) {
            Some(found) if found.present == self.len() => {
                self.shapes()?;
                Ok(Bitmap::new(self.len(), true))
            }
            _ => Ok(self.shapes()?.rows(|columns| columns.contains(&(column as u32)))),
        }
    }
}

impl ColumnKind {
    /// Does it hold numbers?
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Number)
    }
}
