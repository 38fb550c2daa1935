//! Between the interface and [`Transform`]: for [`export_transform!`](crate::export_transform), not to be called by hand.

use std::cell::RefCell;

pub use crate::bindings::{
    channel::streamflow::plugin::types::Batch, transform::exports::streamflow::plugin::transform::Output as Answer,
};
use crate::{Events, Transform, log};

/// Where the macro keeps the instance.
pub type Slot<T> = RefCell<Option<T>>;

/// Nothing yet.
#[must_use]
pub const fn empty<T: Transform>() -> Slot<T> {
    RefCell::new(None)
}

/// Makes the instance.
///
/// # Errors
/// When the configuration is not taken.
pub fn init<T: Transform>(slot: &Slot<T>, config: &str) -> Result<(), String> {
    log::panics_too();
    let config = serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))?;
    slot.replace(Some(T::init(config)?));
    Ok(())
}

/// Shows events.
///
/// # Errors
/// The transform's own.
pub fn apply<T: Transform>(slot: &Slot<T>, batch: Batch) -> Result<Answer, String> {
    match slot.borrow_mut().as_mut() {
        Some(transform) => {
            let events = Events::new(batch);
            let output = transform.apply(&events);
            events.all_named().and(output).map(Answer::from)
        }
        None => Err("called before init".to_owned()),
    }
}
