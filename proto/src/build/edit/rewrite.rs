//! Carries an edit out: columns that gain or lose values are written anew, all others are not even looked at.

use super::super::{
    BatchBuilder,
    shapes::ShapeTable,
    store::{Column, Values},
    text::TextColumn,
};
use super::{
    Assign, AssignValues, Edit, EditError,
    json::edited,
    plan::{Leaf, Origin, Planner, Target, place},
};
use crate::{
    batch::{ColumnKind, Dict},
    bitmap::Bitmap,
    event::{MAX_OBJECT, Severity},
    frame::MAX_PAYLOAD,
    path::Path,
};
use foldhash::fast::RandomState;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

/// The longest object as JSON text that a reader of frames takes.
const MAX_JSON: usize = 8 * MAX_OBJECT;

/// Rows that are edited as JSON at a time: as JSON each has its own copy of the texts that it shares with others.
const AT_ONCE: usize = 256;

/// The object of `data` and of `metadata`, for rows that are edited as JSON. Equal ones are there once.
type Objects = BTreeMap<usize, [Option<Rc<str>>; 2]>;

/// Values of one kind for some rows of one attribute.
struct Write<'a> {
    assign: &'a Assign,
    kind: ColumnKind,
    rows: Bitmap,
}

/// What rows alike become.
struct Plan {
    shape: u32,
    leaves: Vec<Leaf>,
    /// The number of its column list among the new ones.
    number: Option<u32>,
}

/// The parts of a batch that an edit changes.
struct Parts {
    columns: Vec<(usize, Column)>,
    table: ShapeTable,
    rows: Vec<u32>,
    kinds: Option<TextColumn>,
    severities: Option<Vec<u8>>,
}

pub(super) fn rewrite(builder: &mut BatchBuilder, edit: &Edit) -> Result<(), EditError> {
    let (fixed, attributes): (Vec<&Assign>, Vec<&Assign>) = edit
        .set
        .iter()
        .partition(|assign| matches!(assign.path.root(), "type" | "severity"));
    let writes: Vec<Write<'_>> = attributes
        .into_iter()
        .flat_map(|assign| split(assign, edit.keep.as_ref(), builder.len()))
        .collect();
    let (mut plans, of_rows) = plan(builder, &edit.drop, &writes);
    let objects = objects(builder, edit, &writes, &plans, &of_rows)?;
    let mut parts = build(builder, &writes, &mut plans, &of_rows, &objects)?;
    for assign in fixed {
        if let AssignValues::Texts(dict) = &assign.values {
            parts.fixed(builder, assign, dict);
        }
    }
    parts.exchange(builder);
    let bytes = builder.bound();
    if bytes > MAX_PAYLOAD {
        parts.exchange(builder);
        return Err(too_large(bytes));
    }
    builder.store.bytes = bytes;
    builder.store.count_live();
    Ok(())
}

const fn too_large(bytes: usize) -> EditError {
    let max = MAX_PAYLOAD;
    EditError::TooLarge { bytes, max }
}

/// Numbers that are not finite are written as `null`, which is a kind of its own. Rows that go are not written.
fn split<'a>(assign: &'a Assign, keep: Option<&Bitmap>, rows: usize) -> Vec<Write<'a>> {
    let has = |bits: Option<&Bitmap>, row: usize| bits.is_none_or(|bits| bits.get(row));
    let present = assign.present.as_ref();
    let of = |kind, test: &dyn Fn(usize) -> bool| Write {
        assign,
        kind,
        rows: Bitmap::from_fn(rows, |row| has(present, row) && has(keep, row) && test(row)),
    };
    let writes = match &assign.values {
        AssignValues::Bools(_) => vec![of(ColumnKind::Bool, &|_| true)],
        AssignValues::Ints(_) => vec![of(ColumnKind::Int, &|_| true)],
        AssignValues::Floats(values) => vec![
            of(ColumnKind::Float, &|row: usize| values[row].is_finite()),
            of(ColumnKind::Null, &|row: usize| !values[row].is_finite()),
        ],
        AssignValues::Texts(dict) => vec![of(ColumnKind::Text, &|row: usize| dict.ids[row] != Dict::ABSENT)],
    };
    writes.into_iter().filter(|write| !write.rows.is_empty()).collect()
}

