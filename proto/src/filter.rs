//! CEL over events: which of a batch's rows match, and a rule's verdict on a value.
//!
//! **Absent attributes.** An expression that reads an attribute which an event does not have gives no answer, and an event without an answer does not match:
//! `data.ms > 5`, `data.ms != 5` and `!(data.ms > 5)` are all false for an event without `data.ms`. `a && b` is false as soon as one side is, `a || b` true as soon
//! as one side is, whatever the other says. `has(data.ms)` asks for presence. Comparing values of different types with `==` is false and with `!=` true, as in CEL;
//! ordering them gives no answer.
//!
//! **Two ways, one result.** Comparisons of an attribute with a literal, lists, text functions, `has` and boolean logic run on the batch's dictionaries and number columns.
//! Whatever else an expression holds is interpreted, event by event, only on the rows that the rest leaves undecided. Both ways give the same rows.

mod columns;
mod condition;
mod explain;
mod interpret;
mod places;
mod plan;
mod predicate;
mod prune;
mod syntax;
mod types;

use std::fmt;

use crate::{
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    bloom::Bloom,
    path::Path,
};

pub use columns::Columns;
pub use condition::{Condition, ConditionInput};
pub use explain::{Explained, Skip, Way};
use predicate::Pred;

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct ExprError {
    /// What is wrong and what would be right.
    pub message: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Why an expression could not be evaluated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EvalError {
    /// A column of the batch does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A condition gave no verdict.
    #[error("condition gives no verdict: {0}")]
    Condition(String),
}

/// How a filter runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// On columns alone.
    Columnar,
    /// In part by the interpreter.
    Interpreted {
        /// The first thing that columns cannot answer.
        reason: String,
    },
}

/// A checked expression over an event's attributes.
#[derive(Clone)]
pub struct Filter {
    source: String,
    pred: Pred,
    plan: Plan,
}

impl Filter {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let (expr, places) = syntax::parse_with_places(source, &syntax::EVENT)?;
        let pred = plan::predicate(&expr, &places);
        let plan = match pred.first_reason() {
            None => Plan::Columnar,
            Some(reason) => Plan::Interpreted {
                reason: reason.to_owned(),
            },
        };
        Ok(Self {
            source: source.to_owned(),
            pred,
            plan,
        })
    }

    /// The rows that match.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn eval(&self, batch: &Batch) -> Result<Bitmap, EvalError> {
        Ok(self.eval_columns(&mut Columns::new(batch))?)
    }

    /// The rows that match, with columns shared between several filters.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn eval_columns(&self, columns: &mut Columns<'_>) -> Result<Bitmap, DecodeError> {
        let all = Bitmap::new(columns.batch().len(), true);
        self.pred.matches(columns, &all)
    }

    /// Of these rows those that match; others are not looked at.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn eval_among(&self, columns: &mut Columns<'_>, rows: &Bitmap) -> Result<Bitmap, DecodeError> {
        self.pred.matches(columns, rows)
    }

    /// Whether a batch with these bounds may hold a row that matches; `false` is certain.
    #[must_use]
    pub fn may_match(&self, min_ts: i64, max_ts: i64, bloom: &Bloom<'_>) -> bool {
        self.pred.may_be_true(min_ts, max_ts, bloom)
    }

    /// The values one of which the attribute must have for an event to match; `None` when any value may.
    #[must_use]
    pub fn required(&self, path: &Path) -> Option<Vec<String>> {
        self.pred.required(path).map(|set| set.into_iter().collect())
    }

    /// Each attribute that must have one of some values for an event to match, with those values.
    #[must_use]
    pub fn requirements(&self) -> Vec<(Path, Vec<String>)> {
        let mut compared = std::collections::BTreeSet::new();
        self.pred.compared(&mut compared);
        let required = compared.into_iter().filter_map(|path| {
            let values = self.required(&path)?;
            Some((path, values))
        });
        required.collect()
    }

    /// Attributes without which no event matches.
    #[must_use]
    pub fn needed(&self) -> Vec<Path> {
        self.pred.needed().into_iter().collect()
    }

    /// How it runs.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan.clone()
    }

    /// Each predicate with the way in which it is answered, in the order in which they are.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.pred.explain()
    }

    /// Attributes that its columns or the interpreter read.
    #[must_use]
    pub fn reads(&self) -> Vec<String> {
        self.pred.reads()
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests;
