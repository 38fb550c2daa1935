//! What a rule of kind `absence` waits for: events that have stayed away for too long.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{RuleError, plain};
use crate::{Span, window::WINDOW_BOUNDS};

/// Longest time after which a silent group is forgotten.
const LONGEST_MEMORY: Span = Span::from_secs(90 * 86_400);
/// Most groups that a rule may list.
pub const MAX_EXPECTED: usize = 1000;

/// No event of a group for some time. Groups are the combinations of `group_by` that have been seen, and those of `expect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbsenceSpec {
    /// How long a group may be silent.
    pub silent_for: Span,
    /// Groups that must be heard from even if they never were: the value of each `group_by` attribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<BTreeMap<String, String>>,
    /// A group that is not expected and has been silent for this long is forgotten, and its alert ends.
    #[serde(default = "one_day")]
    pub forget_after: Span,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct CompiledAbsence {
    /// How long a group may be silent, ms.
    pub silent_for: i64,
    /// Labels of expected groups, in the order of `group_by`.
    pub expect: BTreeSet<Vec<String>>,
    /// When a silent group is forgotten, ms.
    pub forget_after: i64,
}

impl AbsenceSpec {
    /// Checks everything at once.
    pub(super) fn compile(&self, group_by: &[String], errors: &mut Vec<RuleError>) -> Option<CompiledAbsence> {
        let before = errors.len();
        if self.silent_for < WINDOW_BOUNDS.0 || self.silent_for > WINDOW_BOUNDS.1 {
            let reason = format!(
                "is {}; must be between {} and {}",
                self.silent_for, WINDOW_BOUNDS.0, WINDOW_BOUNDS.1
            );
            errors.push(plain("absence.silent_for", reason));
        }
        if self.forget_after <= self.silent_for || self.forget_after > LONGEST_MEMORY {
            let reason = format!(
                "is {}; must be longer than `silent_for` and at most {LONGEST_MEMORY}",
                self.forget_after
            );
            errors.push(plain("absence.forget_after", reason));
        }
        if self.expect.len() > MAX_EXPECTED {
            let reason = format!("{} groups; at most {MAX_EXPECTED} are allowed", self.expect.len());
            errors.push(plain("absence.expect", reason));
        }
        let mut expect = BTreeSet::new();
        for (number, group) in self.expect.iter().enumerate() {
            let labels: Option<Vec<String>> = group_by.iter().map(|name| group.get(name).cloned()).collect();
            match labels.filter(|labels| labels.len() == group.len()) {
                Some(labels) => drop(expect.insert(labels)),
                None => {
                    let has: Vec<&str> = group.keys().map(String::as_str).collect();
                    let reason = format!(
                        "names {}; it must name exactly the attributes of `group_by`: {}",
                        listed(&has),
                        listed(&group_by.iter().map(String::as_str).collect::<Vec<_>>())
                    );
                    errors.push(plain(&format!("absence.expect[{number}]"), reason));
                }
            }
        }
        if group_by.is_empty() {
            expect.insert(Vec::new());
        }
        (errors.len() == before).then(|| CompiledAbsence {
            silent_for: self.silent_for.ms(),
            expect,
            forget_after: self.forget_after.ms(),
        })
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

const fn one_day() -> Span {
    Span::from_secs(86_400)
}
