//! What two versions of a rule plugin said about the same events, and what it cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use streamflow_model::{Instant, Level};

use crate::RuleAlert;

/// Most differences of which the words are kept: the first ones.
const MAX_EXAMPLES: usize = 20;

/// A verdict as a difference shows it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Verdict {
    /// The incident.
    pub key: String,
    /// The incident is over.
    pub resolved: bool,
    /// Severity; null = the rule's own.
    pub level: Option<Level>,
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
    /// The number behind it.
    pub value: Option<f64>,
    /// Names and values.
    pub labels: BTreeMap<String, String>,
}

impl From<&RuleAlert> for Verdict {
    fn from(alert: &RuleAlert) -> Self {
        Self {
            key: alert.key.clone(),
            resolved: alert.resolved,
            level: alert.level,
            title: alert.title.clone(),
            body: alert.body.clone(),
            value: alert.value,
            labels: alert.labels.clone(),
        }
    }
}

/// How two versions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The shadow did not say it.
    OnlyActive,
    /// The active version did not say it.
    OnlyShadow,
    /// Both spoke of the incident, in other words or numbers.
    Changed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// Which way they differ.
    pub kind: DifferenceKind,
    /// Name of the rule.
    pub rule: String,
    /// When the last of the events was stored, or the event time of the tick.
    pub at: Instant,
    /// What the active version said.
    pub active: Option<Verdict>,
    /// What the shadow said.
    pub shadow: Option<Verdict>,
}

/// How many verdicts were alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VerdictCounts {
    /// Both said the same.
    pub same: u64,
    /// Both spoke of the incident, in other words or numbers.
    pub changed: u64,
    /// The shadow did not say it.
    pub only_active: u64,
    /// The active version did not say it.
    pub only_shadow: u64,
}

/// One side of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) alerts: &'a [RuleAlert],
    /// Computing time.
    pub(crate) spent: Duration,
}

/// Everything that was compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comparison {
    pub(crate) rules: BTreeSet<String>,
    pub(crate) calls: u64,
    pub(crate) events: u64,
    pub(crate) counts: VerdictCounts,
    /// Calls of the active version that the shadow was not shown.
    pub(crate) passed_over: u64,
    pub(crate) active: Duration,
    pub(crate) shadow: Duration,
    /// Why the shadow follows some rule no more, in words.
    pub(crate) ended: Option<String>,
    pub(crate) examples: Vec<Difference>,
}

impl Comparison {
    /// Takes in one call of both versions for a rule.
    pub(crate) fn add(&mut self, rule: &str, at: Instant, events: u64, active: Side<'_>, shadow: Side<'_>) {
        self.calls += 1;
        self.events += events;
        self.active += active.spent;
        self.shadow += shadow.spent;
        let (said, other) = (by_incident(active.alerts), by_incident(shadow.alerts));
        for (incident, alert) in &said {
            let verdict = Verdict::from(*alert);
            match other.get(incident).map(|alert| Verdict::from(*alert)) {
                Some(same) if same == verdict => self.counts.same += 1,
                Some(changed) => {
                    self.counts.changed += 1;
                    self.keep(DifferenceKind::Changed, rule, at, Some(verdict), Some(changed));
                }
                None => {
                    self.counts.only_active += 1;
                    self.keep(DifferenceKind::OnlyActive, rule, at, Some(verdict), None);
                }
            }
        }
        for (_, alert) in other.iter().filter(|(incident, _)| !said.contains_key(*incident)) {
            self.counts.only_shadow += 1;
            self.keep(DifferenceKind::OnlyShadow, rule, at, None, Some(Verdict::from(*alert)));
        }
    }

    fn keep(
        &mut self,
        kind: DifferenceKind,
        rule: &str,
        at: Instant,
        active: Option<Verdict>,
        shadow: Option<Verdict>,
    ) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(Difference {
                kind,
                rule: rule.to_owned(),
                at,
                active,
                shadow,
            });
        }
    }
}

/// Of one call the last word on an incident's begin, and the last one on its end, count.
fn by_incident(alerts: &[RuleAlert]) -> BTreeMap<(&str, bool), &RuleAlert> {
    alerts
        .iter()
        .map(|alert| ((alert.key.as_str(), alert.resolved), alert))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(key: &str, value: f64) -> RuleAlert {
        RuleAlert {
            key: key.to_owned(),
            level: None,
            title: "t".to_owned(),
            body: String::new(),
            value: Some(value),
            resolved: false,
            row: Some(1),
            labels: BTreeMap::new(),
        }
    }

    fn over(key: &str) -> RuleAlert {
        RuleAlert {
            resolved: true,
            ..alert(key, 0.0)
        }
    }

    fn compared(active: &[RuleAlert], shadow: &[RuleAlert]) -> Comparison {
        let mut comparison = Comparison::default();
        let side = |alerts, ms| Side {
            alerts,
            spent: Duration::from_millis(ms),
        };
        comparison.add("r", Instant(9), 10, side(active, 1), side(shadow, 3));
        comparison
    }

    #[test]
    fn each_difference_is_counted_and_shown() {
        // Where the verdict points to does not matter; the last word on a key does.
        let mut elsewhere = alert("same", 2.0);
        elsewhere.row = None;
        let active = [
            alert("same", 1.0),
            alert("same", 2.0),
            alert("gone", 1.0),
            alert("other", 1.0),
            over("o"),
        ];
        let shadow = [elsewhere, alert("other", 5.0), alert("new", 1.0), alert("o", 0.0)];
        let found = compared(&active, &shadow);
        let counts = VerdictCounts {
            same: 1,
            changed: 1,
            only_active: 2,
            only_shadow: 2,
        };
        assert_eq!((found.counts, found.calls, found.events), (counts, 1, 10));
        assert_eq!((found.active.as_millis(), found.shadow.as_millis()), (1, 3));
        let changed = found
            .examples
            .iter()
            .find(|example| example.kind == DifferenceKind::Changed)
            .unwrap();
        let values = [&changed.active, &changed.shadow].map(|side| side.as_ref().unwrap().value);
        assert_eq!(
            (values, changed.at, changed.rule.as_str()),
            ([Some(1.0), Some(5.0)], Instant(9), "r")
        );
    }

    #[test]
    fn two_that_agree_differ_in_nothing() {
        let both = [alert("a", 1.0), over("b")];
        let found = compared(&both, &both);
        assert_eq!((found.counts.same, found.examples.len()), (2, 0));
    }

    #[test]
    fn the_first_examples_are_kept_and_all_are_counted() {
        let many: Vec<RuleAlert> = (0..100).map(|n| alert(&n.to_string(), 1.0)).collect();
        let found = compared(&many, &[]);
        assert_eq!((found.counts.only_active, found.examples.len()), (100, MAX_EXAMPLES));
    }
}
