//! Which rules a batch can concern: by the event types that they require, so that cost grows with the rules that match and not with all.

use std::collections::HashMap;

use streamflow_proto::{batch::DecodeError, filter::Columns, path::Path};

use super::run::Run;

/// Rules by required type.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_type: HashMap<String, Vec<usize>, foldhash::fast::RandomState>,
    /// Rules that may match events of any type.
    always: Vec<usize>,
    kind: Option<Path>,
}

impl Index {
    pub(super) fn new(runs: &[Run]) -> Self {
        let mut index = Self {
            kind: Path::parse("type").ok(),
            ..Self::default()
        };
        for (number, run) in runs.iter().enumerate() {
            match index.kind.as_ref().and_then(|kind| run.compiled.filter.required(kind)) {
                Some(types) => types
                    .into_iter()
                    .for_each(|name| index.by_type.entry(name).or_default().push(number)),
                None => index.always.push(number),
            }
        }
        index
    }

    /// The rules that rows of this batch may match, in order.
    pub(super) fn candidates(&self, columns: &mut Columns<'_>) -> Result<Vec<usize>, DecodeError> {
        let mut chosen = self.always.clone();
        if let Some(kind) = self.kind.as_ref().filter(|_| !self.by_type.is_empty())
            && let Some(dict) = columns.strings(kind)?
        {
            chosen.extend(dict.values.iter().filter_map(|name| self.by_type.get(name)).flatten());
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}
