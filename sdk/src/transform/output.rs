//! What a transform answers, built column by column.

use std::collections::HashMap;

use crate::{
    Events, Texts,
    bindings::{
        channel::streamflow::plugin::types::{Column, ColumnData, TextColumn},
        transform::exports::streamflow::plugin::transform::NamedColumn,
    },
    transform::{glue::Answer, path},
};

/// What becomes of the events of a call. First the events go that are not kept, then the fields that are dropped, and then fields are set.
///
/// A field is named by its path, as in the manifest: `data.browser`, `data["a.b"]`, `user_id`. Objects on the way to it are made where they are missing. Where a
/// field is set to nothing (`None`) it stays as it is; to have it removed there, [drop](Self::drop) it and set the others.
#[derive(Debug, Clone, Default)]
pub struct Output {
    rows: usize,
    keep: Option<Vec<u8>>,
    drop: Vec<String>,
    set: Vec<(String, ColumnData, Option<Vec<u8>>)>,
}

impl Output {
    /// All events stay as they are.
    #[must_use]
    pub const fn unchanged(events: &Events) -> Self {
        Self {
            rows: events.len(),
            keep: None,
            drop: Vec::new(),
            set: Vec::new(),
        }
    }

    /// How many bytes a text may have that is set at a path. A path that a configuration names is best asked for in [`init`](crate::Transform::init): a mistake
    /// is then found when the configuration is checked, and not at the first event. An event that is given a longer text is given up.
    ///
    /// # Errors
    /// Why nothing can be set there, in words.
    pub fn room(path: &str) -> Result<usize, String> {
        path::room(path)
    }

    /// Whether a field can be [dropped](Self::drop), for `init` as [`room`](Self::room).
    ///
    /// # Errors
    /// Why not, in words.
    pub fn droppable(path: &str) -> Result<(), String> {
        path::droppable(path)
    }

    /// Keeps the events for which this is true, of those that are still kept.
    pub fn keep(&mut self, keep: impl Fn(usize) -> bool) {
        let earlier = self.keep.take();
        let stays = |row: usize| earlier.as_ref().is_none_or(|bits| bit(bits, row)) && keep(row);
        self.keep = unless_all(bits(self.rows, stays), self.rows);
    }

    /// Removes a field from all events; what is set under the same path is there nevertheless.
    pub fn drop(&mut self, path: impl Into<String>) {
        let path = path.into();
        if !self.drop.contains(&path) {
            self.drop.push(path);
        }
    }

    /// Sets a field to numbers; those that are not finite are none.
    pub fn set_floats(&mut self, path: impl Into<String>, value: impl Fn(usize) -> Option<f64>) {
        let finite = |row| value(row).filter(|value: &f64| value.is_finite());
        self.set_values(path, finite, ColumnData::Float);
    }

    /// Sets a field to whole numbers.
    pub fn set_integers(&mut self, path: impl Into<String>, value: impl Fn(usize) -> Option<i64>) {
        self.set_values(path, value, ColumnData::Integer);
    }

    /// Sets a field to truth values.
    pub fn set_booleans(&mut self, path: impl Into<String>, value: impl Fn(usize) -> Option<bool>) {
        self.set_values(path, |row| value(row).map(u8::from), ColumnData::Boolean);
    }

    /// Sets a field to texts, which are asked for row by row. Texts that are equal are sent once.
    pub fn set_texts<S: AsRef<str>>(&mut self, path: impl Into<String>, value: impl Fn(usize) -> Option<S>) {
        let mut words = Words::default();
        let places: Vec<Option<u32>> = (0..self.rows)
            .map(|row| value(row).map(|text| words.place(text)))
            .collect();
        self.set_places(path, words, &places);
    }

    /// Sets a field to texts that follow from those of another field, or of the field itself. They are asked for once for each of
    /// `from.dict()`, by its number, however many events have it: that is what makes a transform of texts cheap.
    pub fn set_texts_by<S: AsRef<str>>(
        &mut self,
        path: impl Into<String>,
        from: &Texts<'_>,
        mut value: impl FnMut(usize) -> Option<S>,
    ) {
        let mut words = Words::default();
        let known: Vec<Option<u32>> = (0..from.dict().len())
            .map(|number| value(number).map(|text| words.place(text)))
            .collect();
        let place = |row| from.number(row).and_then(|number| known.get(number).copied().flatten());
        let places: Vec<Option<u32>> = (0..self.rows).map(place).collect();
        self.set_places(path, words, &places);
    }

    fn set_places(&mut self, path: impl Into<String>, words: Words, places: &[Option<u32>]) {
        let data = |index| {
            let Words { texts, ends, .. } = words;
            ColumnData::Text(TextColumn { texts, ends, index })
        };
        self.set_values(path, |row| places.get(row).copied().flatten(), data);
    }

    /// A column in which no row has a value would change nothing and is left out.
    fn set_values<T: Default>(
        &mut self,
        path: impl Into<String>,
        value: impl Fn(usize) -> Option<T>,
        data: impl FnOnce(Vec<T>) -> ColumnData,
    ) {
        let path = path.into();
        self.set.retain(|(known, ..)| *known != path);
        let (mut values, mut present) = (Vec::with_capacity(self.rows), vec![0_u8; self.rows.div_ceil(8)]);
        for row in 0..self.rows {
            let value = value(row);
            if let (Some(byte), true) = (present.get_mut(row / 8), value.is_some()) {
                *byte |= 1 << (row % 8);
            }
            values.push(value.unwrap_or_default());
        }
        if present.iter().any(|byte| *byte != 0) {
            self.set.push((path, data(values), unless_all(present, self.rows)));
        }
    }
}

/// Texts that were seen, each once.
#[derive(Default)]
struct Words {
    /// One after the other, and where each of them ends.
    texts: String,
    ends: Vec<u32>,
    places: HashMap<String, u32>,
}

impl Words {
    fn place(&mut self, text: impl AsRef<str>) -> u32 {
        let text = text.as_ref();
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let short = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let place = short(self.ends.len());
        self.texts.push_str(text);
        self.ends.push(short(self.texts.len()));
        self.places.insert(text.to_owned(), place);
        place
    }
}

fn bits(rows: usize, is: impl Fn(usize) -> bool) -> Vec<u8> {
    let byte = |first: usize| {
        let set = (first..rows.min(first + 8)).filter(|row| is(*row));
        set.fold(0_u8, |byte, row| byte | 1 << (row - first))
    };
    (0..rows).step_by(8).map(byte).collect()
}

pub(crate) fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// None when all bits of the rows are set, which is how the interface says so.
fn unless_all(bits: Vec<u8>, rows: usize) -> Option<Vec<u8>> {
    let set: usize = bits.iter().map(|byte| byte.count_ones() as usize).sum();
    (set < rows).then_some(bits)
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let named = |(name, data, present): (String, ColumnData, Option<Vec<u8>>)| NamedColumn {
            column: Column {
                path: name.clone(),
                data,
                present,
            },
            name,
        };
        Self {
            keep: output.keep,
            set: output.set.into_iter().map(named).collect(),
            drop: output.drop,
        }
    }
}

#[cfg(test)]
mod tests;
