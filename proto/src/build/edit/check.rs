//! What an edit may touch, and which values may stand where.

use super::{Assign, AssignValues, Edit, EditError, MAX_EDITS};
use crate::{
    batch::Dict,
    bitmap::Bitmap,
    event::{MAX_DEPTH, MAX_OBJECT, MAX_TEXT, MAX_TYPE, Severity},
    metric::PARTIALS,
    path::Path,
};

/// The longest keys of a path together.
const MAX_KEYS: usize = 4096;

pub(super) fn edit(edit: &Edit, rows: usize) -> Result<(), EditError> {
    for (what, count) in [("set", edit.set.len()), ("drop", edit.drop.len())] {
        if count > MAX_EDITS {
            return Err(EditError::TooMany { what, count });
        }
    }
    bits("keep", edit.keep.as_ref(), rows)?;
    for path in &edit.drop {
        droppable(path).map_err(|reason| EditError::Drop {
            path: path.clone(),
            reason,
        })?;
    }
    let keep = edit.keep.as_ref();
    edit.set.iter().try_for_each(|assign| values(assign, keep, rows))
}

fn bits(what: &str, bits: Option<&Bitmap>, rows: usize) -> Result<(), EditError> {
    match bits {
        Some(bits) if bits.len() != rows => Err(EditError::Rows {
            what: what.to_owned(),
            have: bits.len(),
            rows,
        }),
        _ => Ok(()),
    }
}

fn droppable(path: &Path) -> Result<(), &'static str> {
    match (path.root(), path.keys().is_empty()) {
        ("data" | "metadata", _) => fits(path),
        ("tags" | "correlation_id" | "session_id" | "user_id", true) => Ok(()),
        ("tags" | "correlation_id" | "session_id" | "user_id", false) => Err("nothing stands below it"),
        _ => Err("every event has one"),
    }
}

/// The longest text that may stand at a path.
fn settable(path: &Path) -> Result<usize, &'static str> {
    match (path.root(), path.keys().is_empty()) {
        ("data" | "metadata", false) => fits(path).map(|()| MAX_OBJECT),
        ("data" | "metadata", true) => Err("only the fields in it may, such as `data.name`"),
        ("id" | "source" | "timestamp", _) => Err("it says which event this is, where and when it arose"),
        ("tags", _) => Err("it is a list, which no column holds"),
        (_, false) => Err("nothing stands below it"),
        ("type", true) => Ok(MAX_TYPE),
        (_, true) => Ok(MAX_TEXT),
    }
}

fn fits(path: &Path) -> Result<(), &'static str> {
    let bytes: usize = path.keys().iter().map(String::len).sum();
    if path.segments().len() > MAX_DEPTH || bytes > MAX_KEYS {
        Err("its path is too deep or too long")
    } else {
        Ok(())
    }
}

fn values(assign: &Assign, keep: Option<&Bitmap>, rows: usize) -> Result<(), EditError> {
    let path = &assign.path;
    let refused = |reason| EditError::Set {
        path: path.clone(),
        reason,
    };
    let longest = settable(path).map_err(refused)?;
    bits(&path.to_string(), assign.present.as_ref(), rows)?;
    let have = match &assign.values {
        AssignValues::Bools(values) => values.len(),
        AssignValues::Ints(values) => values.len(),
        AssignValues::Floats(values) => values.len(),
        AssignValues::Texts(dict) => dict.ids.len(),
    };
    if have != rows {
        return Err(EditError::Rows {
            what: path.to_string(),
            have,
            rows,
        });
    }
    match &assign.values {
        AssignValues::Texts(dict) => texts(assign, dict, longest, keep),
        _ if matches!(path.root(), "data" | "metadata") => Ok(()),
        _ => Err(refused("it is a text")),
    }
}

fn texts(assign: &Assign, dict: &Dict, longest: usize, keep: Option<&Bitmap>) -> Result<(), EditError> {
    let wrong: Vec<Option<String>> = dict
        .values
        .iter()
        .map(|text| wrong(assign.path.root(), text, longest))
        .collect();
    let has = |bits: Option<&Bitmap>, row: usize| bits.is_none_or(|bits| bits.get(row));
    let (mut rows, mut first) = (Bitmap::new(dict.ids.len(), false), None);
    for (row, id) in dict.ids.iter().enumerate() {
        if *id == Dict::ABSENT || !has(assign.present.as_ref(), row) || !has(keep, row) {
            continue;
        }
        let reason = match wrong.get(*id as usize) {
            Some(None) => continue,
            Some(Some(reason)) => reason.clone(),
            None => format!("text {id} of {}", wrong.len()),
        };
        rows.set(row, true);
        first.get_or_insert((row, reason));
    }
    match first {
        None => Ok(()),
        Some((row, reason)) => Err(EditError::Value {
            path: assign.path.clone(),
            row,
            reason,
            rows,
        }),
    }
}

fn wrong(root: &str, text: &str, longest: usize) -> Option<String> {
    match root {
        _ if text.len() > longest => Some(format!("{} bytes; at most {longest} are allowed", text.len())),
        "type" if text.is_empty() => Some("it is empty".to_owned()),
        "type" if text == PARTIALS => Some(format!("`{PARTIALS}` is for agents alone")),
        "severity" => text.parse::<Severity>().err().map(|error| error.to_string()),
        _ => None,
    }
}