/// The plans, and which of them each row has.
fn plan(builder: &mut BatchBuilder, drops: &[Path], writes: &[Write<'_>]) -> (Vec<Plan>, Vec<u32>) {
    let mut masks = vec![0_u128; builder.len()];
    for (index, write) in writes.iter().enumerate() {
        write.rows.iter_ones().for_each(|row| masks[row] |= 1 << index);
    }
    let shapes = std::mem::take(&mut builder.store.shapes);
    let store = &mut builder.store;
    let drops = drops.iter().map(|path| place(store, path)).collect();
    let targets = writes.iter().map(|write| Target {
        place: place(store, &write.assign.path),
        kind: write.kind,
    });
    let targets = targets.collect();
    let mut planner = Planner::new(store, drops, targets);
    let (mut plans, mut known) = (Vec::new(), HashMap::<(u32, u128), u32, RandomState>::default());
    let mut find = |(shape, mask): (&u32, u128)| {
        *known.entry((*shape, mask)).or_insert_with(|| {
            plans.push(Plan {
                shape: *shape,
                leaves: planner.plan(shapes.get(*shape as usize), mask),
                number: None,
            });
            plans.len() as u32 - 1
        })
    };
    let of_rows = builder.shapes.iter().zip(masks).map(&mut find).collect();
    builder.store.shapes = shapes;
    (plans, of_rows)
}

/// The edited objects of the rows that are edited as JSON.
fn objects(
    builder: &BatchBuilder,
    edit: &Edit,
    writes: &[Write<'_>],
    plans: &[Plan],
    of_rows: &[u32],
) -> Result<Objects, EditError> {
    let mut found = Objects::new();
    let as_json = |plan: &Plan| plan.leaves.iter().any(|leaf| matches!(leaf.origin, Origin::Json(_)));
    let as_json: Vec<bool> = plans.iter().map(as_json).collect();
    let stays = |row: usize| edit.keep.as_ref().is_none_or(|keep| keep.get(row));
    let rows = (0..of_rows.len()).filter(|row| as_json[of_rows[*row] as usize] && stays(*row));
    let rows: Vec<usize> = rows.collect();
    if rows.is_empty() {
        return Ok(found);
    }
    let view = builder.view()?;
    let (mut texts, mut bytes) = (HashSet::<Rc<str>, RandomState>::default(), 0);
    let (mut wrong, mut first) = (Bitmap::new(of_rows.len(), false), None);
    for rows in rows.chunks(AT_ONCE) {
        let mut these = Bitmap::new(of_rows.len(), false);
        rows.iter().for_each(|row| these.set(*row, true));
        for (row, event) in rows.iter().copied().zip(view.events(&these)?) {
            let mut edited = [None, None];
            for leaf in &plans[of_rows[row] as usize].leaves {
                let Origin::Json(root) = leaf.origin else { continue };
                let (name, before) = match root {
                    0 => ("data", &event.data),
                    _ => ("metadata", &event.metadata),
                };
                let before = before.as_ref().map_or("{}", |json| json.get());
                match object(before, name, row, &edit.drop, writes) {
                    Ok(object) => {
                        let known = texts.get(object.as_str()).cloned();
                        edited[root] = Some(known.unwrap_or_else(|| {
                            let object = Rc::<str>::from(object);
                            bytes += object.len();
                            texts.insert(Rc::clone(&object));
                            object
                        }));
                    }
                    Err(reason) => {
                        wrong.set(row, true);
                        first.get_or_insert((name, row, reason));
                    }
                }
            }
            // So many are too many whatever else there is: the rest need not be in memory for it.
            if bytes > MAX_PAYLOAD {
                return Err(too_large(bytes));
            }
            found.insert(row, edited);
        }
    }
    match first {
        None => Ok(found),
        Some((name, row, reason)) => Err(EditError::Value {
            path: Path::from_segments(vec![name.to_owned()]),
            row,
            reason,
            rows: wrong,
        }),
    }
}

fn object(before: &str, root: &str, row: usize, drops: &[Path], writes: &[Write<'_>]) -> Result<String, String> {
    let mut object = before.to_owned();
    for path in drops.iter().filter(|path| path.root() == root) {
        object = match path.keys() {
            [] => "{}".to_owned(),
            keys => edited(&object, keys, None).map_err(|error| error.to_string())?,
        };
    }
    for write in writes
        .iter()
        .filter(|write| write.assign.path.root() == root && write.rows.get(row))
    {
        let value = write.json(row).to_string();
        object = edited(&object, write.assign.path.keys(), Some(&value)).map_err(|error| error.to_string())?;
    }
    if object.len() > MAX_JSON {
        return Err(format!(
            "{} bytes as JSON; at most {MAX_JSON} are allowed",
            object.len()
        ));
    }
    Ok(object)
}

/// Writes the columns that change anew, as long as they may fit a frame: a text that many rows share can become many texts.
fn build(
    builder: &BatchBuilder,
    writes: &[Write<'_>],
    plans: &mut [Plan],
    of_rows: &[u32],
    objects: &Objects,
) -> Result<Parts, EditError> {
    let store = &builder.store;
    let mut fresh: Vec<Option<Column>> = store.columns.iter().map(|_| None).collect();
    for plan in &*plans {
        let kept = |column: &u32| {
            let is_it = |leaf: &&Leaf| leaf.column == *column;
            plan.leaves
                .iter()
                .find(is_it)
                .is_some_and(|leaf| leaf.origin == Origin::Kept)
        };
        let lost = store
            .shapes
            .get(plan.shape as usize)
            .iter()
            .filter(|column| !kept(column));
        let gained = plan.leaves.iter().filter(|leaf| leaf.origin != Origin::Kept);
        for column in lost.copied().chain(gained.map(|leaf| leaf.column)) {
            let column = column as usize;
            fresh[column].get_or_insert_with(|| store.columns[column].emptied());
        }
    }
    let mut parts = Parts {
        columns: Vec::new(),
        table: ShapeTable::default(),
        rows: Vec::with_capacity(of_rows.len()),
        kinds: None,
        severities: None,
    };
    let mut cursors = vec![0_usize; store.columns.len()];
    // Never more than the bound of these columns, which is what a batch is measured by.
    let mut bytes = 0;
    for (row, plan) in of_rows.iter().enumerate() {
        let plan = &mut plans[*plan as usize];
        for leaf in &plan.leaves {
            let column = leaf.column as usize;
            let Some(new) = &mut fresh[column] else { continue };
            new.present += 1;
            bytes += match leaf.origin {
                Origin::Kept => copy(
                    &store.columns[column].values,
                    cursors[column],
                    &mut new.values,
                    &store.state,
                ),
                Origin::Written(index) => writes[index].put(row, &mut new.values, &store.state),
                Origin::Empty => 0,
                Origin::Json(root) => {
                    let object = objects.get(&row).and_then(|objects| objects[root].as_deref());
                    match &mut new.values {
                        Values::Text(values) => values.push(object.unwrap_or("{}"), &store.state),
                        _ => 0,
                    }
                }
            };
            if bytes > MAX_PAYLOAD {
                return Err(too_large(bytes));
            }
        }
        for column in store.shapes.get(plan.shape as usize) {
            cursors[*column as usize] += 1;
        }
        let table = &mut parts.table;
        let number = *plan.number.get_or_insert_with(|| {
            let columns: Vec<u32> = plan.leaves.iter().map(|leaf| leaf.column).collect();
            table.intern(&columns, &store.state)
        });
        parts.rows.push(number);
    }
    let fresh = fresh.into_iter().enumerate();
    parts.columns = fresh.filter_map(|(index, column)| Some((index, column?))).collect();
    Ok(parts)
}

impl Column {
    fn emptied(&self) -> Self {
        Self {
            node: self.node,
            kind: self.kind,
            present: 0,
            values: match &self.values {
                Values::Flag => Values::Flag,
                Values::Bools(_) => Values::Bools(Vec::new()),
                Values::Ints(_) => Values::Ints(Vec::new()),
                Values::Floats(_) => Values::Floats(Vec::new()),
                Values::Text(_) => Values::Text(TextColumn::default()),
            },
        }
    }
}

/// Says how many bytes of text there are more.
fn copy(old: &Values, at: usize, new: &mut Values, state: &RandomState) -> usize {
    match (old, new) {
        (Values::Bools(old), Values::Bools(new)) => new.push(old[at]),
        (Values::Ints(old), Values::Ints(new)) => new.push(old[at]),
        (Values::Floats(old), Values::Floats(new)) => new.push(old[at]),
        (Values::Text(old), Values::Text(new)) => return new.push(old.get(at), state),
        _ => {}
    }
    0
}

impl Write<'_> {
    /// Says how many bytes of text there are more.
    fn put(&self, row: usize, new: &mut Values, state: &RandomState) -> usize {
        match (&self.assign.values, new) {
            (AssignValues::Bools(values), Values::Bools(new)) => new.push(values[row]),
            (AssignValues::Ints(values), Values::Ints(new)) => new.push(values[row]),
            (AssignValues::Floats(values), Values::Floats(new)) => new.push(values[row]),
            (AssignValues::Texts(dict), Values::Text(new)) => {
                return new.push(dict.get(row).unwrap_or_default(), state);
            }
            _ => {}
        }
        0
    }

    fn json(&self, row: usize) -> Value {
        match &self.assign.values {
            AssignValues::Bools(values) => values[row].into(),
            AssignValues::Ints(values) => values[row].into(),
            AssignValues::Floats(values) => values[row].into(),
            AssignValues::Texts(dict) => dict.get(row).into(),
        }
    }
}

impl Parts {
    /// Writes `type` or `severity`, which every row has in a column of its own.
    fn fixed(&mut self, builder: &BatchBuilder, assign: &Assign, dict: &Dict) {
        let written = |row: usize| {
            let present = assign.present.as_ref().is_none_or(|present| present.get(row));
            dict.get(row).filter(|_| present)
        };
        if assign.path.root() == "severity" {
            let severities = self.severities.get_or_insert_with(|| builder.severities.clone());
            for (row, severity) in severities.iter_mut().enumerate() {
                if let Some(Ok(new)) = written(row).map(str::parse::<Severity>) {
                    *severity = new as u8;
                }
            }
            return;
        }
        let mut kinds = TextColumn::default();
        let before = self.kinds.as_ref().unwrap_or(&builder.kinds);
        for row in 0..builder.len() {
            kinds.push(written(row).unwrap_or_else(|| before.get(row)), &builder.store.state);
        }
        self.kinds = Some(kinds);
    }

    /// Gives the batch these parts and takes those that it had.
    fn exchange(&mut self, builder: &mut BatchBuilder) {
        for (index, column) in &mut self.columns {
            std::mem::swap(column, &mut builder.store.columns[*index]);
        }
        std::mem::swap(&mut self.table, &mut builder.store.shapes);
        std::mem::swap(&mut self.rows, &mut builder.shapes);
        if let Some(kinds) = &mut self.kinds {
            std::mem::swap(kinds, &mut builder.kinds);
        }
        if let Some(severities) = &mut self.severities {
            std::mem::swap(severities, &mut builder.severities);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(lines: &[&str]) -> BatchBuilder {
        let mut builder = BatchBuilder::new();
        for line in lines {
            builder.push_json(line.as_bytes(), 0).unwrap();
        }
        builder
    }

    #[test]
    fn a_batch_that_became_too_large_is_as_it_was() {
        let mut builder = builder(&[r#"{"type":"t","source":"s","data":{"a":1}}"#; 100]);
        let bytes = builder.approx_bytes();
        let values = (0..100).map(|row| format!("{row}{}", "x".repeat(60_000))).collect();
        let edit = Edit {
            set: vec![Assign {
                path: Path::parse("data.a").unwrap(),
                values: AssignValues::Texts(Dict {
                    values,
                    ids: (0..100).collect(),
                }),
                present: None,
            }],
            ..Edit::default()
        };
        assert!(matches!(builder.apply(&edit), Err(EditError::TooLarge { .. })));
        assert_eq!(builder.approx_bytes(), bytes);
        let batch = builder.finish(0).decode().unwrap();
        batch.check().unwrap();
        assert_eq!(batch.event(99).unwrap().data.unwrap().get(), r#"{"a":1}"#);
    }

    #[test]
    fn a_batch_that_becomes_far_too_large_is_not_built_to_its_end() {
        // The first rows make a column without a dictionary.
        let line = r#"{"type":"t","source":"s","data":{"a":1}}"#;
        let mut builder = builder(&[line; 1000]);
        let mut values: Vec<String> = (0..1000).map(|row| row.to_string()).collect();
        values.push("x".repeat(60_000));
        let ids = (0..1000).map(|row| if row < 100 { row } else { 1000 }).collect();
        let texts = |path: &str, values: &[String], ids: Vec<u32>| Assign {
            path: Path::parse(path).unwrap(),
            values: AssignValues::Texts(Dict {
                values: values.to_vec(),
                ids,
            }),
            present: None,
        };
        let edit = Edit {
            set: vec![
                texts("data.a", &values, ids),
                texts("data.b", &values, (0..1000).collect()),
            ],
            ..Edit::default()
        };
        match builder.apply(&edit) {
            Err(EditError::TooLarge { bytes, .. }) => assert!(bytes < 2 * MAX_PAYLOAD, "{bytes}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(builder.finish(0).decode().unwrap().len(), 1000);
    }
}
