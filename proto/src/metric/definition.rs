//! A metric on its way to a host.

use super::{Ask, GroupKey};
use crate::{aggregate::AggregateSpec, filter::Filter, wire::MetricDefinition};

/// Windows that are pushed have at least and at most this length, ms.
const WINDOWS: std::ops::RangeInclusive<i64> = 1000..=60_000;
/// Most attributes of `group_by`.
const MAX_KEYS: usize = 8;

impl MetricDefinition {
    /// Parses and judges it.
    ///
    /// # Errors
    /// Why a host does not take it, in words.
    pub fn compile(&self) -> Result<Ask, String> {
        let filter = Filter::compile(&self.matches).map_err(|error| format!("`match`: {error}"))?;
        let aggregate = AggregateSpec::parse(&self.aggregate).map_err(|error| format!("`aggregate`: {error}"))?;
        if self.group_by.len() > MAX_KEYS {
            return Err(format!("`group_by`: at most {MAX_KEYS} attributes"));
        }
        let keys = self.group_by.iter().map(|text| GroupKey::parse(text));
        let group_by = keys
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("`group_by`: {error}"))?;
        if !WINDOWS.contains(&self.base_ms) || 60_000 % self.base_ms != 0 {
            return Err(format!("windows of {} ms do not divide a minute", self.base_ms));
        }
        let ask = Ask {
            filter,
            aggregate,
            group_by,
            base: self.base_ms,
        };
        match ask.edge_objection() {
            Some(reason) => Err(reason),
            None => Ok(ask),
        }
    }
}
