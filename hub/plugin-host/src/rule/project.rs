//! From a batch of the log to the batch that a rule plugin gets: only the rows of the call, and only the columns of its manifest.

use streamflow_component::{Field, FieldType, Manifest};
use streamflow_proto::{
    batch::{DecodeError, Dict},
    bitmap::Bitmap,
    filter::Columns,
    path::{Path, PathError},
};

use super::{MAX_ROWS, RuleRows};
use crate::sandbox::{nanoseconds, types};

/// Text that one call may bring into a guest's memory; more is split into several calls.
const MAX_TEXT: usize = 4 << 20;

/// A field of the manifest with its path read.
#[derive(Debug, Clone)]
pub(crate) struct ProjectField {
    path: Path,
    field: Field,
}

/// The fields of a manifest; the error names the field.
pub(crate) fn fields(manifest: &Manifest) -> Result<Vec<ProjectField>, (String, PathError)> {
    // What the configuration of a transform names is read with the configuration.
    let fixed = manifest.input.fields.iter().filter(|field| !field.is_chosen());
    read_fields(fixed)
}

/// Fields with their paths read; the error names the field.
pub(crate) fn read_fields<'a>(
    fields: impl IntoIterator<Item = &'a Field>,
) -> Result<Vec<ProjectField>, (String, PathError)> {
    let read = |field: &Field| match Path::parse(&field.path) {
        Ok(path) => Ok(ProjectField {
            path,
            field: field.clone(),
        }),
        Err(error) => Err((field.path.clone(), error)),
    };
    fields.into_iter().map(read).collect()
}

/// All rows of a batch that is small enough for one call.
pub(crate) fn whole(
    columns: &mut Columns<'_>,
    fields: &[ProjectField],
    max_rows: usize,
) -> Result<types::Batch, String> {
    let count = columns.batch().len();
    let rows: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
    if count > max_rows {
        return Err(format!("it has {count} events; at most {max_rows} are shown at once"));
    }
    let (batch, text) = part(columns, fields, &rows).map_err(|error| error.to_string())?;
    if text > MAX_TEXT {
        return Err(format!(
            "it has {text} bytes of text; at most {MAX_TEXT} are shown at once"
        ));
    }
    Ok(batch)
}

pub(super) fn project(
    columns: &mut Columns<'_>,
    fields: &[ProjectField],
    rows: &[u32],
) -> Result<Vec<RuleRows>, DecodeError> {
    split(columns, fields, rows, MAX_TEXT)
}

fn split(
    columns: &mut Columns<'_>,
    fields: &[ProjectField],
    rows: &[u32],
    max_text: usize,
) -> Result<Vec<RuleRows>, DecodeError> {
    let mut parts = Vec::new();
    // The first on top.
    let mut left: Vec<&[u32]> = rows.chunks(MAX_ROWS).rev().collect();
    while let Some(rows) = left.pop() {
        let (batch, text) = part(columns, fields, rows)?;
        if text > max_text && rows.len() > 1 {
            let (first, second) = rows.split_at(rows.len() / 2);
            left.extend([second, first]);
            continue;
        }
        parts.push(RuleRows {
            batch,
            rows: rows.to_vec(),
        });
    }
    Ok(parts)
}

