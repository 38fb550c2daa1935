//! The same rules without a sandbox.

use std::{collections::HashMap, rc::Rc};

use serde_json::{Value, json};
use streamflow_proto::{
    batch::{Batch, Dict, Numbers},
    filter::Columns,
    path::Path,
};
use streamflow_sdk::{
    Alert, Events,
    bindings::channel::streamflow::plugin::types::{Batch as Shown, TextColumn},
    glue,
};

use crate::{MANY, THRESHOLD, burst::Burst, count};

/// The counting rule on the hub's own columns.
pub struct Count {
    numbers: Rc<Numbers>,
    sources: Rc<Dict>,
    counts: count::Counts,
}

impl Count {
    pub fn new(batch: &Batch) -> Self {
        let mut columns = Columns::new(batch);
        Self {
            numbers: columns.numbers(&Path::parse("data.value").unwrap()).unwrap().unwrap(),
            sources: columns.labels(&Path::parse("source").unwrap()).unwrap().unwrap(),
            counts: count::Counts::default(),
        }
    }

    pub fn run(&mut self) -> Vec<(String, usize)> {
        let Self {
            numbers,
            sources,
            counts,
        } = self;
        let values = numbers.values.iter().copied().enumerate();
        let columns = count::Columns {
            sources: sources.values.as_slice(),
            source: |row: usize| sources.ids[row] as usize,
            values: values.filter(|(row, _)| numbers.present.get(*row)),
        };
        count::count(columns, THRESHOLD, MANY, counts)
    }
}

/// The counting rule on events as objects.
pub fn count_objects(events: &[Value], counts: &mut HashMap<String, u64>) -> Vec<(String, usize)> {
    let mut reached = Vec::new();
    for (row, event) in events.iter().enumerate() {
        let value = event
            .get("data")
            .and_then(|data| data.get("value"))
            .and_then(Value::as_f64);
        let Some(source) = event.get("source").and_then(Value::as_str) else {
            continue;
        };
        if value.is_some_and(|value| value > THRESHOLD) {
            let count = match counts.get_mut(source) {
                Some(count) => count,
                None => counts.entry(source.to_owned()).or_default(),
            };
            *count += 1;
            if *count == MANY {
                reached.push((source.to_owned(), row));
            }
        }
    }
    reached
}

/// The shipped rule, with the SDK compiled natively too.
pub struct Bursts {
    slot: glue::Slot<Burst>,
    events: Events,
}

impl Bursts {
    pub fn new(events: &[Value], config: &Value) -> Self {
        let slot = glue::empty::<Burst>();
        glue::init(&slot, &config.to_string(), None).unwrap();
        let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
        Self {
            slot,
            events: Events::new(Shown {
                count: u32::try_from(events.len()).unwrap(),
                time: events
                    .iter()
                    .map(|event| event["timestamp"].as_i64().unwrap() * 1_000_000)
                    .collect(),
                severity: events
                    .iter()
                    .map(|event| if event["severity"] == json!("high") { 2 } else { 0 })
                    .collect(),
                kind: texts(events.iter().map(|event| text(event, "type"))),
                source: texts(events.iter().map(|event| text(event, "source"))),
                columns: Vec::new(),
            }),
        }
    }

    pub fn run(&self) -> Vec<Alert> {
        glue::show(&self.slot, &self.events).unwrap()
    }
}

fn texts(values: impl Iterator<Item = String>) -> TextColumn {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let (mut texts, mut ends, mut index) = (String::new(), Vec::new(), Vec::new());
    for value in values {
        let number = *numbers.entry(value).or_insert_with_key(|value| {
            texts.push_str(value);
            ends.push(u32::try_from(texts.len()).unwrap());
            u32::try_from(ends.len() - 1).unwrap()
        });
        index.push(number);
    }
    TextColumn { texts, ends, index }
}
