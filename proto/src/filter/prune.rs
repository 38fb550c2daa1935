//! What can be said of a filter without reading a row.

use std::collections::BTreeSet;

use super::{
    plan::Op,
    predicate::{Pred, Test},
};
use crate::{bloom::Bloom, path::Path};

impl Pred {
    /// Whether some row within these bounds may match; `false` is certain.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds stay below 2^53 until the year 287396"
    )]
    pub(super) fn may_be_true(&self, min_ts: i64, max_ts: i64, bloom: &Bloom<'_>) -> bool {
        match self {
            Self::Const(value) => *value,
            Self::And(parts) => parts.iter().all(|part| part.may_be_true(min_ts, max_ts, bloom)),
            Self::Or(parts) => parts.iter().any(|part| part.may_be_true(min_ts, max_ts, bloom)),
            Self::Not(_) => true,
            Self::Leaf(leaf) => match &leaf.test {
                Ok((path, Test::Text(Op::Eq, value))) => bloom.contains(path, value),
                Ok((path, Test::AnyText(values))) => values.iter().any(|value| bloom.contains(path, value)),
                Ok((path, Test::Number(op, at))) if path.root() == "timestamp" => match op {
                    Op::Eq => (min_ts as f64) <= *at && *at <= max_ts as f64,
                    Op::Ne => true,
                    Op::Lt | Op::Le => op.holds(&(min_ts as f64), at),
                    Op::Gt | Op::Ge => op.holds(&(max_ts as f64), at),
                },
                _ => true,
            },
        }
    }

    /// The texts one of which the attribute must be for a row to match.
    pub(super) fn required(&self, wanted: &Path) -> Option<BTreeSet<String>> {
        match self {
            Self::Const(false) => Some(BTreeSet::new()),
            Self::Const(true) | Self::Not(_) => None,
            Self::And(parts) => parts
                .iter()
                .filter_map(|part| part.required(wanted))
                .reduce(|a, b| &a & &b),
            Self::Or(parts) => parts
                .iter()
                .map(|part| part.required(wanted))
                .reduce(|a, b| Some(&a? | &b?))
                .flatten(),
            Self::Leaf(leaf) => match &leaf.test {
                Ok((path, Test::Text(Op::Eq, value))) if path == wanted => Some([value.clone()].into()),
                Ok((path, Test::AnyText(values))) if path == wanted => Some(values.iter().cloned().collect()),
                _ => None,
            },
        }
    }
}
