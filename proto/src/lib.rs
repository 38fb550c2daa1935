//! What agents and the hub must agree on: events, columnar batches, filters, aggregates and the wire.
//!
//! Nothing here does I/O. Rows exist only at the two ends; in between everything works on columns.

pub mod aggregate;
pub mod batch;
pub mod bitmap;
pub mod bloom;
pub mod build;
pub mod chunk;
mod column;
pub mod event;
pub mod filter;
pub mod frame;
pub mod groups;
pub mod metric;
pub mod path;
pub mod wire;
