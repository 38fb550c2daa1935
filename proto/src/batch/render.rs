//! Columns back into rows. What a shape's events have in common is rendered once, as a template.

use super::{Batch, ColumnKind, DecodeError, Shapes, Values, layout::Column};
use crate::{
    bitmap::Bitmap,
    event::{Event, Severity},
};
use serde_json::value::RawValue;
use std::io::Write;

/// The most bytes of keys and braces in one event; an honest one has fewer.
const MAX_TEMPLATE: usize = 1024 * 1024;

/// The text around the values of one object, and the columns that the values come from.
#[derive(Debug, Default)]
struct ObjectTemplate {
    parts: Vec<(String, usize)>,
    tail: String,
}

/// How the events of one shape are put together.
#[derive(Debug, Default)]
pub(super) struct Template {
    data: ObjectTemplate,
    metadata: ObjectTemplate,
    tags: Option<usize>,
    correlation_id: Option<usize>,
    session_id: Option<usize>,
    user_id: Option<usize>,
}

impl Batch {
    /// One event as a row.
    pub fn event(&self, row: usize) -> Result<Event, DecodeError> {
        let mut rows = Bitmap::new(self.len(), false);
        rows.set(row, true);
        self.events(&rows)?
            .pop()
            .ok_or(DecodeError::NoSuchRow { row, count: self.len() })
    }

    /// Events as rows, in row order. Each column is decoded once.
    pub fn events(&self, rows: &Bitmap) -> Result<Vec<Event>, DecodeError> {
        let Some(last) = rows.iter_ones().last().filter(|row| *row < self.len()) else {
            return Ok(Vec::new());
        };
        let shapes = self.shapes()?;
        let mut templates: Vec<Option<Template>> = (0..shapes.len()).map(|_| None).collect();
        let mut values: Vec<Option<Values<'_>>> = (0..self.layout.columns.len()).map(|_| None).collect();
        for row in rows.iter_ones().take_while(|row| *row <= last) {
            let shape = shapes.of(row);
            if templates[shape].is_none() {
                templates[shape] = Some(self.template(shapes, shape)?);
                for &column in shapes.columns(shape) {
                    if values[column as usize].is_none() {
                        values[column as usize] = Some(self.values(column as usize)?);
                    }
                }
            }
        }
        let (timestamps, ids, severities) = (self.timestamps()?, self.ids()?, self.severities()?);
        let kinds = self.text_values(self.layout.kind, self.len())?;
        let sources = self.text_values(self.layout.source, self.len())?;
        let mut cursors = vec![0usize; self.layout.columns.len()];
        let mut events = Vec::with_capacity(rows.count_ones());
        for row in 0..=last {
            let shape = shapes.of(row);
            if let (true, Some(template)) = (rows.get(row), &templates[shape]) {
                let cells = Cells {
                    columns: &self.layout.columns,
                    values: &values,
                    cursors: &cursors,
                };
                events.push(Event {
                    id: ids[row],
                    kind: kinds.get(row).to_owned(),
                    source: sources.get(row).to_owned(),
                    timestamp: timestamps[row],
                    severity: Severity::from_ordinal(severities[row]).unwrap_or_default(),
                    data: template.data.render(&cells)?,
                    metadata: template.metadata.render(&cells)?,
                    correlation_id: cells.text(template.correlation_id),
                    session_id: cells.text(template.session_id),
                    user_id: cells.text(template.user_id),
                    tags: cells.tags(template.tags)?,
                });
            }
            for &column in shapes.columns(shape) {
                cursors[column as usize] += 1;
            }
        }
        Ok(events)
    }

    pub(super) fn template(&self, shapes: &Shapes, shape: usize) -> Result<Template, DecodeError> {
        let mut template = Template::default();
        let (mut data, mut metadata) = (Vec::new(), Vec::new());
        for &column in shapes.columns(shape) {
            let column = column as usize;
            let lineage = self.layout.lineage(self.layout.columns[column].node);
            match self.layout.nodes[lineage[0]].key.as_str() {
                "data" => data.push((column, lineage)),
                "metadata" => metadata.push((column, lineage)),
                "tags" => template.tags = Some(column),
                "correlation_id" => template.correlation_id = Some(column),
                "session_id" => template.session_id = Some(column),
                _ => template.user_id = Some(column),
            }
        }
        template.data = self.object_template(&data)?;
        template.metadata = self.object_template(&metadata)?;
        Ok(template)
    }

