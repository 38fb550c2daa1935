//! What a rule of kind `pattern` looks for: events in an order, within a time, of one key.

use serde::{Deserialize, Serialize};
use streamflow_proto::filter::Filter;

use super::{RuleError, expression, plain};
use crate::{Span, window::WINDOW_BOUNDS};

/// Most steps of a pattern.
pub const MAX_STEPS: usize = 16;
/// Most events that one step may ask for.
pub const MAX_COUNT: u32 = 1000;

/// Steps that events of one key take, in the order of event time and all within `within`.
///
/// Other events may lie between the steps ("skip till next match"), and events of a match are not used again ("skip past last event"). The key is the rule's
/// `group_by`; events without one of its attributes take part in no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternSpec {
    /// One to sixteen steps.
    pub steps: Vec<PatternStep>,
    /// From the first event of a match to its last; with a negated last step, how long the event may take to come. An alert ends this long after its last match.
    pub within: Span,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternStep {
    /// What the alert calls it.
    pub name: String,
    /// CEL over an event's attributes: which events take this step.
    #[serde(rename = "match")]
    pub matches: String,
    /// At least so many events.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    pub count: u32,
    /// No such event may come here: between its neighbours, or, as the last step, until `within` has passed.
    #[serde(default)]
    pub not: bool,
}

/// A pattern with its expressions parsed.
#[derive(Debug, Clone)]
pub struct CompiledPattern {
    /// In the order of the rule.
    pub steps: Vec<CompiledStep>,
    /// From first to last event, ms.
    pub within: i64,
}

/// A step with its expression parsed.
#[derive(Debug, Clone)]
pub struct CompiledStep {
    /// What the alert calls it.
    pub name: String,
    /// Which events take it.
    pub filter: Filter,
    /// At least so many.
    pub count: u32,
    /// No such event may come.
    pub not: bool,
}

impl PatternSpec {
    /// Checks everything at once.
    pub(super) fn compile(&self, errors: &mut Vec<RuleError>) -> Option<CompiledPattern> {
        let before = errors.len();
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            let reason = format!("{} steps; a pattern has 1 to {MAX_STEPS}", self.steps.len());
            errors.push(plain("pattern.steps", reason));
        }
        if self.within < WINDOW_BOUNDS.0 || self.within > WINDOW_BOUNDS.1 {
            let reason = format!(
                "is {}; must be between {} and {}",
                self.within, WINDOW_BOUNDS.0, WINDOW_BOUNDS.1
            );
            errors.push(plain("pattern.within", reason));
        }
        if self.steps.first().is_some_and(|step| step.not) {
            errors.push(plain(
                "pattern.steps[0].not",
                "the first step cannot be negated; for events that stay away altogether use kind `absence`",
            ));
        }
        let mut steps = Vec::with_capacity(self.steps.len());
        for (number, step) in self.steps.iter().enumerate() {
            steps.extend(step.compile(number, &self.steps[..number], errors));
        }
        (errors.len() == before).then(|| CompiledPattern {
            steps,
            within: self.within.ms(),
        })
    }

    /// Whether the last step is one that must not come.
    #[must_use]
    pub fn ends_negated(&self) -> bool {
        self.steps.last().is_some_and(|step| step.not)
    }

    /// Whether any step is negated, so that more events may undo a match.
    #[must_use]
    pub fn has_negation(&self) -> bool {
        self.steps.iter().any(|step| step.not)
    }
}

impl PatternStep {
    fn compile(&self, number: usize, earlier: &[Self], errors: &mut Vec<RuleError>) -> Option<CompiledStep> {
        let field = |name: &str| format!("pattern.steps[{number}].{name}");
        let before = errors.len();
        if self.name.trim().is_empty() || self.name.len() > 64 {
            errors.push(plain(&field("name"), "must have 1 to 64 bytes"));
        } else if earlier.iter().any(|step| step.name == self.name) {
            errors.push(plain(
                &field("name"),
                format!("`{}` is the name of an earlier step", self.name),
            ));
        }
        if self.count == 0 || self.count > MAX_COUNT {
            let reason = format!("is {}; must be between 1 and {MAX_COUNT}", self.count);
            errors.push(plain(&field("count"), reason));
        } else if self.not && self.count != 1 {
            errors.push(plain(
                &field("count"),
                "a negated step has no count: one such event is too many",
            ));
        }
        let filter = Filter::compile(&self.matches)
            .map_err(|e| errors.push(expression(&field("match"), e)))
            .ok()?;
        (errors.len() == before).then(|| CompiledStep {
            name: self.name.clone(),
            filter,
            count: self.count,
            not: self.not,
        })
    }
}

const fn one() -> u32 {
    1
}
