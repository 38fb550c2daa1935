//! The log and everything durable: the store's contract, its embedded implementation on SQLite, queries, retention and routes.
//!
//! An event is acknowledged after the transaction that holds its frame, the sender's high-water mark and the log position has been synced.
//! Whatever else exists (windows, alerts, charts) is derived from here and can be rebuilt.

pub mod error;
pub mod store;

pub use error::StoreError;
pub use store::{
    Appended, Doc, DocOp, EventPage, EventQuery, LogBatch, Order, Origin, Receipt, RowSpan, Scanned, Store, StoreStats,
    Visit,
};
