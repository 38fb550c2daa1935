//! From a batch of the log to the batch that a rule plugin gets: only the rows of the call, and only the columns of its manifest.

mod rows;

use streamflow_component::{Envelope, EnvelopeField, Field, FieldType, Input};
use streamflow_proto::{
    batch::{DecodeError, Dict},
    filter::Columns,
    path::{Path, PathError},
};

use super::{MAX_ROWS, RuleRows};
use crate::sandbox::{nanoseconds, types};
use rows::Rows;

/// Text that one call may bring into a guest's memory; more is split into several calls.
const MAX_TEXT: usize = 4 << 20;

/// What a plugin is shown of an event.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    envelope: Envelope,
    fields: Vec<ProjectField>,
}

/// A field of the manifest with its path read.
#[derive(Debug, Clone)]
struct ProjectField {
    path: Path,
    field: Field,
}

impl Projection {
    /// What a manifest names; the error names the field. What the configuration of a transform names is read with the configuration.
    pub(crate) fn fixed(input: &Input) -> Result<Self, (String, PathError)> {
        Self::of(input.envelope, input.fields.iter().filter(|field| !field.is_chosen()))
    }

    /// These fields; the error names one.
    pub(crate) fn of<'a>(
        envelope: Envelope,
        fields: impl IntoIterator<Item = &'a Field>,
    ) -> Result<Self, (String, PathError)> {
        let read = |field: &Field| match Path::parse(&field.path) {
            Ok(path) => Ok(ProjectField {
                path,
                field: field.clone(),
            }),
            Err(error) => Err((field.path.clone(), error)),
        };
        let fields = fields.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { envelope, fields })
    }
}

/// All rows of a batch that is small enough for one call.
pub(crate) fn whole(
    columns: &mut Columns<'_>,
    projection: &Projection,
    max_rows: usize,
) -> Result<types::Batch, String> {
    let count = columns.batch().len();
    let rows: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
    if count > max_rows {
        return Err(format!("it has {count} events; at most {max_rows} are shown at once"));
    }
    let (batch, text) = part(columns, projection, &rows).map_err(|error| error.to_string())?;
    if text > MAX_TEXT {
        return Err(format!(
            "it has {text} bytes of text; at most {MAX_TEXT} are shown at once"
        ));
    }
    Ok(batch)
}

pub(super) fn project(
    columns: &mut Columns<'_>,
    projection: &Projection,
    rows: &[u32],
) -> Result<Vec<RuleRows>, DecodeError> {
    split(columns, projection, rows, MAX_TEXT)
}

