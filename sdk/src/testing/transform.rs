//! A transform under test: events in, events out.

use serde_json::{Map, Value, json};

use super::events::{Event, Field, Input, Manifest, keys};
use crate::{
    Severity, Transform,
    bindings::channel::streamflow::plugin::types::{Column, ColumnData},
    events::dict,
    transform::bit,
    transform_glue::Answer,
};

/// What may be set as a whole, and not only below it.
const TEXTS: [&str; 4] = ["type", "correlation_id", "session_id", "user_id"];
/// What may be removed as a whole.
const REMOVABLE: [&str; 6] = ["data", "metadata", "tags", "correlation_id", "session_id", "user_id"];

/// A transform that is shown events as an agent would show them, only the fields that the manifest names, and whose answer is applied as an agent would.
///
/// ```
/// # use streamflow_sdk::{Events, Output, Transform};
/// # struct Loud;
/// # impl Transform for Loud {
/// #     type Config = serde_json::Value;
/// #     fn init(_: serde_json::Value) -> Result<Self, String> { Ok(Self) }
/// #     fn apply(&mut self, events: &Events) -> Result<Output, String> {
/// #         let words = events.texts("data.word")?;
/// #         let mut output = Output::unchanged(events);
/// #         output.set_texts_by("data.loud", &words, |number| words.dict().get(number).map(str::to_uppercase));
/// #         Ok(output)
/// #     }
/// # }
/// use serde_json::json;
/// use streamflow_sdk::testing::{TransformTest, event};
/// # let manifest = "[input]\nfields = [{ path = \"data.word\", type = \"text\" }]";
/// let mut loud = TransformTest::<Loud>::start(manifest, &json!({})).unwrap();
/// let events = loud.apply(&[event("said", "me").data(json!({"word": "hey"}))]).unwrap();
/// assert_eq!(events[0].get("data"), Some(&json!({"word": "hey", "loud": "HEY"})));
/// ```
#[derive(Debug)]
pub struct TransformTest<T: Transform> {
    transform: T,
    input: Input,
}

impl<T: Transform> TransformTest<T> {
    /// Makes the transform as an agent would. `manifest` is the text of `plugin.toml`.
    ///
    /// # Errors
    /// What would be shown to the person who wrote the configuration.
    pub fn start(manifest: &str, config: &Value) -> Result<Self, String> {
        let typed = serde_json::from_value(config.clone()).map_err(|error| format!("configuration: {error}"))?;
        let mut input = Manifest::read(manifest)?.input;
        input.fields = chosen(input.fields, config)?;
        Ok(Self {
            transform: T::init(typed)?,
            input,
        })
    }

    /// Shows events in one call and answers those that are left of them, in their order, as they are now.
    ///
    /// # Errors
    /// The transform's own, what it reads although the manifest does not name it, or why an agent would not take the answer.
    pub fn apply(&mut self, events: &[Event]) -> Result<Vec<Event>, String> {
        let shown = self.input.batch(events)?;
        let output = self.transform.apply(&shown);
        changed(events, &shown.all_named().and(output)?.into())
    }
}

/// The fields of the manifest, and those that the configuration names.
fn chosen(fields: Vec<Field>, config: &Value) -> Result<Vec<Field>, String> {
    let (from_config, mut all): (Vec<Field>, Vec<Field>) =
        fields.into_iter().partition(|field| field.path.starts_with("config:"));
    for field in from_config {
        let key = field.path.trim_start_matches("config:");
        let paths: Vec<String> = match config.get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(path)) => vec![path.clone()],
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| format!("config.{key}: not a path or a list of paths"))?,
        };
        for path in paths {
            if !all.iter().any(|known| known.path == path) {
                let kind = field.kind.clone();
                all.push(Field { path, kind });
            }
        }
    }
    Ok(all)
}

fn changed(events: &[Event], answer: &Answer) -> Result<Vec<Event>, String> {
    let mut left = Vec::with_capacity(events.len());
    for (row, event) in events.iter().enumerate() {
        let mut event = event.clone();
        for path in &answer.drop {
            event.remove(path)?;
        }
        for named in &answer.set {
            if let Some(value) = value(&named.column, row) {
                event.set(&named.name, value)?;
            }
        }
        if answer.keep.as_ref().is_none_or(|bits| bit(bits, row)) {
            left.push(event);
        }
    }
    Ok(left)
}

fn value(column: &Column, row: usize) -> Option<Value> {
    if !column.present.as_ref().is_none_or(|bits| bit(bits, row)) {
        return None;
    }
    match &column.data {
        ColumnData::Boolean(values) => values.get(row).map(|value| json!(*value != 0)),
        ColumnData::Integer(values) => values.get(row).map(|value| json!(value)),
        ColumnData::Float(values) => values.get(row).map(|value| json!(value)),
        ColumnData::Text(texts) => {
            let number = *texts.index.get(row)? as usize;
            dict(texts).get(number).map(|text| json!(text))
        }
    }
}

