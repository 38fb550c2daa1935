//! The rows of a batch that a call is shown, and how columns are made of them.

use std::ops::Range;

use streamflow_proto::{batch::Dict, bitmap::Bitmap};

use crate::sandbox::types;

/// Rows of a batch, in order.
pub(super) enum Rows<'a> {
    /// One follows the other, as they do when all events match: columns are copied, and not picked row by row.
    Range(Range<usize>),
    /// These.
    Each(&'a [u32]),
}

impl<'a> Rows<'a> {
    pub(super) fn of(rows: &'a [u32]) -> Self {
        let follow = rows.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
        match rows.first() {
            Some(first) if follow => Self::Range(*first as usize..*first as usize + rows.len()),
            _ => Self::Each(rows),
        }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::Each(rows) => rows.len(),
        }
    }

    /// A value of each row out of a column that has one for each.
    pub(super) fn pick<T: Copy, U>(&self, column: &[T], value: impl Fn(T) -> U) -> Vec<U> {
        match self {
            Self::Range(range) => column[range.clone()].iter().map(|own| value(*own)).collect(),
            Self::Each(rows) => rows.iter().map(|row| value(column[*row as usize])).collect(),
        }
    }

    /// A value of each row.
    pub(super) fn map<T>(&self, value: impl Fn(usize) -> T) -> Vec<T> {
        match self {
            Self::Range(range) => range.clone().map(value).collect(),
            Self::Each(rows) => rows.iter().map(|row| value(*row as usize)).collect(),
        }
    }

    /// Calls with the number of each row in the call, and in the batch.
    fn each(&self, mut work: impl FnMut(usize, usize)) {
        match self {
            Self::Range(range) => range.clone().enumerate().for_each(|(at, row)| work(at, row)),
            Self::Each(rows) => rows.iter().enumerate().for_each(|(at, row)| work(at, *row as usize)),
        }
    }

    /// Which of them have a value; none when all have.
    pub(super) fn present(&self, present: Option<&Bitmap>) -> Option<Vec<u8>> {
        match present {
            Some(present) if present.is_full() => None,
            present => self.bits(|row| present.is_some_and(|present| present.get(row))),
        }
    }

    /// One bit a row of the call; none when all are set.
    pub(super) fn bits(&self, has: impl Fn(usize) -> bool) -> Option<Vec<u8>> {
        let (mut bits, mut all) = (vec![0_u8; self.len().div_ceil(8)], true);
        self.each(|at, row| {
            let has = has(row);
            all &= has;
            bits[at / 8] |= u8::from(has) << (at % 8);
        });
        (!all).then_some(bits)
    }

    /// The texts of these rows by a dictionary of their own, which holds nothing that no row has.
    pub(super) fn texts(&self, dict: Option<&Dict>) -> types::TextColumn {
        let Some(dict) = dict else {
            return types::TextColumn {
                texts: String::new(),
                ends: Vec::new(),
                index: vec![0; self.len()],
            };
        };
        let ids = match self {
            Self::Range(range) => dict.ids.get(range.clone()),
            Self::Each(_) => None,
        };
        match ids {
            Some(ids) if have_all(ids, dict.values.len()) => all_texts(&dict.values, ids),
            _ => self.some_texts(dict),
        }
    }

    fn some_texts(&self, dict: &Dict) -> types::TextColumn {
        const UNSEEN: u32 = u32::MAX;
        let (mut texts, mut ends) = (String::new(), Vec::new());
        let mut places = vec![UNSEEN; dict.values.len()];
        let mut number = |id: u32| -> u32 {
            let id = id as usize;
            let Some(place) = places.get_mut(id) else { return 0 };
            if *place == UNSEEN {
                *place = u32::try_from(ends.len()).unwrap_or(0);
                texts.push_str(&dict.values[id]);
                ends.push(u32::try_from(texts.len()).unwrap_or(u32::MAX));
            }
            *place
        };
        let mut index = Vec::with_capacity(self.len());
        self.each(|_, row| index.push(number(dict.ids.get(row).copied().unwrap_or(Dict::ABSENT))));
        types::TextColumn { texts, ends, index }
    }
}

/// Whether each of so many texts is the text of a row.
fn have_all(ids: &[u32], texts: usize) -> bool {
    if ids.len() < texts {
        return false;
    }
    let mut seen = vec![false; texts];
    for id in ids {
        if let Some(seen) = seen.get_mut(*id as usize) {
            *seen = true;
        }
    }
    seen.into_iter().all(|seen| seen)
}

