//! Which rules a batch can concern: by the values and the attributes that they require, so that cost grows with the rules that match and not with all.

use std::collections::{BTreeMap, HashMap};

use streamflow_proto::{batch::DecodeError, filter::Columns, path::Path};

use super::run::Run;

/// Rules by what they require of an event.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Rules by an attribute and the value that it must have.
    by_value: Vec<(Path, ByText)>,
    /// Rules by an attribute that must be there, whatever its value.
    by_presence: Vec<(Path, Vec<usize>)>,
    /// Rules that may match any event.
    always: Vec<usize>,
    /// Of each rule.
    plans: Vec<Plan>,
    /// Different filters, and different lists of attributes to group by.
    distinct: (usize, usize),
}

/// Rules that ask the same of a batch share the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Number of the rule's filter.
    pub(super) filter: usize,
    /// Number of the list of attributes that it groups by.
    pub(super) grouping: usize,
}

type ByText = HashMap<String, Vec<usize>, foldhash::fast::RandomState>;

impl Index {
    /// Files each rule under the requirement that it shares with the fewest others.
    pub(super) fn new(runs: &[Run]) -> Self {
        let required: Vec<_> = runs.iter().map(|run| run.asks.compiled.filter.requirements()).collect();
        let mut sharing: HashMap<(&Path, &str), usize> = HashMap::new();
        for (path, values) in required.iter().flatten() {
            for value in values {
                *sharing.entry((path, value)).or_default() += 1;
            }
        }
        let crowd = |(path, values): &&(Path, Vec<String>)| -> usize {
            let shared = values.iter().map(|value| sharing.get(&(path, value.as_str())).copied());
            shared.map(Option::unwrap_or_default).sum()
        };
        let (mut by_value, mut by_presence) = (BTreeMap::<&Path, ByText>::new(), BTreeMap::<Path, Vec<usize>>::new());
        let mut always = Vec::new();
        for (number, (run, requirements)) in runs.iter().zip(&required).enumerate() {
            if let Some((path, values)) = requirements.iter().min_by_key(crowd) {
                let filed = by_value.entry(path).or_default();
                for value in values {
                    filed.entry(value.clone()).or_default().push(number);
                }
            } else if let Some(path) = run.asks.compiled.filter.needed().into_iter().next() {
                by_presence.entry(path).or_default().push(number);
            } else {
                always.push(number);
            }
        }
        let (mut filters, mut groupings) = (HashMap::<&str, usize>::new(), HashMap::<&[Path], usize>::new());
        let plans = runs.iter().map(|run| {
            let (next_filter, next_grouping) = (filters.len(), groupings.len());
            let compiled = &run.asks.compiled;
            Plan {
                filter: *filters.entry(compiled.filter.source()).or_insert(next_filter),
                grouping: *groupings.entry(&compiled.group_by).or_insert(next_grouping),
            }
        });
        let plans = plans.collect();
        Self {
            plans,
            distinct: (filters.len(), groupings.len()),
            by_value: by_value
                .into_iter()
                .map(|(path, filed)| (path.clone(), filed))
                .collect(),
            by_presence: by_presence.into_iter().collect(),
            always,
        }
    }

    /// How many different filters and groupings there are.
    pub(super) const fn distinct(&self) -> (usize, usize) {
        self.distinct
    }

    /// What the rule with this number shares with others.
    pub(super) fn plan(&self, number: usize) -> Plan {
        self.plans[number]
    }

    /// The rules that rows of this batch may match, in order.
    pub(super) fn candidates(&self, columns: &mut Columns<'_>) -> Result<Vec<usize>, DecodeError> {
        let mut chosen = self.always.clone();
        for (path, filed) in &self.by_value {
            if let Some(dict) = columns.strings(path)? {
                chosen.extend(dict.values.iter().filter_map(|value| filed.get(value)).flatten());
            }
        }
        for (path, filed) in &self.by_presence {
            if !columns.present(path)?.is_empty() {
                chosen.extend(filed);
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}
