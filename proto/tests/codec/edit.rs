//! An edit of columns does what the same edit of JSON rows does, and nothing else.

use crate::json::{Json, object};
use proptest::prelude::*;
use streamflow_proto::{
    batch::{Batch, Dict},
    bitmap::Bitmap,
    build::{Assign, AssignValues, BatchBuilder, Edit, EditError},
    event::{Event, Severity},
    frame::Frame,
    path::Path,
};

const ROWS: usize = 9;
static PATHS: [&str; 12] = [
    "data.a",
    "data.b",
    "data.c",
    "data.a.b",
    "data.a.a.c",
    "data.b.new",
    "data[\"a.b\"]",
    "data.new",
    "data.new.er",
    "metadata.a",
    "metadata.a.b",
    "metadata.new.er",
];

/// The values of a column, a row each.
#[derive(Clone, Debug)]
enum Column {
    Bools(Vec<Option<bool>>),
    Ints(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

fn rows<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<Option<T>>> {
    prop::collection::vec(prop::option::of(value), ROWS)
}

fn column() -> impl Strategy<Value = Column> {
    let texts =
        prop_oneof![4 => prop::sample::select(vec!["", "x", "y"]).prop_map(str::to_owned), 1 => any::<String>()];
    prop_oneof![
        rows(any::<bool>()).prop_map(Column::Bools),
        rows(any::<i64>()).prop_map(Column::Ints),
        rows(any::<f64>()).prop_map(Column::Floats),
        rows(texts).prop_map(Column::Texts),
    ]
}

fn assign() -> impl Strategy<Value = (&'static str, Column)> {
    let words = |words: &'static [&'static str]| rows(prop::sample::select(words).prop_map(str::to_owned));
    prop_oneof![
        8 => (prop::sample::select(&PATHS[..]), column()),
        1 => words(&["", "u"]).prop_map(|texts| ("user_id", Column::Texts(texts))),
        1 => words(&["log", "t"]).prop_map(|texts| ("type", Column::Texts(texts))),
        1 => words(&["low", "critical"]).prop_map(|texts| ("severity", Column::Texts(texts))),
    ]
}

fn dropped() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => prop::sample::select(&PATHS[..]),
        1 => prop::sample::select(vec!["data", "metadata", "tags", "user_id", "session_id"]),
    ]
}

impl Column {
    fn present(&self) -> Bitmap {
        let has = |row: usize| match self {
            Self::Bools(values) => values[row].is_some(),
            Self::Ints(values) => values[row].is_some(),
            Self::Floats(values) => values[row].is_some(),
            Self::Texts(values) => values[row].is_some(),
        };
        Bitmap::from_fn(ROWS, has)
    }

    fn values(&self) -> AssignValues {
        match self {
            Self::Bools(values) => AssignValues::Bools(values.iter().map(|value| value.unwrap_or_default()).collect()),
            Self::Ints(values) => AssignValues::Ints(values.iter().map(|value| value.unwrap_or_default()).collect()),
            Self::Floats(values) => {
                AssignValues::Floats(values.iter().map(|value| value.unwrap_or_default()).collect())
            }
            Self::Texts(values) => AssignValues::Texts(Dict {
                values: values.iter().flatten().cloned().collect(),
                // The ids of rows without a value are any.
                ids: values
                    .iter()
                    .scan(0, |next, value| {
                        let id = *next;
                        *next += u32::from(value.is_some());
                        Some(id)
                    })
                    .collect(),
            }),
        }
    }

    fn json(&self, row: usize) -> Option<serde_json::Value> {
        match self {
            Self::Bools(values) => values[row].map(Into::into),
            Self::Ints(values) => values[row].map(Into::into),
            Self::Floats(values) => values[row].map(Into::into),
            Self::Texts(values) => values[row].clone().map(Into::into),
        }
    }
}

/// An event as its parts.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: u128,
    at: i64,
    kind: String,
    severity: Severity,
    data: Option<Json>,
    metadata: Option<Json>,
    user_id: Option<String>,
    tags: Vec<String>,
}

impl Row {
    fn of(event: &Event) -> Self {
        Self {
            id: event.id.as_u128(),
            at: event.timestamp,
            kind: event.kind.clone(),
            severity: event.severity,
            data: event.data.as_ref().map(|json| Json::parse(json.get())),
            metadata: event.metadata.as_ref().map(|json| Json::parse(json.get())),
            user_id: event.user_id.clone(),
            tags: event.tags.clone(),
        }
    }

    fn drop(&mut self, path: &Path) {
        let object = match path.root() {
            "data" => &mut self.data,
            "metadata" => &mut self.metadata,
            "tags" => return self.tags.clear(),
            "user_id" => return self.user_id = None,
            _ => return,
        };
        match (path.keys(), object.as_mut()) {
            ([], _) => *object = None,
            (keys, Some(json)) => drop_below(json, keys),
            (_, None) => {}
        }
    }

