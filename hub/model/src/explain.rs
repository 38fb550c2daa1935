//! How a rule is evaluated, for people who ask why it is fast or slow, early or late.

use serde::{Deserialize, Serialize};
use streamflow_proto::filter::{Skip, Way};

use crate::{
    Evaluate, RuleDraft, RuleError, RuleKind, WindowSpec,
    rule::{Compiled, plain},
};

/// How a rule is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RuleExplanation {
    /// The rule's name.
    pub name: String,
    /// `columnar`, or `interpreted` when some predicate needs the interpreter.
    pub plan: String,
    /// The predicates of `match` in the order in which they are answered.
    pub predicates: Vec<PredicatePlan>,
    /// Event types that can match; absent when any may. Batches without them cost the rule nothing.
    pub types: Option<Vec<String>>,
    /// Attributes that are read of each batch.
    pub reads: Vec<String>,
    /// The aggregate; empty for the kinds `pattern` and `absence`, which have none.
    pub aggregate: String,
    /// Attributes by which events are grouped.
    pub group_by: Vec<String>,
    /// The condition; empty for all kinds but `threshold`.
    pub condition: String,
    /// `eager`: with every batch; `on_close`: when a window, or the time of a pattern or an absence, has ended.
    pub judged: String,
    /// Why so.
    pub because: String,
}

/// How one predicate is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PredicatePlan {
    /// As it was written.
    pub predicate: String,
    /// `dictionary`, `numbers`, `booleans`, `presence` or `interpreter`.
    pub by: String,
    /// Why the interpreter is needed.
    pub reason: Option<String>,
    /// What lets stored chunks be skipped because of it: `bloom filter` or `times`.
    pub skips_by: Option<String>,
}

impl RuleDraft {
    /// Says how the rule is evaluated.
    ///
    /// # Errors
    /// Every mistake, as for [`RuleDraft::compile`]; and for a rule of kind `plugin`, of which the hub knows no plan.
    pub fn explain(&self) -> Result<RuleExplanation, Vec<RuleError>> {
        if self.kind == RuleKind::Plugin {
            let reason = "rules of kind `plugin` are not explained: the plugin decides, and `streamflow-hub plugin inspect` shows it";
            return Err(vec![plain("kind", reason)]);
        }
        let compiled = self.compile()?;
        let predicates: Vec<PredicatePlan> = compiled
            .filter
            .explain()
            .into_iter()
            .map(|explained| {
                let (by, reason) = match explained.way {
                    Way::Dictionary => ("dictionary", None),
                    Way::Numbers => ("numbers", None),
                    Way::Booleans => ("booleans", None),
                    Way::Presence => ("presence", None),
                    Way::Interpreter(reason) => ("interpreter", Some(reason.to_owned())),
                };
                let skips_by = explained.skip.map(|skip| match skip {
                    Skip::Bloom => "bloom filter",
                    Skip::Times => "times",
                });
                PredicatePlan {
                    predicate: explained.text,
                    by: by.to_owned(),
                    reason,
                    skips_by: skips_by.map(str::to_owned),
                }
            })
            .collect();
        let interpreted = predicates.iter().any(|one| one.by == "interpreter");
        let (judged, because) = self.judged(&compiled);
        let mut reads = compiled.filter.reads();
        reads.push("timestamp".to_owned());
        reads.extend(compiled.group_by.iter().map(ToString::to_string));
        reads.extend(compiled.aggregate.path.iter().map(ToString::to_string));
        reads.sort();
        reads.dedup();
        let types = streamflow_proto::path::Path::parse("type")
            .ok()
            .and_then(|path| compiled.filter.required(&path));
        Ok(RuleExplanation {
            name: self.name.clone(),
            plan: if interpreted { "interpreted" } else { "columnar" }.to_owned(),
            predicates,
            types,
            reads,
            aggregate: only(
                matches!(self.kind, RuleKind::Threshold | RuleKind::Anomaly),
                &self.aggregate,
            ),
            group_by: self.group_by.clone(),
            condition: only(self.kind == RuleKind::Threshold, &self.condition),
            judged: judged.to_owned(),
            because: because.to_owned(),
        })
    }

    fn judged(&self, compiled: &Compiled) -> (&'static str, &'static str) {
        let aggregate = &compiled.aggregate;
        let upward = compiled.condition.is_upward();
        let grows = match &self.window {
            WindowSpec::Sliding { size, slide } if size != slide => aggregate.is_scalar_growth(),
            WindowSpec::Tumbling(_) | WindowSpec::Sliding { .. } => aggregate.may_only_grow(),
            WindowSpec::Session { .. } => aggregate.is_scalar_growth() && !aggregate.is_rate(),
        };
        let negated = self
            .pattern
            .as_ref()
            .is_some_and(|pattern| pattern.steps.iter().any(|step| step.not));
        match self.evaluate {
            Evaluate::OnClose => ("on_close", "`evaluate` asks for it"),
            Evaluate::Eager => ("eager", "`evaluate` asks for it"),
            Evaluate::Auto if self.kind == RuleKind::Absence => (
                "on_close",
                "a group is absent when `silent_for` is over without an event of it",
            ),
            Evaluate::Auto if self.kind == RuleKind::Anomaly => {
                ("on_close", "a window is compared with what is normal when it has ended")
            }
            Evaluate::Auto if self.kind == RuleKind::Pattern && negated => (
                "on_close",
                "an event that must not come may still come, so a match is judged when `within` is over",
            ),
            Evaluate::Auto if self.kind == RuleKind::Pattern => (
                "eager",
                "more events cannot undo a match, so it is told of with its last event",
            ),
            Evaluate::Auto if !upward => (
                "on_close",
                "a larger value does not only make the condition truer, so a window is judged when it has ended",
            ),
            Evaluate::Auto if !grows => (
                "on_close",
                "the aggregate of a running window may still fall, so a window is judged when it has ended",
            ),
            Evaluate::Auto => (
                "eager",
                "more events can only make the condition truer, so it is judged with every batch",
            ),
        }
    }
}

fn only(has: bool, text: &str) -> String {
    if has { text.to_owned() } else { String::new() }
}
