//! How a filter is answered, for people who ask why a rule is fast or slow.

use std::collections::BTreeSet;

use super::{
    plan::Op,
    predicate::{Pred, Test},
};

/// How one predicate is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Once for each different text of a batch.
    Dictionary,
    /// On a column of numbers.
    Numbers,
    /// On a column of booleans.
    Booleans,
    /// By which rows have the attribute.
    Presence,
    /// By the interpreter, event by event, for the reason given.
    Interpreter(&'static str),
}

/// What lets a stored chunk be skipped unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Its Bloom filter over attributes and values.
    Bloom,
    /// The earliest and latest time of its events.
    Times,
}

/// One predicate of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// As it was written.
    pub text: String,
    /// How it is answered.
    pub way: Way,
    /// What lets a chunk be skipped because of it.
    pub skip: Option<Skip>,
}

impl Pred {
    pub(super) fn explain(&self) -> Vec<Explained> {
        let mut found = Vec::new();
        self.collect(true, &mut found);
        found
    }

    /// `decides`: when this is certainly false for a chunk, so is the whole.
    fn collect(&self, decides: bool, found: &mut Vec<Explained>) {
        match self {
            Self::Const(_) => {}
            Self::And(parts) => parts.iter().for_each(|part| part.collect(decides, found)),
            Self::Or(parts) => {
                let decides = decides && parts.iter().all(Self::may_skip);
                parts.iter().for_each(|part| part.collect(decides, found));
            }
            Self::Not(inner) => inner.collect(false, found),
            Self::Leaf(leaf) => found.push(Explained {
                text: leaf.text.clone(),
                way: match &leaf.test {
                    Ok((_, test)) => test.way(),
                    Err(reason) => Way::Interpreter(reason),
                },
                skip: self.skip().filter(|_| decides),
            }),
        }
    }

    /// Whether some chunk can be ruled out by it.
    fn may_skip(&self) -> bool {
        match self {
            Self::Const(value) => !value,
            Self::And(parts) => parts.iter().any(Self::may_skip),
            Self::Or(parts) => parts.iter().all(Self::may_skip),
            Self::Not(_) => false,
            Self::Leaf(_) => self.skip().is_some(),
        }
    }

    fn skip(&self) -> Option<Skip> {
        let Self::Leaf(leaf) = self else { return None };
        match &leaf.test {
            Ok((_, Test::Text(Op::Eq, _) | Test::AnyText(_))) => Some(Skip::Bloom),
            Ok((path, Test::Number(op, _))) if path.root() == "timestamp" && *op != Op::Ne => Some(Skip::Times),
            _ => None,
        }
    }

    pub(super) fn reads(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        self.read(&mut names);
        names.into_iter().collect()
    }

    fn read(&self, names: &mut BTreeSet<String>) {
        match self {
            Self::Const(_) => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.read(names)),
            Self::Not(inner) => inner.read(names),
            Self::Leaf(leaf) => match &leaf.test {
                Ok((path, _)) => drop(names.insert(path.to_string())),
                Err(_) => names.extend(leaf.fallback.reads.iter().map(|name| (*name).to_owned())),
            },
        }
    }
}

impl Test {
    const fn way(&self) -> Way {
        match self {
            Self::Text(..)
            | Self::AnyText(_)
            | Self::StartsWith(_)
            | Self::EndsWith(_)
            | Self::Contains(_)
            | Self::Matches(_) => Way::Dictionary,
            Self::Number(..) | Self::AnyNumber(_) => Way::Numbers,
            Self::Bool(..) | Self::IsTrue => Way::Booleans,
            Self::Has => Way::Presence,
        }
    }
}
