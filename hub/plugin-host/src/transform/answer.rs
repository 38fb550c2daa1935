//! From a transform's answer to an edit of columns. What does not fit the batch is refused, in words.

use streamflow_proto::{
    batch::Dict,
    bitmap::Bitmap,
    build::{Assign, AssignValues, Edit, MAX_EDITS},
    path::Path,
};

use crate::sandbox::{types, wit_transform::Output};

/// Reads what a plugin says of a batch of so many rows. Whether its values may stand where it wants them, the batch decides.
pub(super) fn edit(output: Output, rows: usize) -> Result<Edit, String> {
    for (what, count) in [("set", output.set.len()), ("drop", output.drop.len())] {
        if count > MAX_EDITS {
            return Err(format!("{count} attributes to {what}; at most {MAX_EDITS} are allowed"));
        }
    }
    let path = |text: &str| Path::parse(text).map_err(|error| format!("`{text}` is not a path: {error}"));
    let mut edit = Edit {
        drop: output.drop.iter().map(|text| path(text)).collect::<Result<_, _>>()?,
        set: Vec::with_capacity(output.set.len()),
        keep: match output.keep {
            None => None,
            Some(bytes) => Some(bits(&bytes, rows).ok_or("keep has too few bits")?),
        },
    };
    for named in output.set {
        let name = named.name;
        let present = match named.column.present {
            None => None,
            Some(bytes) => Some(bits(&bytes, rows).ok_or_else(|| format!("`{name}`: present has too few bits"))?),
        };
        let values = match named.column.data {
            types::ColumnData::Boolean(values) => AssignValues::Bools(values.iter().map(|value| *value != 0).collect()),
            types::ColumnData::Integer(values) => AssignValues::Ints(values),
            types::ColumnData::Float(values) => AssignValues::Floats(values),
            types::ColumnData::Text(column) => {
                let dict = texts(column).ok_or_else(|| format!("`{name}`: the ends of its texts are no ends"))?;
                if !all_there(&dict, present.as_ref(), rows) {
                    return Err(format!("`{name}`: a row has a text that is not there"));
                }
                AssignValues::Texts(dict)
            }
        };
        edit.set.push(Assign {
            path: path(&name)?,
            values,
            present,
        });
    }
    Ok(edit)
}

/// One bit a row, the least significant first; none when there are too few.
fn bits(bytes: &[u8], rows: usize) -> Option<Bitmap> {
    let enough = bytes.len() >= rows.div_ceil(8);
    let bit = |row: usize| bytes.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1);
    enough.then(|| Bitmap::from_fn(rows, bit))
}

/// None when the ends are no places in the text, or go back.
fn texts(column: types::TextColumn) -> Option<Dict> {
    let mut values = Vec::with_capacity(column.ends.len());
    let mut begin = 0;
    for end in &column.ends {
        let end = *end as usize;
        values.push(column.texts.get(begin..end)?.to_owned());
        begin = end;
    }
    Some(Dict {
        values,
        ids: column.index,
    })
}

/// Whether each row that is written has a text, or none.
fn all_there(dict: &Dict, present: Option<&Bitmap>, rows: usize) -> bool {
    let there = |id: u32| id == Dict::ABSENT || (id as usize) < dict.values.len();
    let written = |row: usize| present.is_none_or(|present| present.get(row));
    let mut ids = dict.ids.iter().take(rows).enumerate();
    ids.all(|(row, id)| there(*id) || !written(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::wit_transform::NamedColumn;

    fn output(name: &str, data: types::ColumnData, present: Option<Vec<u8>>) -> Output {
        Output {
            keep: None,
            set: vec![NamedColumn {
                name: name.to_owned(),
                column: types::Column {
                    path: String::new(),
                    data,
                    present,
                },
            }],
            drop: Vec::new(),
        }
    }

    fn text(texts: &str, ends: &[u32], index: &[u32]) -> types::ColumnData {
        types::ColumnData::Text(types::TextColumn {
            texts: texts.to_owned(),
            ends: ends.to_vec(),
            index: index.to_vec(),
        })
    }

    #[test]
    fn texts_are_cut_where_they_end() {
        let edit = edit(output("data.a", text("aéb", &[1, 1, 3, 4], &[3, 2, 0]), None), 3).unwrap();
        let AssignValues::Texts(dict) = &edit.set[0].values else {
            panic!("{edit:?}")
        };
        assert_eq!(dict.values, ["a", "", "é", "b"]);
        assert_eq!(
            (dict.get(0), dict.get(1), dict.get(2)),
            (Some("b"), Some("é"), Some("a"))
        );
    }

    #[test]
    fn answers_that_make_no_sense_are_refused() {
        let one = || text("x", &[1], &[0; 9]);
        for (answer, part) in [
            (output("data.a", text("é", &[1], &[0; 9]), None), "no ends"),
            (output("data.a", text("ab", &[2, 1], &[0; 9]), None), "no ends"),
            (output("data.a", text("ab", &[7], &[0; 9]), None), "no ends"),
            (output("data.a", one(), Some(vec![0xff])), "too few bits"),
            (output("value", one(), None), "not a path"),
            (output("data.a", text("x", &[1], &[1; 9]), None), "not there"),
            (
                Output {
                    keep: Some(vec![0xff]),
                    set: Vec::new(),
                    drop: Vec::new(),
                },
                "too few bits",
            ),
            (
                Output {
                    keep: None,
                    set: Vec::new(),
                    drop: vec!["data.a".to_owned(); 65],
                },
                "at most 64",
            ),
        ] {
            let error = edit(answer, 9).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn bits_are_read_from_the_least() {
        let keep = Some(vec![0b0000_0101, 0b1]);
        let answer = Output {
            keep,
            set: Vec::new(),
            drop: Vec::new(),
        };
        let rows: Vec<usize> = edit(answer, 9).unwrap().keep.unwrap().iter_ones().collect();
        assert_eq!(rows, [0, 2, 8]);
    }
}