    fn set(&mut self, path: &Path, value: &serde_json::Value) {
        let text = || value.as_str().unwrap().to_owned();
        let object = match path.root() {
            "data" => &mut self.data,
            "metadata" => &mut self.metadata,
            "type" => return self.kind = text(),
            "severity" => return self.severity = text().parse().unwrap(),
            _ => return self.user_id = Some(text()),
        };
        let object = object.get_or_insert_with(|| Json::Object(Vec::new()));
        set_below(object, path.keys(), Json::parse(&value.to_string()));
    }
}

fn drop_below(json: &mut Json, keys: &[String]) {
    let (Json::Object(members), Some((key, below))) = (json, keys.split_first()) else {
        return;
    };
    if below.is_empty() {
        members.retain(|(name, _)| name != key);
    } else if let Some((_, value)) = members.iter_mut().find(|(name, _)| name == key) {
        drop_below(value, below);
    }
}

fn set_below(json: &mut Json, keys: &[String], value: Json) {
    let Some((key, below)) = keys.split_first() else {
        *json = value;
        return;
    };
    if !matches!(json, Json::Object(_)) {
        *json = Json::Object(Vec::new());
    }
    let Json::Object(members) = json else { return };
    if !members.iter().any(|(name, _)| name == key) {
        members.push((key.clone(), Json::Null));
    }
    for (_, old) in members.iter_mut().filter(|(name, _)| name == key) {
        set_below(old, below, value.clone());
    }
}