fn split(
    columns: &mut Columns<'_>,
    projection: &Projection,
    rows: &[u32],
    max_text: usize,
) -> Result<Vec<RuleRows>, DecodeError> {
    let mut parts = Vec::new();
    // The first on top.
    let mut left: Vec<&[u32]> = rows.chunks(MAX_ROWS).rev().collect();
    while let Some(rows) = left.pop() {
        let (batch, text) = part(columns, projection, rows)?;
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
    Projection { envelope, fields }: &Projection,
    rows: &[u32],
) -> Result<(types::Batch, usize), DecodeError> {
    let rows = &Rows::of(rows);
    let mut bytes = 0;
    let mut texts = |dict: Option<&Dict>| {
        let column = rows.texts(dict);
        bytes += column.texts.len();
        column
    };
    // What the manifest leaves out is not even decoded.
    let time = match envelope.has(EnvelopeField::Timestamp) {
        true => rows.pick(&columns.timestamps()?, nanoseconds),
        false => Vec::new(),
    };
    let severity = match envelope.has(EnvelopeField::Severity) {
        true => rows.pick(&columns.batch().severities()?, |own| own),
        false => Vec::new(),
    };
    let mut named = |columns: &mut Columns<'_>, field: EnvelopeField| -> Result<types::TextColumn, DecodeError> {
        let path = Path::parse(field.name()).ok().filter(|_| envelope.has(field));
        let Some(path) = path else { return Ok(nothing()) };
        Ok(texts(columns.labels(&path)?.as_deref()))
    };
    let kind = named(columns, EnvelopeField::Type)?;
    let source = named(columns, EnvelopeField::Source)?;
    let mut projected = Vec::with_capacity(fields.len());
    for ProjectField { path, field } in fields {
        let (data, present) = match field.kind {
            FieldType::Boolean => {
                let bools = columns.bools(path)?;
                let values = rows.map(|row| u8::from(bools.as_ref().is_some_and(|bools| bools.values.get(row))));
                let present = rows.present(bools.as_ref().map(|bools| &bools.present));
                (types::ColumnData::Boolean(values), present)
            }
            FieldType::Integer => {
                let integers = columns.batch().integers(path)?;
                let values = match &integers {
                    Some(integers) => rows.pick(&integers.values, |own| own),
                    None => vec![0; rows.len()],
                };
                let present = rows.present(integers.as_ref().map(|integers| &integers.present));
                (types::ColumnData::Integer(values), present)
            }
            FieldType::Float => {
                let numbers = columns.numbers(path)?;
                let values = match &numbers {
                    Some(numbers) => rows.pick(&numbers.values, |own| own),
                    None => vec![0.0; rows.len()],
                };
                let present = rows.present(numbers.as_ref().map(|numbers| &numbers.present));
                (types::ColumnData::Float(values), present)
            }
            FieldType::Text => {
                let dict = columns.strings(path)?;
                let dict = dict.as_deref();
                let present = rows.bits(|row| dict.is_some_and(|dict| dict.get(row).is_some()));
                (types::ColumnData::Text(texts(dict)), present)
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
        time,
        severity,
        kind,
        source,
        columns: projected,
    };
    Ok((batch, bytes))
}

const fn nothing() -> types::TextColumn {
    types::TextColumn {
        texts: String::new(),
        ends: Vec::new(),
        index: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use streamflow_component::Manifest;
    use streamflow_proto::{batch::Batch, build::BatchBuilder};

    fn batch(lines: &[String]) -> Batch {
        let mut builder = BatchBuilder::new();
        for line in lines {
            builder.push_json(line.as_bytes(), 1_700_000_000_000).unwrap();
        }
        builder.finish(1).decode().unwrap()
    }

    fn field(path: &str, kind: FieldType) -> Field {
        Field {
            path: path.to_owned(),
            kind,
        }
    }

    fn all(fields: &[Field]) -> Projection {
        Projection::of(Envelope::ALL, fields).unwrap()
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
            let parts = project(&mut columns, &all(&fields), &rows).unwrap();
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
            let parts = split(&mut columns, &all(&[field("data.t", FieldType::Text)]), &rows, max).unwrap();
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
        let parts = project(&mut columns, &all(&[]), &rows).unwrap();
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn the_envelope_holds_what_the_manifest_names() {
        const HEAD: &str = "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = \"rule\"\napi = \"0.1\"\n[input]\n";
        let line =
            json!({"type": "x", "source": "s", "severity": "high", "timestamp": 1_700_000_000_000_i64}).to_string();
        let batch = batch(&[line.clone(), line]);
        let lengths = |envelope: &str| {
            let input = Manifest::parse(&format!("{HEAD}{envelope}")).unwrap().input;
            let projection = Projection::fixed(&input).unwrap();
            let parts = project(&mut Columns::new(&batch), &projection, &[0, 1]).unwrap();
            let made = &parts[0].batch;
            assert_eq!(made.count, 2);
            let (kind, source) = (&made.kind, &made.source);
            assert_eq!(kind.texts.is_empty(), kind.index.is_empty());
            assert_eq!(source.texts.is_empty(), source.index.is_empty());
            [
                made.time.len(),
                made.severity.len(),
                kind.index.len(),
                source.index.len(),
            ]
        };
        assert_eq!(lengths(""), [2, 2, 2, 2], "a manifest that does not say");
        assert_eq!(lengths("envelope = []"), [0, 0, 0, 0]);
        assert_eq!(lengths("envelope = [\"timestamp\", \"source\"]"), [2, 0, 0, 2]);
        assert_eq!(lengths("envelope = [\"severity\", \"type\"]"), [0, 2, 2, 0]);
    }
}
