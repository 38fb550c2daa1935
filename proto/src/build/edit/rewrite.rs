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
use foldhash::fast::{FixedState, RandomState};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The longest object as JSON text that a reader of frames takes.
const MAX_JSON: usize = 8 * MAX_OBJECT;

/// The object of `data` and of `metadata`, for rows that are edited as JSON.
type Objects = BTreeMap<usize, [Option<String>; 2]>;

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
        .flat_map(|assign| split(assign, builder.len()))
        .collect();
    let (mut plans, of_rows) = plan(builder, &edit.drop, &writes);
    let objects = objects(builder, &edit.drop, &writes, &plans, &of_rows)?;
    let mut parts = build(builder, &writes, &mut plans, &of_rows, &objects);
    for assign in fixed {
        if let AssignValues::Texts(dict) = &assign.values {
            parts.fixed(builder, assign, dict);
        }
    }
    parts.exchange(builder);
    let bytes = builder.bound();
    if bytes > MAX_PAYLOAD {
        parts.exchange(builder);
        let max = MAX_PAYLOAD;
        return Err(EditError::TooLarge { bytes, max });
    }
    builder.store.bytes = bytes;
    builder.store.count_live();
    Ok(())
}

/// Numbers that are not finite are written as `null`, which is a kind of its own.
fn split(assign: &Assign, rows: usize) -> Vec<Write<'_>> {
    let present = |row: usize| assign.present.as_ref().is_none_or(|present| present.get(row));
    let of = |kind, test: &dyn Fn(usize) -> bool| Write {
        assign,
        kind,
        rows: Bitmap::from_fn(rows, |row| present(row) && test(row)),
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
    drops: &[Path],
    writes: &[Write<'_>],
    plans: &[Plan],
    of_rows: &[u32],
) -> Result<Objects, EditError> {
    let mut found = Objects::new();
    let as_json = |plan: &Plan| plan.leaves.iter().any(|leaf| matches!(leaf.origin, Origin::Json(_)));
    let as_json: Vec<bool> = plans.iter().map(as_json).collect();
    let rows = Bitmap::from_fn(of_rows.len(), |row| as_json[of_rows[row] as usize]);
    if rows.is_empty() {
        return Ok(found);
    }
    let events = builder.view()?.events(&rows)?;
    for (row, event) in rows.iter_ones().zip(events) {
        let mut edited = [None, None];
        for leaf in &plans[of_rows[row] as usize].leaves {
            let Origin::Json(root) = leaf.origin else { continue };
            let (name, before) = match root {
                0 => ("data", &event.data),
                _ => ("metadata", &event.metadata),
            };
            let before = before.as_ref().map_or("{}", |json| json.get());
            let object = object(before, name, row, drops, writes).map_err(|reason| EditError::Value {
                path: Path::from_segments(vec![name.to_owned()]),
                row,
                reason,
            })?;
            edited[root] = Some(object);
        }
        found.insert(row, edited);
    }
    Ok(found)
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

/// Writes the columns that change anew.
fn build(
    builder: &BatchBuilder,
    writes: &[Write<'_>],
    plans: &mut [Plan],
    of_rows: &[u32],
    objects: &Objects,
) -> Parts {
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
    for (row, plan) in of_rows.iter().enumerate() {
        let plan = &mut plans[*plan as usize];
        for leaf in &plan.leaves {
            let column = leaf.column as usize;
            let Some(new) = &mut fresh[column] else { continue };
            new.present += 1;
            match leaf.origin {
                Origin::Kept => copy(
                    &store.columns[column].values,
                    cursors[column],
                    &mut new.values,
                    &store.state,
                ),
                Origin::Written(index) => writes[index].put(row, &mut new.values, &store.state),
                Origin::Empty => {}
                Origin::Json(root) => {
                    let object = objects.get(&row).and_then(|objects| objects[root].as_deref());
                    if let Values::Text(values) = &mut new.values {
                        values.push(object.unwrap_or("{}"), &store.state);
                    }
                }
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
    parts
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

fn copy(old: &Values, at: usize, new: &mut Values, state: &FixedState) {
    match (old, new) {
        (Values::Bools(old), Values::Bools(new)) => new.push(old[at]),
        (Values::Ints(old), Values::Ints(new)) => new.push(old[at]),
        (Values::Floats(old), Values::Floats(new)) => new.push(old[at]),
        (Values::Text(old), Values::Text(new)) => {
            new.push(old.get(at), state);
        }
        _ => {}
    }
}

impl Write<'_> {
    fn put(&self, row: usize, new: &mut Values, state: &FixedState) {
        match (&self.assign.values, new) {
            (AssignValues::Bools(values), Values::Bools(new)) => new.push(values[row]),
            (AssignValues::Ints(values), Values::Ints(new)) => new.push(values[row]),
            (AssignValues::Floats(values), Values::Floats(new)) => new.push(values[row]),
            (AssignValues::Texts(dict), Values::Text(new)) => {
                new.push(dict.get(row).unwrap_or_default(), state);
            }
            _ => {}
        }
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
}
