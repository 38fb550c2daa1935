//! A rule under test: events in, alerts out, with restarts in between.

use serde_json::Value;

use super::events::{Event, Field, Manifest, batch};
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
    fields: Vec<Field>,
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
            fields: manifest.input.fields,
        })
    }

    /// Shows events in one call.
    ///
    /// # Errors
    /// The rule's own.
    pub fn events(&mut self, events: &[Event]) -> Result<Vec<Alert>, String> {
        self.rule.on_events(&batch(&self.fields, events)?, &mut self.state)
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
