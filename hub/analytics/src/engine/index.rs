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
    distinct: Distinct,
}

/// Rules that ask the same of a batch share the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Number of the rule's filter.
    pub(super) filter: usize,
    /// Number of the list of attributes that it groups by.
    pub(super) grouping: usize,
    /// Number of both with the length of its panes.
    pub(super) selection: usize,
    /// Length of its panes, if it has any.
    pub(super) pane: Option<i64>,
}

/// How many different ones of everything that rules share there are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Distinct {
    pub(super) filters: usize,
    pub(super) groupings: usize,
    pub(super) selections: usize,
}

/// An entry of the dictionary of an attribute, by the number under which rules are filed by its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: usize,
    pub(super) id: u32,
}

/// Rules that a batch can concern, in order, each with the values of the batch that it asks for.
#[derive(Debug)]
pub(super) struct Candidates {
    found: Vec<(usize, Option<Entry>)>,
}

impl Candidates {
    /// Each rule once; without entries any row may match.
    pub(super) fn rules(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = Entry> + Clone)> {
        let same = self.found.chunk_by(|one, other| one.0 == other.0);
        same.map(|found| (found[0].0, found.iter().filter_map(|(_, entry)| *entry)))
    }
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
        let mut selections = HashMap::new();
        let plans = runs.iter().map(|run| {
            let next = (filters.len(), groupings.len(), selections.len());
            let (compiled, pane) = (&run.asks.compiled, run.pane());
            let filter = *filters.entry(compiled.filter.source()).or_insert(next.0);
            let grouping = *groupings.entry(&compiled.group_by).or_insert(next.1);
            Plan {
                filter,
                grouping,
                selection: *selections.entry((filter, grouping, pane)).or_insert(next.2),
                pane,
            }
        });
        let plans = plans.collect();
        let distinct = Distinct {
            filters: filters.len(),
            groupings: groupings.len(),
            selections: selections.len(),
        };
        Self {
            plans,
            distinct,
            by_value: by_value
                .into_iter()
                .map(|(path, filed)| (path.clone(), filed))
                .collect(),
            by_presence: by_presence.into_iter().collect(),
            always,
        }
    }

    /// How many different ones of everything that rules share there are.
    pub(super) const fn distinct(&self) -> Distinct {
        self.distinct
    }

    /// What the rule with this number shares with others.
    pub(super) fn plan(&self, number: usize) -> Plan {
        self.plans[number]
    }

    /// The rules that rows of this batch may match, in order.
    pub(super) fn candidates(&self, columns: &mut Columns<'_>) -> Result<Candidates, DecodeError> {
        let mut found: Vec<(usize, Option<Entry>)> = self.always.iter().map(|rule| (*rule, None)).collect();
        for ((path, filed), number) in self.by_value.iter().zip(0..) {
            if let Some(dict) = columns.strings(path)? {
                for (value, id) in dict.values.iter().zip(0..) {
                    let entry = Some(Entry { path: number, id });
                    found.extend(filed.get(value).into_iter().flatten().map(|rule| (*rule, entry)));
                }
            }
        }
        for (path, filed) in &self.by_presence {
            if !columns.present(path)?.is_empty() {
                found.extend(filed.iter().map(|rule| (*rule, None)));
            }
        }
        found.sort_by_key(|(rule, _)| *rule);
        Ok(Candidates { found })
    }

    /// The attribute by whose values rules are filed under this number.
    pub(super) fn path(&self, number: usize) -> Option<&Path> {
        self.by_value.get(number).map(|(path, _)| path)
    }

    /// How many attributes there are by whose values rules are filed.
    pub(super) const fn paths(&self) -> usize {
        self.by_value.len()
    }
}
