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

    /// The attributes that are compared with texts somewhere in it.
    pub(super) fn compared(&self, found: &mut BTreeSet<Path>) {
        match self {
            Self::Const(_) | Self::Not(_) => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.compared(found)),
            Self::Leaf(leaf) => {
                if let Ok((path, Test::Text(Op::Eq, _) | Test::AnyText(_))) = &leaf.test {
                    found.insert(path.clone());
                }
            }
        }
    }

    /// The attributes that a row must have to match, whatever their values.
    pub(super) fn needed(&self) -> BTreeSet<Path> {
        match self {
            Self::Const(_) => BTreeSet::new(),
            Self::And(parts) => parts.iter().flat_map(Self::needed).collect(),
            Self::Or(parts) => parts
                .iter()
                .map(Self::needed)
                .reduce(|a, b| &a & &b)
                .unwrap_or_default(),
            // What an event does not have gives no answer, and the opposite of no answer is none either.
            Self::Not(inner) => match &**inner {
                Self::Leaf(leaf) if !matches!(leaf.test, Ok((_, Test::Has))) => inner.needed(),
                _ => BTreeSet::new(),
            },
            Self::Leaf(leaf) => leaf.test.iter().map(|(path, _)| path.clone()).collect(),
        }
    }
}
