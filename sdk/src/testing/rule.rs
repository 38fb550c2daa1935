//! A rule under test: events in, alerts out, with restarts in between.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Alert, Events, Rule, Severity,
    bindings::channel::streamflow::plugin::types::{Batch, Column, ColumnData, TextColumn},
};

/// A rule that is shown events as the hub would show them: only the fields that the manifest names.
///
/// ```
/// # use streamflow_sdk::{Alert, Events, Rule};
/// # struct Seen;
/// # impl Rule for Seen {
/// #     type Config = serde_json::Value;
/// #     type State = u64;
/// #     fn init(_: serde_json::Value) -> Result<Self, String> { Ok(Self) }
/// #     fn on_events(&mut self, events: &Events, seen: &mut u64) -> Result<Vec<Alert>, String> {
/// #         *seen += events.len() as u64;
/// #         Ok(vec![Alert::firing("all", "seen").value(*seen as f64)])
/// #     }
/// # }
/// use streamflow_sdk::testing::{RuleTest, event};
/// # let manifest = "";
/// let mut rule = RuleTest::<Seen>::start(manifest, &serde_json::json!({})).unwrap();
/// rule.events(&[event("reading", "sensor-1")]).unwrap();
/// rule.restart().unwrap();
/// assert_eq!(rule.events(&[event("reading", "sensor-2")]).unwrap()[0].value, Some(2.0));
/// ```
#[derive(Debug)]
pub struct RuleTest<R: Rule> {
    rule: R,
    state: R::State,
    config: Value,
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize, Default)]
struct Manifest {
    #[serde(default)]
    input: Input,
}

#[derive(Debug, Deserialize, Default)]
struct Input {
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Debug, Clone, Deserialize)]
struct Field {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// An event to show to a rule.
#[derive(Debug, Clone)]
pub struct Event {
    kind: String,
    source: String,
    severity: Severity,
    at_ms: i64,
    fields: Map<String, Value>,
}

/// An event of this type from this source, of medium severity, at 2023-11-14T22:13:20Z.
#[must_use]
pub fn event(kind: &str, source: &str) -> Event {
    Event {
        kind: kind.to_owned(),
        source: source.to_owned(),
        severity: Severity::Medium,
        at_ms: 1_700_000_000_000,
        fields: Map::new(),
    }
}

impl Event {
    /// Sets its `data`.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        self.field("data", data)
    }

    /// Sets another field, such as `user_id` or `metadata`.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Sets its severity.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets its time, ms since 1970.
    #[must_use]
    pub const fn at(mut self, ms: i64) -> Self {
        self.at_ms = ms;
        self
    }

    fn value(&self, path: &str) -> Option<&Value> {
        let mut keys = path.split('.');
        let first = self.fields.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

impl<R: Rule> RuleTest<R> {
    /// Makes the rule as the hub would. `manifest` is the text of `plugin.toml`.
    ///
    /// # Errors
    /// What the hub would show to the person who wrote the configuration.
    pub fn start(manifest: &str, config: &Value) -> Result<Self, String> {
        let manifest: Manifest = toml::from_str(manifest).map_err(|error| format!("plugin.toml: {error}"))?;
        let typed = serde_json::from_value(config.clone()).map_err(|error| format!("configuration: {error}"))?;
        Ok(Self {
            rule: R::init(typed)?,
            state: R::State::default(),
            config: config.clone(),
            fields: manifest.input.fields,
        })
    }

    /// Shows events in one call.
    ///
    /// # Errors
    /// The rule's own.
    pub fn events(&mut self, events: &[Event]) -> Result<Vec<Alert>, String> {
        let columns = self
            .fields
            .iter()
            .map(|field| column(field, events))
            .collect::<Result<_, _>>()?;
        let batch = Batch {
            count: u32::try_from(events.len()).map_err(|error| error.to_string())?,
            time: events
                .iter()
                .map(|event| event.at_ms.saturating_mul(1_000_000))
                .collect(),
            severity: events.iter().map(|event| event.severity as u8).collect(),
            kind: texts(events.iter().map(|event| Some(event.kind.as_str()))),
            source: texts(events.iter().map(|event| Some(event.source.as_str()))),
            columns,
        };
        self.rule.on_events(&Events::new(batch), &mut self.state)
    }

    /// Lets it hear of time, ms since 1970.
    ///
    /// # Errors
    /// The rule's own.
    pub fn tick(&mut self, now_ms: i64) -> Result<Vec<Alert>, String> {
        self.rule.on_tick(now_ms, &mut self.state)
    }

    /// Replaces the instance by a fresh one with the saved state, as a restart of the hub or a new version does.
    ///
    /// # Errors
    /// When the state does not survive that.
    pub fn restart(&mut self) -> Result<(), String> {
        let saved = serde_json::to_vec(&self.state).map_err(|error| format!("state: {error}"))?;
        let config = serde_json::from_value(self.config.clone()).map_err(|error| error.to_string())?;
        self.rule = R::init(config)?;
        self.state = serde_json::from_slice(&saved).map_err(|error| format!("state: {error}"))?;
        Ok(())
    }

    /// Its state.
    pub const fn state(&self) -> &R::State {
        &self.state
    }
}

fn column(field: &Field, events: &[Event]) -> Result<Column, String> {
    let values: Vec<Option<&Value>> = events.iter().map(|event| event.value(&field.path)).collect();
    let each =
        |has: &dyn Fn(&Value) -> bool| -> Vec<bool> { values.iter().map(|value| value.is_some_and(has)).collect() };
    let (data, present) = match field.kind.as_str() {
        "boolean" => {
            let flag = |value: &Option<&Value>| u8::from(value.and_then(Value::as_bool).unwrap_or(false));
            (
                ColumnData::Boolean(values.iter().map(flag).collect()),
                each(&Value::is_boolean),
            )
        }
        "integer" => {
            let number = |value: &Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
            (
                ColumnData::Integer(values.iter().map(number).collect()),
                each(&Value::is_i64),
            )
        }
        "float" => {
            let number = |value: &Option<&Value>| value.and_then(Value::as_f64).unwrap_or(0.0);
            (
                ColumnData::Float(values.iter().map(number).collect()),
                each(&Value::is_number),
            )
        }
        "text" => (
            ColumnData::Text(texts(values.iter().map(|value| value.and_then(Value::as_str)))),
            each(&Value::is_string),
        ),
        other => {
            return Err(format!(
                "plugin.toml: input.fields: `{other}` is not boolean, integer, float or text"
            ));
        }
    };
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    Ok(Column {
        path: field.path.clone(),
        data,
        present: Some(present.chunks(8).map(byte).collect()),
    })
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> TextColumn {
    let (mut dict, mut index) = (Vec::<String>::new(), Vec::new());
    for value in values {
        let text = value.unwrap_or_default();
        let place = dict.iter().position(|own| own == text).unwrap_or_else(|| {
            dict.push(text.to_owned());
            dict.len() - 1
        });
        index.push(u32::try_from(place).unwrap_or(u32::MAX));
    }
    TextColumn { dict, index }
}
