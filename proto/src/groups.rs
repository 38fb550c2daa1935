//! Which combination of attributes each row of a batch has, by small numbers that hold within the batch.

use std::{collections::HashMap, rc::Rc};

use crate::batch::Dict;

/// The rows of one batch by the values of some attributes.
#[derive(Debug)]
pub struct RowGroups {
    dicts: Vec<Option<Rc<Dict>>>,
    ids: Ids,
}

#[derive(Debug)]
enum Ids {
    /// No attributes, or none that the batch has.
    One,
    /// One attribute: its dictionary's ids, with one more for rows without it.
    Single(Rc<Dict>),
    /// Several: dense numbers of the combinations that occur, and of each the first row that has it.
    Several { rows: Vec<u32>, firsts: Vec<u32> },
}

/// A combination that has no number yet.
const NONE: u32 = u32::MAX;
/// Combinations that may exist, by rows, up to which they are looked up in a plain table.
const TABLE_PER_ROW: usize = 8;

impl RowGroups {
    /// Groups so many rows by these attributes; `None` is one that the batch does not have.
    #[must_use]
    pub fn new(dicts: Vec<Option<Rc<Dict>>>, rows: usize) -> Self {
        let ids = match dicts.as_slice() {
            all if all.iter().all(Option::is_none) => Ids::One,
            [Some(dict)] => Ids::Single(Rc::clone(dict)),
            _ => several(&dicts, rows),
        };
        Self { dicts, ids }
    }

    /// How many numbers there may be.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.ids {
            Ids::One => 1,
            Ids::Single(dict) => dict.values.len() + 1,
            Ids::Several { firsts, .. } => firsts.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of a row's group.
    #[inline]
    #[must_use]
    pub fn of(&self, row: usize) -> usize {
        match &self.ids {
            Ids::One => 0,
            Ids::Single(dict) => (dict.ids[row] as usize).min(dict.values.len()),
            Ids::Several { rows, .. } => rows[row] as usize,
        }
    }

    /// The values of a group, in the order of the attributes; an absent attribute is the empty text.
    pub fn labels(&self, group: usize) -> impl Iterator<Item = &str> + Clone {
        self.dicts
            .iter()
            .map(move |dict| {
                let dict = dict.as_ref()?;
                let id = match &self.ids {
                    Ids::One => return None,
                    Ids::Single(_) => group,
                    Ids::Several { firsts, .. } => dict.ids[*firsts.get(group)? as usize] as usize,
                };
                dict.values.get(id).map(String::as_str)
            })
            .map(Option::unwrap_or_default)
    }
}

/// Numbers the combinations attribute by attribute, each in the order of its first row.
fn several(dicts: &[Option<Rc<Dict>>], len: usize) -> Ids {
    let (mut rows, mut firsts) = (vec![0_u32; len], vec![0_u32; len.min(1)]);
    for dict in dicts.iter().flatten() {
        let width = dict.values.len() + 1;
        let possible = firsts.len().saturating_mul(width);
        let mut found = if possible <= len.saturating_mul(TABLE_PER_ROW) {
            Found::Table(vec![NONE; possible])
        } else {
            Found::Map(HashMap::default())
        };
        firsts.clear();
        for (row, (number, id)) in (0_u32..).zip(rows.iter_mut().zip(&dict.ids)) {
            let combination = *number as usize * width + (*id as usize).min(dict.values.len());
            let known = match &mut found {
                Found::Table(table) => &mut table[combination],
                Found::Map(map) => map.entry(combination).or_insert(NONE),
            };
            if *known == NONE {
                *known = u32::try_from(firsts.len()).unwrap_or(NONE);
                firsts.push(row);
            }
            *number = *known;
        }
    }
    Ids::Several { rows, firsts }
}

/// Numbers of combinations.
enum Found {
    Table(Vec<u32>),
    Map(HashMap<usize, u32, foldhash::fast::RandomState>),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values 0 to 3 of a dictionary, and rows without one.
    fn dict(rows: &[u32], values: u32) -> Rc<Dict> {
        let id = |value: &u32| if *value < values { *value } else { Dict::ABSENT };
        Rc::new(Dict {
            values: (0..values).map(|value| format!("v{value}")).collect(),
            ids: rows.iter().map(id).collect(),
        })
    }

    proptest! {
        #[test]
        fn rows_are_together_when_their_labels_are(rows in prop::collection::vec((0..4_u32, 0..90_u32, 0..3_u32), 0..60), one: bool, gap: bool) {
            let column = |of: fn(&(u32, u32, u32)) -> u32| -> Vec<u32> { rows.iter().map(of).collect() };
            let (a, b, c) = (column(|row| row.0), column(|row| row.1), column(|row| row.2));
            // With 80 values of the second there are too many combinations for a table.
            let mut dicts = vec![Some(dict(&a, 3)), (!gap).then(|| dict(&b, 80)), Some(dict(&c, 2))];
            if one {
                dicts.truncate(1);
            }
            let groups = RowGroups::new(dicts.clone(), rows.len());
            let mut seen = 0;
            for row in 0..rows.len() {
                let group = groups.of(row);
                prop_assert!(group < groups.len());
                if !one {
                    prop_assert!(group <= seen, "numbers are in the order of the first rows");
                    seen = seen.max(group + 1);
                }
                let label = |dict: &Option<Rc<Dict>>| dict.as_ref().and_then(|dict| dict.get(row)).unwrap_or("").to_owned();
                let wanted: Vec<String> = dicts.iter().map(label).collect();
                prop_assert_eq!(groups.labels(group).collect::<Vec<_>>(), wanted);
                for other in 0..row {
                    let same = groups.labels(groups.of(other)).eq(groups.labels(group));
                    prop_assert_eq!(groups.of(other) == group, same);
                }
            }
        }
    }

    #[test]
    fn without_attributes_there_is_one_group() {
        let groups = RowGroups::new(vec![None, None], 3);
        assert_eq!((groups.len(), groups.of(2)), (1, 0));
        assert_eq!(groups.labels(0).collect::<Vec<_>>(), ["", ""]);
    }
}
