//! Between the interface and [`Rule`]: for [`export_rule!`](crate::export_rule), not to be called by hand.

use std::cell::RefCell;

pub use crate::bindings::channel::streamflow::plugin::types::{Alert, Batch};
use crate::{Events, Rule, log};

const NS_PER_MS: i64 = 1_000_000;

/// Where the macro keeps the instance.
pub type Slot<R> = RefCell<Option<Running<R>>>;

/// A rule with its state.
pub struct Running<R: Rule> {
    rule: R,
    state: R::State,
}

/// Nothing yet.
#[must_use]
pub const fn empty<R: Rule>() -> Slot<R> {
    RefCell::new(None)
}

/// Makes the instance.
///
/// # Errors
/// When configuration or state are not taken.
pub fn init<R: Rule>(slot: &Slot<R>, config: &str, state: Option<&[u8]>) -> Result<(), String> {
    log::panics_too();
    let config = serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))?;
    let state = match state {
        None => R::State::default(),
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| format!("the state of an earlier version cannot be read: {error}"))?,
    };
    let rule = R::init(config)?;
    slot.replace(Some(Running { rule, state }));
    Ok(())
}

/// Shows events.
///
/// # Errors
/// The rule's own.
pub fn on_events<R: Rule>(slot: &Slot<R>, batch: Batch) -> Result<Vec<Alert>, String> {
    let alerts = show(slot, &Events::new(batch))?;
    Ok(alerts.into_iter().map(Alert::from).collect())
}

/// Shows events that are columns already. What a rule costs natively is measured with it.
///
/// # Errors
/// The rule's own.
pub fn show<R: Rule>(slot: &Slot<R>, events: &Events) -> Result<Vec<crate::Alert>, String> {
    with(slot, |running| {
        let alerts = running.rule.on_events(events, &mut running.state);
        events.all_named().and(alerts)
    })
}

/// Tells of time.
///
/// # Errors
/// The rule's own.
pub fn on_tick<R: Rule>(slot: &Slot<R>, now: i64) -> Result<Vec<Alert>, String> {
    with(slot, |running| {
        let alerts = running.rule.on_tick(now.div_euclid(NS_PER_MS), &mut running.state)?;
        Ok(alerts.into_iter().map(Alert::from).collect())
    })
}

/// The state as bytes.
///
/// # Errors
/// When it has no JSON form.
pub fn save<R: Rule>(slot: &Slot<R>) -> Result<Vec<u8>, String> {
    with(slot, |running| {
        serde_json::to_vec(&running.state).map_err(|error| format!("the state has no JSON form: {error}"))
    })
}

fn with<R: Rule, T>(slot: &Slot<R>, work: impl FnOnce(&mut Running<R>) -> Result<T, String>) -> Result<T, String> {
    match slot.borrow_mut().as_mut() {
        Some(running) => work(running),
        None => Err("called before init".to_owned()),
    }
}