impl Event {
    fn remove(&mut self, path: &str) -> Result<(), String> {
        let keys = keys(path).ok_or_else(|| format!("`{path}` is not a path"))?;
        match keys.as_slice() {
            [root] if REMOVABLE.contains(&root.as_str()) => {
                self.fields.remove(root);
            }
            [root, between @ .., last] if root == "data" || root == "metadata" => {
                let parent = between
                    .iter()
                    .try_fold(self.fields.get_mut(root), |value, key| Some(value?.get_mut(key)));
                if let Some(Some(Value::Object(parent))) = parent {
                    parent.remove(last);
                }
            }
            _ => return Err(format!("`{path}` cannot be removed")),
        }
        Ok(())
    }

    fn set(&mut self, path: &str, value: Value) -> Result<(), String> {
        let keys = keys(path).ok_or_else(|| format!("`{path}` is not a path"))?;
        match (keys.as_slice(), value) {
            ([root], Value::String(text)) if root == "severity" => {
                self.severity = match text.as_str() {
                    "low" => Severity::Low,
                    "medium" => Severity::Medium,
                    "high" => Severity::High,
                    "critical" => Severity::Critical,
                    other => return Err(format!("`{other}` is not a severity")),
                };
            }
            ([root], Value::String(kind)) if root == "type" => self.kind = kind,
            ([root], Value::String(text)) if TEXTS.contains(&root.as_str()) => {
                self.fields.insert(root.clone(), text.into());
            }
            ([root, keys @ ..], value) if !keys.is_empty() && (root == "data" || root == "metadata") => {
                let mut place = self.fields.entry(root.clone()).or_insert(Value::Null);
                for key in keys {
                    if !place.is_object() {
                        *place = Value::Object(Map::new());
                    }
                    place = &mut place[key.as_str()];
                }
                *place = value;
            }
            _ => return Err(format!("`{path}` cannot be set, or not to this")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::event, *};
    use crate::{Events, Output};

    /// Does what its configuration says: fields to drop, and texts to set from the event's type.
    struct Told(Vec<String>, Vec<String>);

    impl Transform for Told {
        type Config = (Vec<String>, Vec<String>);

        fn init((drop, set): Self::Config) -> Result<Self, String> {
            Ok(Self(drop, set))
        }

        fn apply(&mut self, events: &Events) -> Result<Output, String> {
            let mut output = Output::unchanged(events);
            for path in &self.0 {
                output.drop(path);
            }
            for path in &self.1 {
                output.set_texts(path, |row| {
                    Some(events.kind(row)).filter(|kind| !matches!(*kind, "other" | "noise"))
                });
            }
            output.keep(|row| events.kind(row) != "noise");
            Ok(output)
        }
    }

    fn apply(drop: &[&str], set: &[&str], events: &[Event]) -> Result<Vec<Event>, String> {
        TransformTest::<Told>::start("", &json!([drop, set]))?.apply(events)
    }

    #[test]
    fn what_the_envelope_does_not_name_is_not_read_without_a_word() {
        let manifest = "[input]\nenvelope = [\"source\", \"timestamp\"]";
        let mut told = TransformTest::<Told>::start(manifest, &json!([[], []])).expect("a transform");
        let refused = told.apply(&[event("noise", "s")]).unwrap_err();
        assert_eq!(refused, "plugin.toml does not name `type` in [input] envelope");
        assert_eq!(told.apply(&[]), Ok(Vec::new()));
    }

    #[test]
    fn fields_are_dropped_then_set_and_events_go_last() {
        let data = json!({"a": {"b": 1, "c": 2}, "d": [3]});
        let events = ["high", "other", "noise"].map(|kind| event(kind, "s").data(data.clone()));
        let left = apply(
            &["data.a.b", "data.x.y", "tags"],
            &["severity", "data.a.b", "data.d.e", "metadata[\"k.1\"]"],
            &events,
        );
        let left = left.expect("an answer");
        assert_eq!(left.len(), 2);
        assert_eq!(
            left[0].get("data"),
            Some(&json!({"a": {"b": "high", "c": 2}, "d": {"e": "high"}}))
        );
        assert_eq!(left[0].get("metadata[\"k.1\"]"), Some(&json!("high")));
        assert_eq!(left[0].severity, Severity::High);
        assert_eq!(
            left[1].get("data"),
            Some(&json!({"a": {"c": 2}, "d": [3]})),
            "what is set to nothing stays as it is"
        );
        assert_eq!((left[1].get("metadata"), left[1].severity), (None, Severity::Medium));
    }

    #[test]
    fn what_an_agent_would_not_take_is_refused() {
        let events = [event("high", "s")];
        for path in ["id", "source", "timestamp", "tags", "data", "nonsense", "data[1]", ""] {
            assert!(apply(&[], &[path], &events).is_err(), "{path} was set");
        }
        for path in ["id", "source", "type", "severity", "user_id.x", "data["] {
            assert!(apply(&[path], &[], &events).is_err(), "{path} was dropped");
        }
        let unknown = [event("unknown", "s")];
        assert_eq!(
            apply(&[], &["severity"], &unknown),
            Err("`unknown` is not a severity".to_owned())
        );
        assert_eq!(
            apply(&["data", "user_id"], &["type", "user_id"], &events).expect("an answer")[0].kind(),
            "high"
        );
    }
}
