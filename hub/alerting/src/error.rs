//! Why alerting cannot start or go on.

use streamflow_storage::StoreError;
use streamflow_web::ApiError;

/// Why alerting cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AlertingError {
    /// The store cannot be read, or could not be written up to the end.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A metric's name is taken.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A document cannot be encoded.
    #[error("cannot encode: {0}")]
    Encode(ApiError),
}
