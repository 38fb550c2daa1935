//! What can be configured of the store.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// The `[storage]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// `sqlite:` keeps everything in `streamflow.db` of the data folder, `sqlite:/a/path.db` elsewhere.
    pub url: String,
    /// Events older than this are removed; 0 = never.
    pub retention: Span,
    /// The database grows to this many MiB at most, then the store is full; 0 = as far as the disk goes.
    pub max_mib: u64,
    /// Frames waiting for their commit may take this many MiB; then senders wait.
    pub queue_mib: u32,
    /// Recently stored or read batches kept in memory, MiB.
    pub cache_mib: u32,
    /// Frames are merged into a chunk when they hold this many events …
    pub merge_events: u32,
    /// … or when the oldest has waited this long.
    pub merge_age: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "sqlite:".to_owned(),
            retention: Span::from_secs(30 * 86_400),
            max_mib: 0,
            queue_mib: 64,
            cache_mib: 48,
            merge_events: 16_384,
            merge_age: Span::from_secs(10),
        }
    }
}