/// A batch of these rows, and the bytes of text in it.
fn part(
    columns: &mut Columns<'_>,
    fields: &[ProjectField],
    rows: &[u32],
) -> Result<(types::Batch, usize), DecodeError> {
    let times = columns.timestamps()?;
    let severities = columns.batch().severities()?;
    let mut bytes = 0;
    let mut fixed = |columns: &mut Columns<'_>, name: &str| -> Result<types::TextColumn, DecodeError> {
        let dict = match Path::parse(name) {
            Ok(path) => columns.labels(&path)?,
            Err(_) => None,
        };
        Ok(text(dict.as_deref(), rows, &mut bytes))
    };
    let kind = fixed(columns, "type")?;
    let source = fixed(columns, "source")?;
    let mut projected = Vec::with_capacity(fields.len());
    for ProjectField { path, field } in fields {
        let (data, present) = match field.kind {
            FieldType::Boolean => {
                let bools = columns.bools(path)?;
                let values = pick(rows, |row| {
                    u8::from(bools.as_ref().is_some_and(|bools| bools.values.get(row)))
                });
                let present = present(bools.as_ref().map(|bools| &bools.present), rows);
                (types::ColumnData::Boolean(values), present)
            }
            FieldType::Integer => {
                let integers = columns.batch().integers(path)?;
                let values = pick(rows, |row| integers.as_ref().map_or(0, |integers| integers.values[row]));
                let present = present(integers.as_ref().map(|integers| &integers.present), rows);
                (types::ColumnData::Integer(values), present)
            }
            FieldType::Float => {
                let numbers = columns.numbers(path)?;
                let values = pick(rows, |row| numbers.as_ref().map_or(0.0, |numbers| numbers.values[row]));
                let present = present(numbers.as_ref().map(|numbers| &numbers.present), rows);
                (types::ColumnData::Float(values), present)
            }
            FieldType::Text => {
                let dict = columns.strings(path)?;
                let dict = dict.as_deref();
                let column = text(dict, rows, &mut bytes);
                let present = bits(rows, |row| dict.is_some_and(|dict| dict.get(row).is_some()));
                (types::ColumnData::Text(column), present)
            }
        };
        projected.push(types::Column {
            path: field.path.clone(),
            data,
            present,
        });
    }
    let batch = types::Batch {
        count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        time: pick(rows, |row| nanoseconds(times[row])),
        severity: pick(rows, |row| severities[row]),
        kind,
        source,
        columns: projected,
    };
    Ok((batch, bytes))
}

fn pick<T>(rows: &[u32], value: impl Fn(usize) -> T) -> Vec<T> {
    rows.iter().map(|row| value(*row as usize)).collect()
}

fn present(present: Option<&Bitmap>, rows: &[u32]) -> Option<Vec<u8>> {
    match present {
        None => bits(rows, |_| false),
        Some(present) if present.is_full() => None,
        Some(present) => bits(rows, |row| present.get(row)),
    }
}

/// One bit a row of the call; none when every row has a value.
fn bits(rows: &[u32], has: impl Fn(usize) -> bool) -> Option<Vec<u8>> {
    if rows.iter().all(|row| has(*row as usize)) {
        return None;
    }
    let bit = |row: &u32| u8::from(has(*row as usize));
    let byte = |chunk: &[u32]| chunk.iter().rev().fold(0_u8, |byte, row| byte << 1 | bit(row));
    Some(rows.chunks(8).map(byte).collect())
}

