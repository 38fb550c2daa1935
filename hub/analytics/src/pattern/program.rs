//! A pattern as its automaton needs it: steps that must be taken, and what must not come between them.

use streamflow_model::rule::CompiledPattern;

/// Which steps of the rule an event fits: bit `n` is its `n`th step.
pub(crate) type Mask = u16;

/// A step that must be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// What the alert calls it.
    pub(crate) name: String,
    /// Events that take it.
    pub(crate) takes: Mask,
    /// So many of them.
    pub(crate) count: usize,
    /// Events that may not come between this step and the next; after the last, until the time is over.
    pub(crate) forbids: Mask,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// At least one.
    pub(crate) positions: Vec<Position>,
    /// First to last event of a match, ms.
    pub(crate) within: i64,
    /// Names of the steps that must not come at the end.
    pub(crate) awaited: Vec<String>,
}

impl Program {
    pub(crate) fn new(pattern: &CompiledPattern) -> Self {
        let mut positions: Vec<Position> = Vec::new();
        let mut awaited = Vec::new();
        for (number, step) in pattern.steps.iter().enumerate() {
            let bit: Mask = 1 << number;
            match positions.last_mut().filter(|_| step.not) {
                Some(last) => {
                    last.forbids |= bit;
                    awaited.push(step.name.clone());
                }
                None => {
                    awaited.clear();
                    positions.push(Position {
                        name: step.name.clone(),
                        takes: bit,
                        count: step.count as usize,
                        forbids: 0,
                    });
                }
            }
        }
        Self {
            positions,
            within: pattern.within,
            awaited,
        }
    }

    /// Whether there is anything that must not come.
    pub(crate) fn has_negation(&self) -> bool {
        self.positions.iter().any(|position| position.forbids != 0)
    }

    /// Events that must not come after the last step.
    pub(crate) fn forbidden_at_the_end(&self) -> Mask {
        self.positions.last().map_or(0, |position| position.forbids)
    }
}
