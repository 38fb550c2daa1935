//! Metrics: aggregates over events by window and series, computed by one kernel wherever the events are.
//!
//! The hub counts what it reads of its log with a [`Sheet`]. An agent to which a metric was pushed counts the events of each batch with the same [`Sheet`] before the
//! batch is sealed, and adds what it gained to that very batch as events of the type [`PARTIALS`]. So a batch and what was counted of it are one record with one
//! sequence: it is stored once or not at all, and the hub sees in the record itself which metrics it must not count again.

mod ask;
mod definition;
mod device;
mod gains;
mod groups;
mod partial;
mod sheet;

#[cfg(test)]
mod tests;

pub use ask::{Ask, GroupKey};
pub use device::Device;
pub use gains::{Gain, Gains, OTHER};
pub use partial::{Carrier, FORMAT, MAX_CARRIED, PARTIALS, Partial, PartialError, carried, carriers, pack, unpack};
pub use sheet::Sheet;
