//! Metrics: aggregates that are kept continuously from the log, in windows of a minute, an hour and a day.
//!
//! Events of the log become *deltas* (windows that hold what came since the last write); deltas are merged into the stored windows and written together
//! with the place in the log that they reach. So an event counts once whatever happens in between: what was not written is read from the log again. A window
//! takes late events as long as it is kept; there is nothing to close.

pub(crate) mod builtin;
mod catalog;
mod codec;
mod counted;
mod history;
mod ledger;
mod meters;
mod placement;
mod recorder;
pub(crate) mod routes;
mod service;

pub use catalog::{Catalog, CatalogError};
pub use history::{History, HistoryError, LabelledSeries};
pub use placement::{EdgeLink, Placer};
pub use service::{RollupError, Rollups};

#[cfg(test)]
mod tests;
