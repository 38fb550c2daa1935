//! A rule under test: events in, alerts out, with restarts in between.

use serde_json::Value;

use super::events::{Event, Input, Manifest};
use crate::{Alert, Rule};

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
    input: Input,
}

impl<R: Rule> RuleTest<R> {
    /// Makes the rule as the hub would. `manifest` is the text of `plugin.toml`.
    ///
    /// # Errors
    /// What the hub would show to the person who wrote the configuration.
    pub fn start(manifest: &str, config: &Value) -> Result<Self, String> {
        let manifest = Manifest::read(manifest)?;
        let typed = serde_json::from_value(config.clone()).map_err(|error| format!("configuration: {error}"))?;
        Ok(Self {
            rule: R::init(typed)?,
            state: R::State::default(),
            config: config.clone(),
            input: manifest.input,
        })
    }

    /// Shows events in one call.
    ///
    /// # Errors
    /// The rule's own, or what it reads although the manifest does not name it.
    pub fn events(&mut self, events: &[Event]) -> Result<Vec<Alert>, String> {
        let events = self.input.batch(events)?;
        let alerts = self.rule.on_events(&events, &mut self.state);
        events.all_named().and(alerts)
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

#[cfg(test)]
mod tests {
    use super::{super::event, *};
    use crate::{
        Events,
        bindings::channel::streamflow::plugin::types::{Batch, TextColumn},
        glue,
    };

    /// Reads what its configuration says.
    struct Reader(String);

    impl Rule for Reader {
        type Config = String;
        type State = ();

        fn init(what: String) -> Result<Self, String> {
            Ok(Self(what))
        }

        fn on_events(&mut self, events: &Events, _state: &mut ()) -> Result<Vec<Alert>, String> {
            let read = |row| match self.0.as_str() {
                "timestamp" => events.time_ms(row).to_string(),
                "severity" => format!("{:?}", events.severity(row)),
                "type" => events.kind(row).to_owned(),
                "source" => events.source(row).to_owned(),
                "sources" => events.sources().iter().collect(),
                _ => events.source_number(row).to_string(),
            };
            Ok(events.rows().map(|row| Alert::firing(read(row), "read")).collect())
        }
    }

    fn read(manifest: &str, what: &str) -> Result<Vec<Alert>, String> {
        let mut rule = RuleTest::<Reader>::start(manifest, &what.into())?;
        rule.events(&[])?;
        rule.events(&[event("reading", "oven-1")])
    }

    #[test]
    fn what_the_envelope_does_not_name_is_not_read_without_a_word() {
        for (what, name) in [
            ("timestamp", "timestamp"),
            ("severity", "severity"),
            ("type", "type"),
            ("source", "source"),
            ("sources", "source"),
            ("source's number", "source"),
        ] {
            let others = ["timestamp", "severity", "type", "source"].map(|own| if own == name { "" } else { own });
            let others: Vec<String> = others
                .iter()
                .filter(|own| !own.is_empty())
                .map(|own| format!("\"{own}\""))
                .collect();
            let refused = read(&format!("[input]\nenvelope = [{}]", others.join(", ")), what);
            let expected = format!("plugin.toml does not name `{name}` in [input] envelope");
            assert_eq!(refused.unwrap_err(), expected, "{what}");
            let named = read(&format!("[input]\nenvelope = [\"{name}\"]"), what).unwrap();
            assert_eq!(named, read("", what).unwrap(), "{what}");
            assert_eq!(named.len(), 1, "{what}");
        }
        // The hub shows what is not named as columns without rows.
        let nothing = || TextColumn {
            texts: String::new(),
            ends: Vec::new(),
            index: Vec::new(),
        };
        let batch = Batch {
            count: 1,
            time: Vec::new(),
            severity: Vec::new(),
            kind: nothing(),
            source: nothing(),
            columns: Vec::new(),
        };
        let slot = glue::empty::<Reader>();
        glue::init(&slot, "\"type\"", None).unwrap();
        let refused = glue::on_events(&slot, batch).unwrap_err();
        assert_eq!(refused, "plugin.toml does not name `type` in [input] envelope");
        let unknown = read("[input]\nenvelope = [\"time\"]", "type").unwrap_err();
        assert!(unknown.contains("input.envelope: `time` is not timestamp"), "{unknown}");
    }
}
