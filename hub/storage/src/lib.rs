//! The log and everything durable: the store's contract, its embedded implementation on SQLite, queries, retention and routes.
//!
//! An event is acknowledged after the transaction that holds its frame, the sender's high-water mark and the log position has been synced.
//! Whatever else exists (windows, alerts, charts) is derived from here and can be rebuilt.

mod cursor;
pub mod error;
pub mod folder;
mod frames;
mod lru;
mod metrics;
mod options;
mod page;
mod plan;
mod routes;
mod selection;
mod sqlite;
pub mod store;
#[cfg(any(test, feature = "suite"))]
pub mod suite;

pub use error::StoreError;
pub use options::Options;
pub use routes::routes;
pub use sqlite::{FolderLock, Service, build, build_locked, lock, open_tool};
pub use store::{
    Appended, Doc, DocOp, EventPage, EventQuery, LogBatch, Order, Origin, Receipt, Replay, ReplayPart, Replayed,
    RollupQuery, RollupRow, RollupSeries, RollupWrite, RowSpan, Scanned, Store, StoreHealth, StoreStats, Visit,
};
