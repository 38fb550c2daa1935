//! Which marked events are those of real fire drills.
//!
//! Rules must not see them. Whoever can send events could write the mark into others to hide them from rules, so a mark counts only when the hub itself has given it out.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use streamflow_proto::{
    batch::{Batch, DecodeError, Dict},
    path::Path,
    wire::DRILL_MARK,
};

/// Where an event carries the mark.
static MARK: LazyLock<Option<Path>> = LazyLock::new(|| Path::parse(&format!("metadata.{DRILL_MARK}")).ok());

/// The ids of all drills that the store knows. A lock and not a task: it is held for a lookup, and changes with every drill alone.
#[derive(Debug, Clone, Default)]
pub struct Drills(Arc<RwLock<HashSet<String>>>);

impl Drills {
    /// The hub has given out this mark.
    pub fn add(&self, drill: &str) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(drill.to_owned());
    }

    /// Whether the hub has given out any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether the hub has given out this mark.
    #[must_use]
    pub fn contains(&self, drill: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(drill)
    }

    /// The marks of a batch; `None` when it has none, which costs a look at its directory.
    ///
    /// # Errors
    /// When the column does not decode.
    pub fn marks(batch: &Batch) -> Result<Option<Dict>, DecodeError> {
        MARK.as_ref().map_or(Ok(None), |path| batch.strings(path))
    }
}
