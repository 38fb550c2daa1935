//! What can go wrong in the store, and what the caller may do about it.

use std::sync::Arc;

use streamflow_proto::batch::DecodeError;

/// Why the store refused or failed. Cloneable, because one failed commit answers many receipts.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A document was changed by somebody else; read it again.
    #[error("{kind} `{id}` has version {found}, not {expected}")]
    Conflict {
        /// Collection of the document.
        kind: String,
        /// Its id.
        id: String,
        /// Version that the writer expected.
        expected: i64,
        /// Version that it has; 0 when it does not exist.
        found: i64,
    },
    /// No room on the disk. Nothing was stored; the store goes on by itself when there is room again.
    #[error("the disk of the store is full")]
    Full,
    /// An earlier frame of this sender was refused; it must send again from there, or a later frame would hide the gap.
    #[error("an earlier frame of this sender was refused")]
    OutOfOrder,
    /// The store has stopped, or has refused all writes since a sync failed.
    #[error("the store is closed")]
    Closed,
    /// The cursor was not made by this store, or belongs to another order.
    #[error("the cursor is not valid here")]
    BadCursor,
    /// The request cannot be answered.
    #[error("{0}")]
    BadRequest(String),
    /// Stored bytes do not decode.
    #[error("damaged data at position {position} of the log: {source}")]
    Corrupt {
        /// Place in the log.
        position: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Merging would have lost events, or could not write a chunk; everything stays as it was.
    #[error("merge: {0}")]
    Merge(String),
    /// The data folder serves another hub.
    #[error("{path} is held by another running hub; stop that one or choose another data_dir")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The library or the address does not fit.
    #[error("{0}")]
    Unsupported(String),
    /// The database failed.
    #[error("database: {0}")]
    Sql(Arc<sqlx::Error>),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// What was opened.
        path: String,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}