/// A dictionary as it is.
fn all_texts(values: &[String], ids: &[u32]) -> types::TextColumn {
    let mut texts = String::with_capacity(values.iter().map(String::len).sum());
    let mut ends = Vec::with_capacity(values.len());
    for value in values {
        texts.push_str(value);
        ends.push(u32::try_from(texts.len()).unwrap_or(u32::MAX));
    }
    let known = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let index = ids.iter().map(|id| if *id < known { *id } else { 0 }).collect();
    types::TextColumn { texts, ends, index }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(ids: &[u32]) -> Dict {
        Dict {
            values: ["a", "bc", "déf"].map(str::to_owned).to_vec(),
            ids: ids.to_vec(),
        }
    }

    fn shown(column: &types::TextColumn) -> Vec<&str> {
        let end = |number: usize| column.ends.get(number).map_or(0, |end| *end as usize);
        let text = |number: &u32| {
            let begin = (*number as usize).checked_sub(1).map_or(0, end);
            &column.texts[begin..end(*number as usize)]
        };
        column.index.iter().map(text).collect()
    }

    #[test]
    fn rows_that_follow_each_other_are_a_range() {
        for (rows, range) in [
            (&[3, 4, 5][..], Some(3..6)),
            (&[7], Some(7..8)),
            (&[3, 5], None),
            (&[4, 3], None),
            (&[3, 3], None),
            (&[], None),
            (&[u32::MAX, 0], None),
        ] {
            let own = Rows::of(rows);
            assert_eq!(own.len(), rows.len());
            match (own, range) {
                (Rows::Range(own), Some(range)) => assert_eq!(own, range),
                (Rows::Each(own), None) => assert_eq!(own, rows),
                _ => panic!("{rows:?}"),
            }
        }
    }

    #[test]
    fn a_range_and_its_rows_one_by_one_are_the_same_columns() {
        let dict = dict(&[2, 0, 1, 0, Dict::ABSENT, 1]);
        for range in [0..6, 1..6, 0..5, 2..4, 4..5] {
            let numbers: Vec<u32> = (range.start..range.end).map(|row| row as u32).collect();
            let (whole, each) = (Rows::of(&numbers), Rows::Each(&numbers));
            assert!(matches!(whole, Rows::Range(_)), "{range:?}");
            // A row without a text may have any number.
            let there = |row: usize| dict.get(row).is_some();
            let texts = |rows: &Rows<'_>| -> Vec<Option<String>> {
                let column = rows.texts(Some(&dict));
                let shown = shown(&column).into_iter().map(str::to_owned);
                let of = range.clone().zip(shown);
                of.map(|(row, text)| there(row).then_some(text)).collect()
            };
            let expected: Vec<Option<String>> = range.clone().map(|row| dict.get(row).map(str::to_owned)).collect();
            assert_eq!(texts(&whole), expected, "{range:?}");
            assert_eq!(texts(&each), expected, "{range:?}");
            assert_eq!(whole.bits(there), each.bits(there), "{range:?}");
            assert_eq!(whole.bits(there).is_none(), !range.contains(&4), "{range:?}");
            assert_eq!(
                whole.pick(&dict.ids, |id| id),
                each.pick(&dict.ids, |id| id),
                "{range:?}"
            );
            assert_eq!(whole.map(|row| row), each.map(|row| row), "{range:?}");
            let bitmap = Bitmap::from_fn(6, there);
            assert_eq!(whole.present(Some(&bitmap)), whole.bits(there), "{range:?}");
        }
    }

    #[test]
    fn texts_that_no_row_has_are_left_out() {
        let unused = Rows::of(&[0, 1]).texts(Some(&dict(&[2, 2])));
        assert_eq!((unused.texts.as_str(), unused.index), ("déf", vec![0, 0]));
        let dict = dict(&[2, 0, 1, 0, 2, 1]);
        let some = Rows::of(&[1, 3]).texts(Some(&dict));
        assert_eq!((some.texts.as_str(), some.ends, some.index), ("a", vec![1], vec![0, 0]));
        let none = Rows::of(&[0, 1]).texts(None);
        assert_eq!((none.texts.as_str(), none.index), ("", vec![0, 0]));
        assert_eq!(Rows::of(&[0, 1]).present(None), Some(vec![0]));
    }
}
