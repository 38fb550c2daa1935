//! The models of all groups of a rule, bounded: at the bound the group that was least lately seen is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use streamflow_model::rule::AnomalyMethod;

use super::model::{Frame, Judged, Model};

/// Most groups of a rule with a season, whose models take about ten kilobytes each.
pub(crate) const MAX_SEASONAL: usize = 2000;

/// One group's model.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    /// Start of the last window that was learned.
    last: i64,
    model: Model,
}

/// All groups by their labels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Models {
    known: BTreeMap<Vec<String>, Known>,
    /// Least lately seen first; rebuilt after a restart.
    #[serde(skip)]
    recency: BTreeSet<(i64, Vec<String>)>,
    /// Groups that were forgotten for want of room, ever.
    pub(crate) evicted: u64,
}

impl Models {
    /// Rebuilds what is not in a checkpoint.
    pub(crate) fn reindex(&mut self) {
        let all = self.known.iter();
        self.recency = all.map(|(labels, known)| (known.last, labels.clone())).collect();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// What a value is worth by what was learned of its group.
    pub(crate) fn judge(&self, frame: &Frame, labels: &[String], at: i64, value: f64) -> Judged {
        match self.known.get(labels) {
            Some(known) => known.model.judge(frame, at, value),
            None => Judged {
                band: None,
                score: 0.0,
                anomalous: false,
            },
        }
    }

    /// Learns a window's value. What is not newer than the last is known already.
    pub(crate) fn learn(&mut self, frame: &Frame, labels: &[String], at: i64, value: f64, cap: usize) {
        let cap = match frame.spec.method {
            AnomalyMethod::Robust => cap,
            AnomalyMethod::Seasonal => cap.min(MAX_SEASONAL),
        };
        if !self.known.contains_key(labels) {
            while self.known.len() >= cap.max(1) {
                let Some((_, oldest)) = self.recency.pop_first() else {
                    break;
                };
                self.known.remove(&oldest);
                self.evicted += 1;
            }
            let fresh = Known {
                last: i64::MIN,
                model: Model::default(),
            };
            self.known.insert(labels.to_vec(), fresh);
        }
        let Some(known) = self.known.get_mut(labels).filter(|known| known.last < at) else {
            return;
        };
        known.model.learn(frame, at, value);
        let before = (std::mem::replace(&mut known.last, at), labels.to_vec());
        self.recency.remove(&before);
        self.recency.insert((at, before.1));
    }

    /// Groups that have learned nothing of the window that starts at `at`, in the order of their labels.
    pub(crate) fn unseen(&self, at: i64) -> Vec<Vec<String>> {
        let unseen = self.known.iter().filter(|(_, known)| known.last < at);
        unseen.map(|(labels, _)| labels.clone()).collect()
    }
}
