//! What a metric asks, parsed.

use crate::{
    aggregate::{AggregateSpec, Func},
    filter::{Filter, Plan},
    path::Path,
};

/// One label of a metric's series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupKey {
    /// The attribute's value.
    Attribute(Path),
    /// The kind of device that the user agent in the attribute stands for.
    Device(Path),
}

impl GroupKey {
    /// Reads `data.country` or `device(data.user_agent)`.
    ///
    /// # Errors
    /// When it is not an attribute, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix("device(").and_then(|rest| rest.strip_suffix(')'));
        let parse = |text: &str| Path::parse(text.trim()).map_err(|e| format!("`{text}`: {e}"));
        inner.map_or_else(
            || parse(text).map(Self::Attribute),
            |inner| parse(inner).map(Self::Device),
        )
    }
}

/// A metric's expressions, parsed.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which events count.
    pub filter: Filter,
    /// What is computed.
    pub aggregate: AggregateSpec,
    /// By what.
    pub group_by: Vec<GroupKey>,
    /// Length of the windows, ms.
    pub base: i64,
}

impl Ask {
    /// Why it may not be computed where the events arise; `None` when it may. Decided alike on a host and at the hub.
    #[must_use]
    pub fn edge_objection(&self) -> Option<String> {
        if let Plan::Interpreted { reason } = self.filter.plan() {
            return Some(format!(
                "`match` is not answered on columns alone ({reason}), which is too costly for a host"
            ));
        }
        matches!(self.aggregate.func, Func::TopK(_)).then(|| {
            "the error bound of `topk` grows with every part that is merged, so many small parts would say less than the hub can".to_owned()
        })
    }
}