    /// Opens and closes objects as the paths of the leaves, in order, enter and leave them.
    fn object_template(&self, leaves: &[(usize, Vec<usize>)]) -> Result<ObjectTemplate, DecodeError> {
        let mut template = ObjectTemplate::default();
        let mut open: &[usize] = &[];
        let mut bytes = 0;
        for (index, (column, lineage)) in leaves.iter().enumerate() {
            let Some(((leaf, parents), true)) = lineage.split_last().map(|pair| (pair, lineage.len() > 1)) else {
                // A value that is the object itself, which leaves no room for others.
                if leaves.len() > 1 {
                    return Err(DecodeError::Malformed("shapes"));
                }
                template.parts.push((String::new(), *column));
                continue;
            };
            let common = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
            let mut text = "}".repeat(open.len() - common);
            for (depth, node) in parents.iter().enumerate().skip(common) {
                if depth == common && index > 0 {
                    text.push(',');
                }
                if depth > 0 {
                    push_key(&mut text, &self.layout.nodes[*node].key);
                }
                text.push('{');
            }
            if common == parents.len() {
                text.push(',');
            }
            push_key(&mut text, &self.layout.nodes[*leaf].key);
            bytes += text.len();
            if bytes > MAX_TEMPLATE {
                return Err(DecodeError::Malformed("shapes"));
            }
            template.parts.push((text, *column));
            open = parents;
        }
        template.tail = "}".repeat(open.len());
        Ok(template)
    }
}

fn push_key(out: &mut String, key: &str) {
    out.push_str(&serde_json::Value::from(key).to_string());
    out.push(':');
}

impl ObjectTemplate {
    fn render(&self, cells: &Cells<'_>) -> Result<Option<Box<RawValue>>, DecodeError> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let mut json = Vec::with_capacity(self.parts.len() * 32);
        for (text, column) in &self.parts {
            json.extend_from_slice(text.as_bytes());
            cells.write(*column, &mut json)?;
        }
        json.extend_from_slice(self.tail.as_bytes());
        let fail = DecodeError::Malformed("values");
        let Ok(json) = String::from_utf8(json) else {
            return Err(fail);
        };
        RawValue::from_string(json).map(Some).map_err(|_| fail)
    }
}

/// The values of the row at hand.
struct Cells<'a> {
    columns: &'a [Column],
    values: &'a [Option<Values<'a>>],
    cursors: &'a [usize],
}

impl Cells<'_> {
    fn text(&self, column: Option<usize>) -> Option<String> {
        let column = column?;
        match &self.values[column] {
            Some(Values::Text(texts)) => Some(texts.get(self.cursors[column]).to_owned()),
            _ => None,
        }
    }

    fn tags(&self, column: Option<usize>) -> Result<Vec<String>, DecodeError> {
        let Some(column) = column else { return Ok(Vec::new()) };
        let mut json = Vec::new();
        self.write(column, &mut json)?;
        serde_json::from_slice(&json).map_err(|_| DecodeError::Malformed("tags"))
    }

    /// Appends a value as JSON.
    fn write(&self, column: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let at = self.cursors[column];
        let written = match (self.columns[column].kind, &self.values[column]) {
            (ColumnKind::Null, _) => out.write_all(b"null").map_err(serde_json::Error::io),
            (ColumnKind::EmptyObject, _) => out.write_all(b"{}").map_err(serde_json::Error::io),
            (ColumnKind::EmptyArray, _) => out.write_all(b"[]").map_err(serde_json::Error::io),
            (_, Some(Values::Bits(bits))) => serde_json::to_writer(out, &bits.get(at)),
            (_, Some(Values::Ints(ints))) => serde_json::to_writer(out, &ints[at]),
            (_, Some(Values::Floats(floats))) => serde_json::to_writer(out, &floats[at]),
            (ColumnKind::Text, Some(Values::Text(texts))) => serde_json::to_writer(out, texts.get(at)),
            (_, Some(Values::Text(texts))) => out.write_all(texts.get(at).as_bytes()).map_err(serde_json::Error::io),
            _ => return Err(DecodeError::Malformed("column")),
        };
        written.map_err(|_| DecodeError::Malformed("column"))
    }
}