/// The texts of these rows by a dictionary of their own, which holds nothing that no row has. `bytes` grows by their length.
fn text(dict: Option<&Dict>, rows: &[u32], bytes: &mut usize) -> types::TextColumn {
    const UNSEEN: u32 = u32::MAX;
    let (mut texts, mut ends) = (String::new(), Vec::new());
    let Some(dict) = dict else {
        let index = vec![0; rows.len()];
        return types::TextColumn { texts, ends, index };
    };
    let mut places = vec![UNSEEN; dict.values.len()];
    let number = |row: &u32| -> u32 {
        let id = dict.ids.get(*row as usize).copied().unwrap_or(Dict::ABSENT) as usize;
        let Some(place) = places.get_mut(id) else { return 0 };
        if *place == UNSEEN {
            *place = u32::try_from(ends.len()).unwrap_or(0);
            texts.push_str(&dict.values[id]);
            ends.push(u32::try_from(texts.len()).unwrap_or(u32::MAX));
        }
        *place
    };
    let index = rows.iter().map(number).collect();
    *bytes += texts.len();
    types::TextColumn { texts, ends, index }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use streamflow_proto::{batch::Batch, build::BatchBuilder};

    fn batch(lines: &[String]) -> Batch {
        let mut builder = BatchBuilder::new();
        for line in lines {
            builder.push_json(line.as_bytes(), 1_700_000_000_000).unwrap();
        }
        builder.finish(1).decode().unwrap()
    }

    fn field(path: &str, kind: FieldType) -> ProjectField {
        ProjectField {
            path: Path::parse(path).unwrap(),
            field: Field {
                path: path.to_owned(),
                kind,
            },
        }
    }

    fn shown(column: &types::TextColumn, row: usize) -> &str {
        let number = column.index[row] as usize;
        let begin = number.checked_sub(1).map_or(0, |before| column.ends[before]);
        &column.texts[begin as usize..column.ends[number] as usize]
    }

    fn has(present: &Option<Vec<u8>>, row: usize) -> bool {
        present.as_ref().is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
    }

    proptest! {
        #[test]
        fn every_row_keeps_its_values(values in prop::collection::vec((any::<Option<i32>>(), "[a-c]{0,2}", any::<Option<bool>>()), 1..40), every in 1_usize..4) {
            let lines: Vec<String> = values.iter().map(|(number, text, flag)| {
                let mut data = serde_json::Map::new();
                if let Some(number) = number { data.insert("n".into(), (*number).into()); }
                if !text.is_empty() { data.insert("t".into(), text.clone().into()); }
                if let Some(flag) = flag { data.insert("b".into(), (*flag).into()); }
                serde_json::json!({"type": "x", "source": format!("s{}", text.len()), "data": data}).to_string()
            }).collect();
            let batch = batch(&lines);
            let mut columns = Columns::new(&batch);
            let fields = [field("data.n", FieldType::Integer), field("data.n", FieldType::Float), field("data.t", FieldType::Text), field("data.b", FieldType::Boolean), field("data.gone", FieldType::Text)];
            let rows: Vec<u32> = (0..values.len() as u32).step_by(every).collect();
            let parts = project(&mut columns, &fields, &rows).unwrap();
            prop_assert_eq!(parts.len(), 1);
            let made = &parts[0].batch;
            prop_assert_eq!(made.count as usize, rows.len());
            for (at, row) in rows.iter().enumerate() {
                let (number, text, flag) = &values[*row as usize];
                prop_assert_eq!(shown(&made.source, at), &format!("s{}", text.len()));
                let [integer, float, texts, flags, gone] = made.columns.as_slice() else { panic!() };
                prop_assert_eq!(has(&integer.present, at), number.is_some());
                prop_assert_eq!(has(&float.present, at), number.is_some());
                prop_assert_eq!(has(&texts.present, at), !text.is_empty());
                prop_assert_eq!(has(&flags.present, at), flag.is_some());
                prop_assert!(!has(&gone.present, at));
                if let (Some(number), types::ColumnData::Integer(values)) = (number, &integer.data) { prop_assert_eq!(values[at], i64::from(*number)); }
                if let (Some(number), types::ColumnData::Float(values)) = (number, &float.data) { prop_assert_eq!(values[at], f64::from(*number)); }
                if let (false, types::ColumnData::Text(column)) = (text.is_empty(), &texts.data) { prop_assert_eq!(shown(column, at), text); }
                if let (Some(flag), types::ColumnData::Boolean(values)) = (flag, &flags.data) { prop_assert_eq!(values[at] == 1, *flag); }
            }
        }
    }

    #[test]
    fn large_texts_and_many_rows_are_split_in_order() {
        let text = |n: usize| json!({"type": "x", "source": "s", "data": {"t": format!("{n}-{}", "y".repeat(1000))}});
        let lines: Vec<String> = (0..120).map(|n| text(n).to_string()).collect();
        let batch = batch(&lines);
        let mut columns = Columns::new(&batch);
        let rows: Vec<u32> = (0..120).collect();
        for max in [1, 2_000, 50_000, MAX_TEXT] {
            let parts = split(&mut columns, &[field("data.t", FieldType::Text)], &rows, max).unwrap();
            assert!(
                parts
                    .iter()
                    .all(|part| part.rows.len() == 1 || part.rows.len() * 1000 <= max),
                "{max}"
            );
            assert_eq!(parts.len() == 1, max == MAX_TEXT);
            let all: Vec<u32> = parts.iter().flat_map(|part| part.rows.clone()).collect();
            assert_eq!(all, rows);
        }
        let parts = project(&mut columns, &[], &rows).unwrap();
        assert_eq!(parts.len(), 1);
    }
}