fn events(batch: &Batch) -> Vec<Event> {
    batch.check().unwrap();
    batch.events(&Bitmap::new(batch.len(), true)).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn line(data: Option<&String>, metadata: Option<&String>, number: usize) -> String {
    let mut line = format!(r#"{{"type":"log","source":"s","timestamp":{number},"tags":["t"]"#);
    for (name, object) in [("data", data), ("metadata", metadata)] {
        if let Some(object) = object {
            line += &format!(r#","{name}":{object}"#);
        }
    }
    line += if number.is_multiple_of(2) {
        r#","user_id":"me"}"#
    } else {
        "}"
    };
    line
}

/// An event with so many keys that there is room for a few more columns, or for none.
fn wide(keys: usize) -> String {
    let members: Vec<String> = (0..keys).map(|key| format!(r#""k{key}":{key}"#)).collect();
    format!(r#"{{{}}}"#, members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn columns_are_edited_as_rows_are(
        objects in prop::collection::vec((prop::option::of(object()), prop::option::of(object())), ROWS - 1),
        keys in prop_oneof![2 => Just(0_usize), 1 => 225_usize..=240],
        drop in prop::collection::vec(dropped(), 0..4),
        set in prop::collection::vec(assign(), 0..5),
        keep in prop::option::of(prop::collection::vec(any::<bool>(), ROWS)),
    ) {
        let mut builder = BatchBuilder::new();
        let wide = wide(keys);
        builder.push_json(line(Some(&wide), None, 0).as_bytes(), 0).unwrap();
        for (number, (data, metadata)) in (1..).zip(&objects) {
            builder.push_json(line(data.as_ref(), metadata.as_ref(), number).as_bytes(), 0).unwrap();
        }
        let before = events(&builder.view().unwrap());
        let edit = Edit {
            drop: drop.iter().map(|text| path(text)).collect(),
            set: set.iter().map(|(text, column)| Assign { path: path(text), values: column.values(), present: Some(column.present()) }).collect(),
            keep: keep.as_ref().map(|keep| Bitmap::from_fn(ROWS, |row| keep[row])),
        };
        let want = before.iter().enumerate().filter(|(row, _)| keep.as_ref().is_none_or(|keep| keep[*row])).map(|(row, event)| {
            let mut want = Row::of(event);
            edit.drop.iter().for_each(|path| want.drop(path));
            for (text, column) in &set {
                if let Some(value) = column.json(row) {
                    want.set(&path(text), &value);
                }
            }
            want
        });
        let want: Vec<Row> = want.collect();
        builder.apply(&edit).unwrap();
        prop_assert_eq!(builder.len(), want.len());
        let bytes = builder.approx_bytes();
        let frame = builder.finish(3);
        prop_assert!(frame.header().raw_len as usize <= bytes + 1024, "{} of {bytes}", frame.header().raw_len);
        let batch = Frame::parse(frame.bytes().clone()).unwrap().decode().unwrap();
        let got: Vec<Row> = events(&batch).iter().map(Row::of).collect();
        prop_assert_eq!(got, want);
        // The builder goes on as if nothing had been.
        builder.push_event(&before[1]).unwrap();
        let again = events(&builder.finish(4).decode().unwrap());
        prop_assert_eq!(Row::of(&again[0]), Row::of(&before[1]));
    }
}

fn refused(edit: &Edit) -> EditError {
    let mut builder = BatchBuilder::new();
    let text = line(Some(&r#"{"a":1}"#.to_owned()), None, 0);
    builder.push_json(text.as_bytes(), 0).unwrap();
    let before = Row::of(&events(&builder.view().unwrap())[0]);
    let error = builder.apply(edit).unwrap_err();
    assert_eq!(Row::of(&events(&builder.view().unwrap())[0]), before);
    error
}

fn one(text: &str, values: AssignValues) -> Edit {
    let path = path(text);
    Edit {
        set: vec![Assign {
            path,
            values,
            present: None,
        }],
        ..Edit::default()
    }
}

fn texts(text: &str) -> AssignValues {
    AssignValues::Texts(Dict {
        values: vec![text.to_owned()],
        ids: vec![0],
    })
}

#[test]
fn what_an_edit_may_not_touch_is_named() {
    for (attribute, part) in [
        ("id", "which event this is"),
        ("source", "which event this is"),
        ("timestamp", "which event this is"),
        ("tags", "list"),
        ("data", "only the fields in it"),
        ("user_id.x", "nothing stands below"),
    ] {
        let error = refused(&one(attribute, texts("x"))).to_string();
        assert!(
            error.contains(part) && error.contains(&format!("`{attribute}`")),
            "{error}"
        );
    }
    for attribute in ["id", "type", "source", "timestamp", "severity", "tags.x"] {
        let drop = vec![path(attribute)];
        let edit = Edit {
            drop,
            ..Edit::default()
        };
        assert!(matches!(refused(&edit), EditError::Drop { .. }), "{attribute}");
    }
}

#[test]
fn values_that_may_not_stand_there_are_not_repeated() {
    for (attribute, text) in [
        ("type", String::new()),
        ("type", "streamflow.partials".to_owned()),
        ("type", "secret".repeat(50)),
        ("severity", "secret".to_owned()),
        ("user_id", "secret".repeat(50)),
        ("data.a", "secret".repeat(20_000)),
    ] {
        let error = refused(&one(attribute, texts(&text)));
        assert!(matches!(error, EditError::Value { row: 0, .. }), "{attribute}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = refused(&one("user_id", AssignValues::Ints(vec![1])));
    assert!(error.to_string().contains("it is a text"), "{error}");
    let error = refused(&one("data.a", AssignValues::Ints(vec![1, 2])));
    assert!(matches!(error, EditError::Rows { have: 2, rows: 1, .. }), "{error}");
    let outside = AssignValues::Texts(Dict {
        values: vec!["x".to_owned()],
        ids: vec![1],
    });
    assert!(matches!(refused(&one("data.a", outside)), EditError::Value { .. }));
    let many = Edit {
        set: vec![one("data.a", AssignValues::Ints(vec![1])).set[0].clone(); 65],
        ..Edit::default()
    };
    assert!(matches!(refused(&many), EditError::TooMany { count: 65, .. }));
}

#[test]
fn a_value_that_may_not_stand_in_a_row_costs_that_row_alone() {
    let mut builder = BatchBuilder::new();
    for n in 0..4 {
        let text = line(Some(&format!(r#"{{"n":{n}}}"#)), None, 0);
        builder.push_json(text.as_bytes(), 0).unwrap();
    }
    let set = |path_text: &str, ids: [u32; 4]| Assign {
        path: path(path_text),
        values: AssignValues::Texts(Dict {
            values: vec!["fine".to_owned(), "secret".repeat(20_000)],
            ids: ids.to_vec(),
        }),
        present: None,
    };
    let edit = Edit {
        set: vec![set("data.a", [0, 1, 0, 0]), set("user_id", [0, 1, 1, 0])],
        keep: Some(Bitmap::from_fn(4, |row| row != 3)),
        ..Edit::default()
    };
    let error = builder.apply(&edit).unwrap_err();
    assert!(matches!(error, EditError::Value { row: 1, .. }), "{error}");
    let given_up = builder.apply_where_it_fits(edit).unwrap().unwrap();
    assert_eq!((given_up.rows, given_up.why), (2, error));
    let left = events(&builder.view().unwrap());
    let data: Vec<&str> = left.iter().map(|event| event.data.as_ref().unwrap().get()).collect();
    assert_eq!(data, [r#"{"n":0,"a":"fine"}"#]);
    // Nothing is looked at in a row that goes.
    let edit = Edit {
        keep: Some(Bitmap::new(1, false)),
        ..one("data.a", texts(&"secret".repeat(20_000)))
    };
    builder.apply(&edit).unwrap();
    assert!(builder.is_empty());
}
